"""Back-off for the whole client: how long a refusal holds every call. Pure.

A refusal (429, or a 503 with ``Retry-After``) holds all calls for as long as the site asks, but
at least for a short time, which doubles until a call gets through. `pacing.throttle` applies it.
"""

from __future__ import annotations

import math

from attrs import define, field


@define
class Hold:
    """The time until which all calls are held.

    `window`: seconds after which the platform no longer counts a call. `patience`: seconds for
    which the site may refuse every call. A state machine without a clock: `now` is in seconds of
    any monotonic clock.
    """

    window: float
    patience: float
    until: float = field(default=-math.inf, init=False)
    since: float = field(default=math.inf, init=False)
    """When the current row of refusals began; infinite if a call has got through since."""
    _began: float = field(default=math.inf, init=False)
    """When the current hold began."""
    _backoff: float = field(default=0.0, init=False)

    def refused(self, retry_after: float | None, now: float) -> None:
        """Hold every call for `retry_after` seconds; None if the site named no time."""
        if now >= self.until:  # otherwise the call was sent before the hold began
            if self._starts_new_row(now):
                self.since, self._backoff = now, min(self.window / 60, self.patience / 10)
            self._began = now
            self.until = now + self._backoff
            self._backoff = min(2 * self._backoff, self.window / 4)
        self.until = max(self.until, now + (retry_after or 0.0))

    def answered(self, sent: float, now: float) -> None:
        """Record that a call `sent` since the row of refusals began got through: it ends the row.

        If calls are held again by now, a new row began with that hold.
        """
        if sent >= self.since:
            self.since = self._began if now < self.until else math.inf

    def wait(self, now: float) -> float:
        """Seconds until a call may be sent."""
        return max(0.0, self.until - now)

    def is_hopeless(self, now: float) -> bool:
        """Whether the hold lasts beyond `patience`, counted from the first refusal of the row."""
        return now < self.until and self._is_beyond_patience

    def _starts_new_row(self, now: float) -> bool:
        """Whether a refusal starts a new row: a call got through, or the last hold is long over."""
        return now < self.since or self._is_beyond_patience or now > self.until + self.patience

    @property
    def _is_beyond_patience(self) -> bool:
        return self.until - self.since > self.patience
