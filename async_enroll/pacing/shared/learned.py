"""What processes learn together about the window: one `WindowShare`, kept in the shared log. Pure.

Each process has a copy. Whoever changes its own offers it to the log, which takes the first
successor of each version; the others then learn anew from that one what they have seen.
"""

from __future__ import annotations

import attrs
import msgspec
from attrs import define, field, frozen

from async_enroll.pacing.shared.log import Reply
from async_enroll.pacing.window_share import WindowShare


@frozen
class Refusal:
    """A refused call: when it was sent and when it was refused, by the clock of the log.

    `retry_after`: seconds after which a place of others becomes free, infinite if unknown.
    """

    sent: float
    at: float
    retry_after: float


@define
class LearnedShare:
    """A process's copy of the learned share, and the refusals that are not in it yet.

    There is none before the first refusal: the whole window is ours.
    """

    version: int = 0
    refusals: list[Refusal] = field(factory=list)
    _share: WindowShare | None = None
    _known: str = ""
    _applied: list[Refusal] = field(factory=list)
    """The refusals that are in the copy, and so in the successor that is offered."""

    def offer(self, now: float) -> tuple[str, int]:
        """The successor of this version, and the calls it admits; "" if nothing has changed."""
        if self._share is None:
            return "", 0
        calls = self._share.at(now)
        text = _text(self._share)
        return (text, calls) if text != self._known else ("", 0)

    def counted(self, ours: int) -> None:
        """Record that a call was accepted; when it was sent, it was the `ours`-th in the window."""
        if self._share is not None:
            self._share.counted(ours)

    def take(self, reply: Reply, offered: str) -> bool:
        """Bring the copy up to date with a reply to `offered`; return whether to offer it now."""
        if offered and reply.version == self.version + 1 and reply.share == offered:
            self._applied.clear()
            self.version, self._known = reply.version, offered
        elif reply.version < self.version:  # the log was lost: it shall learn from us
            self.version, self._known = reply.version, ""
        elif reply.version != self.version:
            self.version, self._known = reply.version, reply.share
            self._share = _share(reply)
            self.refusals[:0] = self._applied
            self._applied.clear()
        for refusal in self.refusals:
            self._share = self._share or WindowShare(reply.calls, reply.seconds)
            self._share.refused(refusal.sent, reply.count, refusal.at, refusal.retry_after)
        self._applied += self.refusals
        self.refusals.clear()
        return bool(self._applied)


def _text(share: WindowShare) -> str:
    """The form in which the log keeps a share. Some of its numbers are infinite."""
    return msgspec.msgpack.encode(attrs.asdict(share)).hex()


def _share(reply: Reply) -> WindowShare | None:
    """The share in a reply; None if there is none, or that of another release."""
    share = WindowShare(reply.calls, reply.seconds)
    try:
        values = msgspec.msgpack.decode(
            bytes.fromhex(reply.share), type=dict[str, int | float | bool]
        )
    except (ValueError, msgspec.DecodeError):
        return None
    if values.keys() != attrs.asdict(share).keys():
        return None
    for name, value in values.items():
        setattr(share, name, value)
    return share
