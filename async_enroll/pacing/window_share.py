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

    A refusal cuts the share to the calls that we have in the window. For one window (`seconds`)
    that number is kept; by then all that others took has expired. Then one call more is tried. Each
    call that is accepted at the edge of the share doubles what was added.
    """

    told: int
    seconds: float
    calls: int = field(init=False)
    _kept: int = field(default=0, init=False)
    """The share at the last refusal: what `calls` exceeds is being tried."""
    _raise_at: float = field(default=math.inf, init=False)
    _last_refusal: float = field(default=-math.inf, init=False)
    _all_refused: bool = field(default=False, init=False)
    """Whether no call was accepted since one was refused: then further refusals prove nothing."""

    @calls.default
    def _configured_calls(self) -> int:
        return self.told

    def at(self, now: float) -> int:
        """The number of calls to make in a window; one more after a window without refusals."""
        if now >= self._raise_at:
            self._raise_at = math.inf
            self.calls = min(self.told, self.calls + 1)
        return self.calls

    def refused(self, sent: float, ours: int, now: float) -> None:
        """Record the refusal of a call `sent` when the window held `ours` of our other calls."""
        if sent > self._last_refusal:  # otherwise it was sent together with the last one
            self._last_refusal = now
            if self._all_refused:
                return
            self._all_refused = True
        self.calls = self._kept = max(1, min(self.calls, ours))
        self._raise_at = now + self.seconds

    def counted(self, ours: int) -> None:
        """Record that a call was accepted; when it was sent, it was our `ours`-th in the window."""
        self._all_refused = False
        if ours >= self.calls > self._kept:
            self.calls = min(self.told, 2 * self.calls - self._kept)
