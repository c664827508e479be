"""How many calls a site takes at once, found out from how it bears them. Pure.

More calls at once than a site has workers are refused (503), or stand in line there until
somebody gives up waiting (504). The limit on them rises quickly at first, until one is; then
it falls below what was too much, and rises again only with care. How long calls take does
not move it: that varies for many reasons, and calls in line cost nobody a thing.
"""

from __future__ import annotations

import math

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


@frozen
class Sent:
    """When a call was sent, in seconds, and how many were in flight then, itself included."""

    at: float
    in_flight: int


@define
class ConcurrencyLimit:
    """The limit on calls in flight, at most `most`: a state machine without a clock."""

    most: int
    limit: int = field(init=False)
    _changed: float = field(default=-math.inf, init=False)
    _calm: int = field(default=0, init=False)
    """How many answers have come since the limit changed."""
    _rising: bool = field(default=True, init=False)
    """Whether the site has shown no strain yet."""
    _accepted: int = field(default=0, init=False)
    """So many at once were answered."""
    _too_many: float = field(default=math.inf, init=False)
    """So many at once were refused."""
    _probing: bool = field(default=False, init=False)
    """Whether these are tried again, …"""
    _calm_needed: int = field(default=_CALM, init=False)
    """… after so many answers."""
    _strays: int = field(default=0, init=False)
    _stray_at: float = field(default=math.inf, init=False)

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

    def has_handled(self, sent: Sent) -> bool:
        """Whether as many calls as were in flight with this one have been answered before."""
        return sent.in_flight <= self._accepted

    def busy(self, sent: Sent, now: float) -> None:
        """The site refused a call, or gave up on it, because it has enough to do."""
        if self.has_handled(sent):
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
        self._accepted = min(self._accepted, limit)
        self._too_many = limit + 1
        self._probing = False
        self._set(min(limit, self.limit), now)

    def answered(self, sent: Sent, now: float) -> None:
        """A call was answered."""
        self._calm += 1
        self._accepted = max(self._accepted, sent.in_flight)
        if sent.in_flight >= self._stray_at:
            self._strays, self._stray_at = 0, math.inf
        if self._rising and self.limit < self.most:
            self._set(self.limit + 1, now)
        else:
            self._rise(now)

    def _rise(self, now: float) -> None:
        """Try one more call at once, if all has been calm for long enough."""
        if self._probing and self._calm >= _CALM:
            self._probing = False
            self._calm_needed = _CALM
            self._too_many = math.inf
        at_edge = self.limit + 1 >= self._too_many
        if self._calm < (self._calm_needed if at_edge else self.limit):
            return
        if self.limit < self.most:
            self._probing = at_edge
            self._set(self.limit + 1, now)

    def _set(self, limit: int, now: float) -> None:
        self.limit = limit
        self._changed = now
        self._calm = 0
