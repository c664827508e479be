"""Batch size: how many pairs one call should carry, adapted to how long calls take. Pure.

The platform processes a call pair by pair, and a proxy in front of it gives up after a fixed
time. Calls should be as large as possible without coming near that time. The time per pair is
unknown at first; it differs between sites, and between calls with and without mail.
`platform.bulk_enroll` reports each call here; `delivery` reads the size of the next batch.
"""

from __future__ import annotations

import math

from attrs import define, field

from async_enroll.models import BatchLimits

FIRST = 500
"""Pairs in the first calls: well under a minute of work on real sites."""

FIRST_WITH_MAIL = 200
"""Pairs in the first calls that mail: they take longer, and losing one costs more."""

_OUTLIERS = 3
"""Time-outs at a size known to work (or a small one) after which the size is reduced."""

_MIN_SECONDS = 1e-6
_SMOOTHING = 0.3
"""Weight of the newest call in the moving average of seconds per pair."""


@define
class BatchSize:
    """The number of pairs with which a call takes about `limits.seconds`.

    Starts at `first` pairs, at most `limits.pairs`. One answer at most doubles the size of the
    call it belongs to, unless calls stay far below the target time. A time-out reduces the size
    at once.
    """

    limits: BatchLimits
    first: int
    _size: float = field(init=False)
    _seconds_per_pair: float | None = field(default=None, init=False)
    _ceiling: float = field(init=False)
    _size_before_timeout: float = field(default=0.0, init=False)
    """The largest size before a time-out; the ceiling recovers to it within a hundred answers."""
    _accepted: int = field(default=0, init=False)
    _outliers: int = field(default=0, init=False)
    _outlier_at: float = field(default=math.inf, init=False)

    @_size.default
    def _initial_size(self) -> float:
        return min(self.first, self.limits.pairs)

    @_ceiling.default
    def _initial_ceiling(self) -> float:
        return self.limits.pairs

    def pairs(self, *, alone: bool = False) -> int:
        """The number of pairs for the next call, at least 1.

        `alone`: all the work fits one call. While nothing has been measured, such a call is not
        split for caution's sake.
        """
        if alone and self._seconds_per_pair is None:
            return int(self._ceiling)
        return max(1, int(self._size))

    @property
    def most(self) -> float:
        """The largest number of pairs not known to be too many."""
        return self._ceiling

    def has_handled(self, pairs: int) -> bool:
        """Whether a call of at least `pairs` pairs has been answered before."""
        return pairs <= self._accepted

    def answered(self, pairs: int, seconds: float) -> None:
        """Record that a call of `pairs` pairs was answered after `seconds` seconds."""
        self._accepted = max(self._accepted, pairs)
        if pairs >= self._outlier_at:
            self._outliers, self._outlier_at = 0, math.inf
        measured = max(seconds, _MIN_SECONDS) / pairs
        before = self._seconds_per_pair
        if pairs * 2 < self._size and (before is None or measured > before):
            return  # a small call mostly measures the overhead per call
        average = measured if before is None else before + _SMOOTHING * (measured - before)
        self._seconds_per_pair = average
        fitting = self.limits.seconds / average
        safe = max(2 * pairs, fitting / 2, self._size)
        self._size = min(fitting, safe, self._ceiling)
        # The limit may have been temporary: let the ceiling recover slowly.
        risen = max(1.02 * self._ceiling, self._ceiling + self._size_before_timeout / 100)
        self._ceiling = min(self.limits.pairs, risen)

    def timed_out(self, pairs: int, seconds: float) -> None:
        """Record that a call of `pairs` pairs got no answer within `seconds` seconds."""
        if seconds < self.limits.seconds / 10:
            return  # too quick to be the work of the platform
        if self.has_handled(pairs) or pairs * 2 < self._size:
            # This size worked before, or is small: a few time-outs may have other causes.
            self._outliers += 1
            self._outlier_at = min(self._outlier_at, pairs)
            if self._outliers < _OUTLIERS:
                return
        self._outliers, self._outlier_at = 0, math.inf
        self._accepted = min(self._accepted, pairs // 2)
        self._size_before_timeout = max(self._size_before_timeout, self._size)
        measured = max(seconds, _MIN_SECONDS) / pairs
        self._seconds_per_pair = max(measured, self._seconds_per_pair or 0.0)
        self._ceiling = min(self._ceiling, pairs / 2)
        self._size = min(self._size, self._ceiling, self.limits.seconds / measured)
