"""Our share of the window: how many of its calls are ours to make. Pure.

Others may use the same token, or the site may allow fewer calls than configured. A refused client
cannot tell which, so it assumes neither for long. `pacing.sliding_window` reports accepted and
refused calls, and keeps to the share.
"""

from __future__ import annotations

import math

from attrs import define, field


@define
class WindowShare:
    """Our share of the window: `told` calls, until refusals show that less is free.

    A refusal cuts the share to the calls that we have in the window. One call more is tried when a
    place of others becomes free, by the refusal's `Retry-After`; if that is refused as well, after
    twice as long, at most after one window (`seconds`). Each call that is accepted at the edge of
    the share doubles what was added.
    """

    told: int
    seconds: float
    calls: int = field(init=False)
    _kept: int = field(default=0, init=False)
    """The share at the last refusal: what `calls` exceeds is being tried."""
    raise_at: float = field(default=math.inf, init=False)
    """When one call more is tried; infinite if none is to be."""
    _pause: float = field(default=0.0, init=False)
    """Seconds from the last refusal to that."""
    _last_refusal: float = field(default=-math.inf, init=False)
    _all_refused: bool = field(default=False, init=False)
    """Whether no call was accepted since one was refused: then further refusals prove nothing."""

    @calls.default
    def _configured_calls(self) -> int:
        return self.told

    def at(self, now: float) -> int:
        """The number of calls to make in a window; one more from `raise_at` on."""
        if now >= self.raise_at:
            self.raise_at = math.inf
            self.calls = min(self.told, self.calls + 1)
        return self.calls

    def refused(self, sent: float, ours: int, now: float, retry_after: float = math.inf) -> None:
        """Record the refusal of a call `sent` when the window held `ours` of our other calls.

        `retry_after`: seconds after which a place of others becomes free, infinite if unknown.
        """
        if sent > self._last_refusal:  # otherwise it was sent together with the last one
            self._last_refusal = now
            self._pause = max(retry_after, 2 * self._pause if self._all_refused else 0.0)
            if self._all_refused:
                self.raise_at = now + min(self.seconds, self._pause)
                return
            self._all_refused = True
        self.calls = self._kept = max(1, min(self.calls, ours))
        self.raise_at = now + min(self.seconds, self._pause)

    def counted(self, ours: int) -> None:
        """Record that a call was accepted; when it was sent, it was our `ours`-th in the window."""
        self._all_refused = False
        if ours >= self.calls > self._kept:
            self.calls = min(self.told, 2 * self.calls - self._kept)
