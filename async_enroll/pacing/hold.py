"""How long the site wants to be left alone. Pure.

A refusal (429, or a 503 that names a time) holds back every call for as long as the site asks:
at least for a little while, which doubles until a call gets through.
"""

from __future__ import annotations

import math

from attrs import define, field


@define
class Hold:
    """Until when calls are held: a state machine without a clock.

    `window`: seconds after which the platform has forgotten every call. `patience`: for how
    many seconds the site may refuse everything.
    """

    window: float
    patience: float
    until: float = field(default=-math.inf, init=False)
    since: float = field(default=math.inf, init=False)
    """When the first of a row of refusals came; infinite where a call has got through since."""
    _least: float = field(default=0.0, init=False)

    def refused(self, retry_after: float | None, now: float) -> None:
        """Hold every call for `retry_after` seconds, None where the site names no time."""
        if now >= self.until:  # else the call was sent before the others were held
            if self._is_over(now):
                self.since, self._least = now, min(self.window / 60, self.patience / 10)
            self.until = now + self._least
            self._least = min(2 * self._least, self.window / 4)
        self.until = max(self.until, now + (retry_after or 0.0))

    def answered(self, now: float) -> None:
        """A call got through; one that was sent before the others were held tells nothing."""
        if now >= self.until:
            self.since = math.inf

    def wait(self, now: float) -> float:
        """Seconds until a call may be sent."""
        return max(0.0, self.until - now)

    def is_hopeless(self, now: float) -> bool:
        """Whether calls are held beyond `patience`, counted from the first of the refusals."""
        return now < self.until and self._is_beyond_patience

    def _is_over(self, now: float) -> bool:
        """Whether a refusal begins a new row: a call got through, or the last is long past."""
        return now < self.since or self._is_beyond_patience or now > self.until + self.patience

    @property
    def _is_beyond_patience(self) -> bool:
        return self.until - self.since > self.patience
