"""Adaptive spacing of calls, learned from refusals that the window does not explain. Pure.

A proxy that limits the rate (nginx's `limit_req`) accepts a short burst, then a fixed number of
calls per second, however many are in flight. If calls are evenly spaced but too fast, the proxy
accepts n and refuses the next one: it accepts n calls in the time in which n + 1 are sent.
`pacing.throttle` applies the interval.
"""

from __future__ import annotations

import math

from attrs import define, field

from async_enroll.models import RequestWindow

_LONGEST = 1 / 4
"""Longest interval, as a share of the window. Refusals at this pace have another cause."""

_PROBE_AFTER = 16
"""Calls at one interval after which a shorter one is tried, …"""

_LONG_PROBE_AFTER = 500
"""… and after which one is tried that was too short before."""

_TOLERANCE = 1.03
"""Ratio up to which two intervals count as equal."""

_DECREASE = 0.95
"""Factor by which the interval shrinks if no lower bound is known."""


@define
class Pace:
    """The `interval` between calls, in seconds: 0 until a refusal requires one.

    The first interval spreads the window's calls evenly, which costs no throughput in the long
    run.
    """

    window: RequestWindow
    interval: float = field(default=0.0, init=False)
    sent_at: float = field(default=-math.inf, init=False)
    """When the last call was sent."""
    _too_short: float = field(default=0.0, init=False)
    _sent: int = field(default=0, init=False)
    _refused: int = field(default=0, init=False)
    """Number of calls sent when one was last refused …"""
    _changed: int = field(default=0, init=False)
    """… and when the interval last changed."""
    _none_accepted: bool = field(default=False, init=False)
    """Whether no call has been accepted since the last refusal."""

    @property
    def _even_interval(self) -> float:
        return self.window.seconds / self.window.calls

    def sent(self, now: float) -> int:
        """Record that a call is sent; return its number."""
        if now > self.sent_at + self.window.seconds and self.interval <= self._even_interval:
            self.interval = 0.0  # after a rest, there is room for a burst again
        self._sent += 1
        self.sent_at = now
        return self._sent

    def refused(self, call: int) -> None:
        """Record a refusal that neither the window nor the concurrency explains."""
        if call <= self._refused:
            return  # sent before an earlier refusal changed the interval
        accepted = call - self._refused - 1
        all_refused, self._none_accepted = self._none_accepted, not accepted
        if all_refused and not accepted:
            self._refused = self._sent
            return  # the site refuses everything for now: a longer interval would not help
        self._too_short = self.interval or self._even_interval / _TOLERANCE
        longer = self.interval * (1 + 1 / max(1, accepted))
        self.interval = max(self._even_interval, min(longer, _LONGEST * self.window.seconds))
        self._refused = self._changed = self._sent

    def answered(self, call: int) -> None:
        """Record that a call was accepted."""
        self._none_accepted = False
        if not self.interval or call <= self._changed + _PROBE_AFTER:
            return
        if self.interval > _TOLERANCE * self._too_short > 0:
            self.interval = math.sqrt(self.interval * self._too_short)
        elif self._too_short and call <= self._changed + _LONG_PROBE_AFTER:
            return
        else:  # the limit may have been temporary
            self.interval, self._too_short = self.interval * _DECREASE, 0.0
        if self.interval < self._even_interval:
            self.interval = 0.0
        self._changed = self._sent
