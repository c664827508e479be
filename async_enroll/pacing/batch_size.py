"""How much one call should carry, learned from how long the calls before took. Pure.

A platform works through a call pair by pair, and a proxy in front of it waits only so long:
calls are to be as large as they can be without coming near that. What a pair takes is not
known beforehand, and differs much between sites, and between calls with and without mail.
"""

from __future__ import annotations

import math

from attrs import define, field

from async_enroll.models import BatchLimits

FIRST = 500
"""How many pairs the first calls carry: well under a minute's worth, on real sites."""

FIRST_WITH_MAIL = 200
"""As many, of calls that mail: they take longer, and it matters more that none is lost."""

_STRAYS = 3
"""How many calls time out that should not have, before that is believed."""

_SHORTEST = 1e-6
_WEIGHT = 0.3
"""Of the newest call in the moving average."""


@define
class BatchSize:
    """How many pairs a call should carry to take about `limits.seconds`: `first` so many.

    Grows to twice what has been answered at most, unless that is far below the seconds
    aimed at; falls at once when a call has timed out.
    """

    limits: BatchLimits
    first: int
    _size: float = field(init=False)
    _seconds_per_pair: float | None = field(default=None, init=False)
    _ceiling: float = field(init=False)
    _before: float = field(default=0.0, init=False)
    """The largest size before calls timed out: towards it, the ceiling rises in a hundred steps."""
    _accepted: int = field(default=0, init=False)
    _strays: int = field(default=0, init=False)
    _stray_at: float = field(default=math.inf, init=False)

    @_size.default
    def _cautious(self) -> float:
        return min(self.first, self.limits.pairs)

    @_ceiling.default
    def _as_told(self) -> float:
        return self.limits.pairs

    def pairs(self, *, alone: bool = False) -> int:
        """How many pairs, 1 at least.

        While nothing is known, a call that is `alone` is not worth the caution of two.
        """
        if alone and self._seconds_per_pair is None:
            return int(self._ceiling)
        return max(1, int(self._size))

    @property
    def most(self) -> float:
        """How many pairs are not known to be too many."""
        return self._ceiling

    def has_handled(self, pairs: int) -> bool:
        """Whether as many pairs have been answered for before."""
        return pairs <= self._accepted

    def answered(self, pairs: int, seconds: float) -> None:
        """A call of so many pairs was answered after so many seconds."""
        self._accepted = max(self._accepted, pairs)
        if pairs >= self._stray_at:
            self._strays, self._stray_at = 0, math.inf
        measured = max(seconds, _SHORTEST) / pairs
        before = self._seconds_per_pair
        if pairs * 2 < self._size and (before is None or measured > before):
            return  # what a small call takes is mostly not its pairs' doing
        average = measured if before is None else before + _WEIGHT * (measured - before)
        self._seconds_per_pair = average
        fitting = self.limits.seconds / average
        safe = max(2 * pairs, fitting / 2, self._size)
        self._size = min(fitting, safe, self._ceiling)
        # What was too much once may not be so for ever.
        risen = max(1.02 * self._ceiling, self._ceiling + self._before / 100)
        self._ceiling = min(self.limits.pairs, risen)

    def timed_out(self, pairs: int, seconds: float) -> None:
        """A call of so many pairs got no answer in so many seconds."""
        if seconds < self.limits.seconds / 10:
            return  # nobody has waited for it
        if self.has_handled(pairs) or pairs * 2 < self._size:
            # As many were borne before, or it was a small call: a few may have other reasons.
            self._strays += 1
            self._stray_at = min(self._stray_at, pairs)
            if self._strays < _STRAYS:
                return
        self._strays, self._stray_at = 0, math.inf
        self._accepted = min(self._accepted, pairs // 2)
        self._before = max(self._before, self._size)
        measured = max(seconds, _SHORTEST) / pairs
        self._seconds_per_pair = max(measured, self._seconds_per_pair or 0.0)
        self._ceiling = min(self._ceiling, pairs / 2)
        self._size = min(self._size, self._ceiling, self.limits.seconds / measured)
