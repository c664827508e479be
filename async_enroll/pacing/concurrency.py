"""Adaptive concurrency limit: how many calls the site handles at once. Pure.

Calls beyond the number of a site's workers are refused (503), or queue there until a proxy gives
up on them (504). The limit rises quickly until the first such failure, then drops below the
number that failed, and from there rises slowly. Latency does not change it: it varies for many
reasons, and a queued call costs nothing. `pacing.throttle` applies the limit.
"""

from __future__ import annotations

import math

import msgspec
from attrs import define, field

FIRST = 2
"""Initial limit on calls in flight."""

_RAISE_INTERVAL = 0.2
"""Seconds without a refusal after which one more call may start: a busy site refuses sooner."""

_PROBE_AFTER = 16
"""Answers after which a limit that was too high is tried again."""

_LONGEST_PROBE_AFTER = 1000

_OUTLIERS = 3
"""Failures at a concurrency known to work after which the limit is reduced."""


class Sent(msgspec.Struct, frozen=True):
    """When a call was sent, in seconds, and how many calls were in flight then, including it."""

    at: float
    in_flight: int


@define
class ConcurrencyLimit:
    """The limit on calls in flight, from 1 to `most`.

    A state machine without a clock: `now` is in seconds of any monotonic clock.
    """

    most: int
    limit: int = field(init=False)
    _changed_at: float = field(default=-math.inf, init=False)
    _answers: int = field(default=0, init=False)
    """Answers since the limit last changed."""
    _rising: bool = field(default=True, init=False)
    """Whether the site has not yet been overloaded."""
    _accepted: int = field(default=0, init=False)
    """The highest concurrency at which a call was answered."""
    _too_many: float = field(default=math.inf, init=False)
    """The lowest concurrency known to overload the site."""
    _probing: bool = field(default=False, init=False)
    """Whether the limit is at `_too_many`, to see if the site handles it now."""
    _probe_after: int = field(default=_PROBE_AFTER, init=False)
    """Answers before `_too_many` is tried again."""
    _outliers: int = field(default=0, init=False)
    _outlier_at: float = field(default=math.inf, init=False)

    @limit.default
    def _initial_limit(self) -> int:
        return min(FIRST, self.most)

    def wait(self, in_flight: int, now: float) -> float:
        """Seconds until one more call may be sent; infinite if one must return first."""
        if in_flight < self.limit:
            return 0.0
        if not self._rising or self.limit == self.most:
            return math.inf
        if now < self._changed_at + _RAISE_INTERVAL:
            return self._changed_at + _RAISE_INTERVAL - now
        self._set(self.limit + 1, now)
        return 0.0 if in_flight < self.limit else _RAISE_INTERVAL

    def sent(self, in_flight: int, now: float) -> Sent:
        """Record that a call is sent; `in_flight` includes it."""
        if self._changed_at == -math.inf:
            self._changed_at = now
        return Sent(now, in_flight)

    def has_handled(self, sent: Sent) -> bool:
        """Whether a call has been answered before at this call's concurrency."""
        return sent.in_flight <= self._accepted

    def busy(self, sent: Sent, now: float) -> None:
        """Record that the site refused a call, or timed out on it, because it is overloaded."""
        if self.has_handled(sent):
            # This concurrency worked before: a few failures may have other causes.
            self._outliers += 1
            self._outlier_at = min(self._outlier_at, sent.in_flight)
            if self._outliers < _OUTLIERS:
                return
        self._rising = False
        self._outliers, self._outlier_at = 0, math.inf
        if sent.at < self._changed_at:
            return  # sent before an earlier failure reduced the limit
        if self._probing:
            self._probe_after = min(4 * self._probe_after, _LONGEST_PROBE_AFTER)
        limit = max(1, sent.in_flight - 1, self.limit // 2)
        self._accepted = min(self._accepted, limit)
        self._too_many = limit + 1
        self._probing = False
        self._set(min(limit, self.limit), now)

    def answered(self, sent: Sent, now: float) -> None:
        """Record that a call was answered."""
        self._answers += 1
        self._accepted = max(self._accepted, sent.in_flight)
        if sent.in_flight >= self._outlier_at:
            self._outliers, self._outlier_at = 0, math.inf
        if self._rising and self.limit < self.most:
            self._set(self.limit + 1, now)
        else:
            self._raise(now)

    def _raise(self, now: float) -> None:
        """Raise the limit by one after enough answers without a failure."""
        if self._probing and self._answers >= _PROBE_AFTER:
            self._probing = False
            self._probe_after = _PROBE_AFTER
            self._too_many = math.inf
        at_edge = self.limit + 1 >= self._too_many
        if self._answers < (self._probe_after if at_edge else self.limit):
            return
        if self.limit < self.most:
            self._probing = at_edge
            self._set(self.limit + 1, now)

    def _set(self, limit: int, now: float) -> None:
        self.limit = limit
        self._changed_at = now
        self._answers = 0
