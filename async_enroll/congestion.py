"""How many calls a site takes at once, found out from how it bears them. Pure.

More calls at once than a site has workers stand in line there, or are refused (503). The
limit on them rises quickly at first, until the site shows strain; then it falls below what
was too much, and rises again only with care.
"""

from __future__ import annotations

import math
from statistics import mean

from attrs import define, field, frozen

FIRST = 2
"""How many calls are in flight at most, before anything is known of the site."""

_STEP = 0.2
"""Seconds in which a site that refuses a call has refused it: then one more may follow."""

_CALM = 16
"""After how many answers it is tried again whether one more call is borne."""

_LONGEST_CALM = 1000
_STRAYS = 3
"""How many calls are refused that should have been borne, before that is believed."""

_STRAINED = 2
"""How many times longer than usual calls take where too many stand in line."""

_RELAXED = 1.3
_WEIGHT = 0.2


@frozen
class Sent:
    """When a call was sent, in seconds, and how many were in flight then, itself included."""

    at: float
    in_flight: int


@frozen
class _Trial:
    """The limit was lowered from `limit`; what is seen of calls sent before and after that.

    Seconds a pair and call in flight: the same for both where calls stand in line.
    """

    limit: int
    before: list[float]
    after: list[float] = field(factory=list)


@define
class Congestion:
    """The limit on calls in flight, at most `most`: a state machine without a clock."""

    most: int
    limit: int = field(init=False)
    _rising: bool = field(default=True, init=False)
    _changed: float = field(default=-math.inf, init=False)
    _too_many: float = field(default=math.inf, init=False)
    _borne: int = field(default=0, init=False)
    _strays: int = field(default=0, init=False)
    _stray_at: float = field(default=math.inf, init=False)
    _probing: bool = field(default=False, init=False)
    _calm: int = field(default=0, init=False)
    _calm_needed: int = field(default=_CALM, init=False)
    _largest: float = field(default=0.0, init=False)
    _usual: float | None = field(default=None, init=False)
    _recent: float = field(default=0.0, init=False)
    _trial: _Trial | None = field(default=None, init=False)

    @limit.default
    def _cautious(self) -> int:
        return min(FIRST, self.most)

    def wait(self, in_flight: int, now: float) -> float:
        """Seconds until one more call may be sent; infinite where one must return first."""
        if in_flight < self.limit:
            return 0.0
        if not self._rising or self.limit == self.most:
            return math.inf
        if now < self._changed + _STEP:
            return self._changed + _STEP - now
        self._set(self.limit + 1, now)
        return 0.0 if in_flight < self.limit else _STEP

    def sent(self, in_flight: int, now: float) -> Sent:
        """Take note that a call is sent; `in_flight` counts it."""
        if self._changed == -math.inf:
            self._changed = now
        return Sent(now, in_flight)

    def busy(self, sent: Sent, now: float) -> None:
        """The site refused a call because it has enough to do."""
        if sent.in_flight <= self._borne:
            # As many were borne before: a few may have had other reasons.
            self._strays += 1
            self._stray_at = min(self._stray_at, sent.in_flight)
            if self._strays < _STRAYS:
                return
        self._rising = False
        self._strays, self._stray_at = 0, math.inf
        if sent.at < self._changed:
            return  # sent before the limit fell for another of its kind
        if self._probing:
            self._calm_needed = min(4 * self._calm_needed, _LONGEST_CALM)
        limit = max(1, sent.in_flight - 1, self.limit // 2)
        self._borne = min(self._borne, limit)
        self._too_many = limit + 1
        self._probing = False
        self._set(min(limit, self.limit), now)

    def answered(self, sent: Sent, pairs: int, now: float) -> None:
        """A call of so many pairs was answered."""
        self._calm += 1
        self._borne = max(self._borne, sent.in_flight)
        if sent.in_flight >= self._stray_at:
            self._strays, self._stray_at = 0, math.inf
        if self._rising and self.limit < self.most:
            self._set(self.limit + 1, now)
        else:
            self._rise(now)
        self._compare(sent, pairs, now)

    def _rise(self, now: float) -> None:
        """Try one more call at once, if all has been calm for long enough."""
        if self._probing and self._calm >= _CALM:
            self._probing = False
            self._calm_needed = _CALM
            self._too_many = math.inf
        at_edge = self.limit + 1 >= self._too_many
        if self._calm < (self._calm_needed if at_edge else self.limit):
            return
        relaxed = self._usual is None or self._recent < _RELAXED * self._usual
        if self.limit < self.most and relaxed and self._trial is None:
            self._probing = at_edge
            self._set(self.limit + 1, now)

    def _compare(self, sent: Sent, pairs: int, now: float) -> None:
        """Lower the limit where calls take much longer than they used to, if that helps."""
        self._largest = max(0.99 * self._largest, pairs)
        if 2 * pairs < self._largest:
            return  # what a small call takes is mostly not its pairs' doing
        seconds = (now - sent.at) / pairs
        if self._usual is None:
            self._usual = self._recent = seconds
        self._recent += _WEIGHT * (seconds - self._recent)
        if seconds < self._usual:
            self._usual += _WEIGHT * (seconds - self._usual)
        if self._trial is None:
            if self._recent > _STRAINED * self._usual and self.limit > 1:
                self._rising = False
                self._trial = _Trial(self.limit, [seconds / sent.in_flight])
                self._set(int(self.limit / _STRAINED), now)
        elif sent.at < self._changed:
            self._trial.before.append(seconds / sent.in_flight)
        else:
            self._trial.after.append(seconds / sent.in_flight)
            if len(self._trial.after) >= self.limit:
                self._recent = seconds  # without what was long past
                self._judge(self._trial, now)

    def _judge(self, trial: _Trial, now: float) -> None:
        """Whether fewer calls took less time each, as those do that stand in line."""
        self._trial = None
        if mean(trial.after) > mean(trial.before) * (1 + _STRAINED) / 2:
            self._usual = self._recent  # the site has become slower, whatever is asked of it
            self._set(trial.limit, now)

    def _set(self, limit: int, now: float) -> None:
        self.limit = limit
        self._changed = now
        self._calm = 0
