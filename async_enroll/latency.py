"""Whether calls take longer because too many stand in line at the site. Pure.

Calls that stand in line take the less time the fewer they are; those of a site that has
become slow take as long. So when calls take much longer than usual, fewer are tried, and what
comes of it tells which of the two it is.
"""

from __future__ import annotations

from statistics import mean

from attrs import define, field, frozen

STRAINED = 2
"""How many times longer than usual calls take where too many stand in line."""

_RELAXED = 1.3
"""How many times longer than usual they may take where one more is tried."""

_WEIGHT = 0.2
"""Of the newest call in a moving average."""


@frozen
class _Trial:
    """The limit was lowered from `limit`; what is seen of calls sent before and after that.

    Seconds a pair and call in flight: the same for both where calls stand in line.
    """

    limit: int
    before: list[float]
    after: list[float] = field(factory=list)


@define
class Latency:
    """Watches what a pair takes, in seconds."""

    _usual: float | None = field(default=None, init=False)
    _recent: float = field(default=0.0, init=False)
    _largest: float = field(default=0.0, init=False)
    _trial: _Trial | None = field(default=None, init=False)

    @property
    def is_relaxed(self) -> bool:
        """Whether calls take about as long as usual."""
        if self._usual is None:
            return True
        return self._trial is None and self._recent < _RELAXED * self._usual

    def forget(self) -> None:
        """Conclude nothing from a limit that was lowered: it is another one now."""
        self._trial = None

    def answered(
        self, seconds: float, pairs: int, in_flight: int, limit: int, *, earlier: bool
    ) -> int | None:
        """Take note of a call; give the limit on calls in flight that follows, None for the same.

        It took so many `seconds` for each of its `pairs`, with so many calls `in_flight`, and
        was sent `earlier` than the `limit` was set or under it.
        """
        self._largest = max(0.99 * self._largest, pairs)
        if 2 * pairs < self._largest:
            return None  # what a small call takes is mostly not its pairs' doing
        if self._usual is None:
            self._usual = self._recent = seconds
        self._recent += _WEIGHT * (seconds - self._recent)
        if seconds < self._usual:
            self._usual += _WEIGHT * (seconds - self._usual)
        trial = self._trial
        if trial is None:
            if self._recent <= STRAINED * self._usual or limit == 1:
                return None
            self._trial = _Trial(limit, [seconds / in_flight])
            return limit // STRAINED
        (trial.before if earlier else trial.after).append(seconds / in_flight)
        if len(trial.after) < limit:
            return None
        self._trial = None
        self._recent = seconds  # without what is long past
        if mean(trial.after) <= mean(trial.before) * (1 + STRAINED) / 2:
            return None
        self._usual = seconds
        return trial.limit
