"""Our share of the window: how many of its calls are ours to make. Pure.

`pacing.sliding_window` reports accepted and refused calls, and keeps to the share.
"""

from __future__ import annotations

import math

from attrs import define, field

_RAISE_AFTER = 4
"""Windows without a refusal after which a reduced share is raised."""

_LONGEST_RAISE_AFTER = 16
_OUTLIERS = 3
"""Refusals that our own calls do not explain after which the share is reduced."""


@define
class WindowShare:
    """Our share of the window: `told` calls, until refusals show that it is smaller.

    Others may use the same token, or the site may allow fewer calls than configured. `seconds`
    is the length of the window.
    """

    told: int
    seconds: float
    calls: int = field(init=False)
    _accepted: int = field(default=0, init=False)
    _step: int = field(default=1, init=False)
    _raise_after: int = field(default=_RAISE_AFTER, init=False)
    _raise_at: float = field(default=math.inf, init=False)
    _last_refusal: float = field(default=-math.inf, init=False)
    _outliers: int = field(default=0, init=False)
    _all_refused: bool = field(default=False, init=False)
    """Whether no call was accepted since one was refused: then further refusals prove nothing."""
    _outlier_at: float = field(default=math.inf, init=False)

    @calls.default
    def _configured_calls(self) -> int:
        return self.told

    def at(self, now: float) -> int:
        """The number of calls to make in a window; rises in steps after a time without refusals."""
        if now >= self._raise_at:
            self._accepted = self.calls
            self.calls = min(self.told, self.calls + self._step)
            self._step *= 2
            self._raise_at = now + self.seconds if self.calls < self.told else math.inf
        return self.calls

    def refused(self, sent: float, ours: int, now: float, *, explained: bool) -> None:
        """Record the refusal of a call `sent` when the window held `ours` of our calls.

        `explained`: these calls alone can have filled the window. If not, a few refusals are
        ignored as outliers.
        """
        raised = self.calls > self._accepted > 0
        if sent > self._last_refusal:  # refusals of calls sent together count once
            self._last_refusal = now
            self._outliers += not self._all_refused
            self._all_refused = True
            self._outlier_at = min(self._outlier_at, ours)
            if raised:
                self._raise_after = min(2 * self._raise_after, _LONGEST_RAISE_AFTER)
        if explained or raised or self._outliers >= _OUTLIERS:
            self.calls = self._accepted = max(1, min(self.calls, ours))
            self._step = 1
            self._raise_at = now + self._raise_after * self.seconds

    def counted(self, ours: int) -> None:
        """Record that a call was accepted when the window held `ours` of our calls."""
        self._all_refused = False
        if ours >= self._outlier_at:
            self._outliers = 0
            self._outlier_at = math.inf
