"""Sliding window: the client's own log of the calls that the platform counts. Pure.

The platform counts the requests it accepted in the last `seconds` (Django REST framework's
`SimpleRateThrottle`). The client does not see when a request arrived there, but knows that it
was after sending, before the answer, and before the work was done. So a call counts from when it
is sent until `seconds` after the latest moment at which the platform can have counted it. It
never expires here before it does on the platform, hence no refusals. `pacing.throttle` waits as
the log says.
"""

from __future__ import annotations

import math
from bisect import insort
from operator import attrgetter

from attrs import define, field, frozen

from async_enroll.models import RequestWindow
from async_enroll.pacing.window_share import WindowShare

_CLOCK_TOLERANCE = 0.001
"""Share of the window by which the platform's clock may run slower than ours."""


@frozen(eq=False)
class Call:
    """A call in the window: when it was sent, and the latest time at which it was counted."""

    sent: float
    ours: int
    """How many of our calls the window held when it was sent, including it."""
    counted: float = math.inf


@define
class WindowLog:
    """The calls of the last `window.seconds`, at most `concurrency` of them in flight.

    A state machine without a clock: `now` is in seconds of any monotonic clock.
    """

    window: RequestWindow
    concurrency: int
    share: WindowShare = field(init=False)
    _in_flight: set[Call] = field(factory=set, init=False)
    _counted: list[Call] = field(factory=list, init=False)

    @share.default
    def _full_share(self) -> WindowShare:
        return WindowShare(self.window.calls, self.window.seconds)

    @property
    def in_flight(self) -> int:
        """The number of calls sent and not yet answered."""
        return len(self._in_flight)

    def wait(self, now: float) -> float:
        """Seconds until a call may be sent; infinite if a call in flight must return first."""
        calls = self.share.at(now)
        if len(self._in_flight) >= min(self.concurrency, calls):
            return math.inf
        self._forget(now)
        over = len(self._in_flight) + len(self._counted) - calls
        if over < 0:
            return 0.0
        return max(0.0, self._free_at(self._counted[over]) - now)

    def send(self, now: float) -> Call:
        """Record that a call is sent; only after `wait` returned 0."""
        call = Call(now, len(self._in_flight) + len(self._counted) + 1)
        self._in_flight.add(call)
        return call

    def answered(self, call: Call, now: float, *, worked: float = 0.0) -> None:
        """Record that the platform counted this call, or may have.

        `worked`: seconds, at least, that the platform worked on the call after counting it. The
        call expires earlier by that time.
        """
        self._in_flight.remove(call)
        counted = max(call.sent, now - worked)
        insort(self._counted, Call(call.sent, call.ours, counted), key=attrgetter("counted"))
        self.share.counted(call.ours)

    def unsent(self, call: Call) -> None:
        """Remove a call that never reached the platform."""
        self._in_flight.remove(call)

    def refused(self, call: Call, retry_after: float | None, now: float) -> bool:
        """Remove a call that the platform answered with 429, and so did not count.

        `retry_after`: seconds that the platform named, or None. Returns whether our own calls
        alone can explain the refusal.
        """
        self._in_flight.remove(call)
        self._forget(now)
        ours = len(self._in_flight) + len(self._counted)
        if not retry_after or not self._counted:
            return False  # the platform's throttle names a time, and our calls have a part in it
        self.share.refused(call.sent, ours, now)
        return self._explains(retry_after, call, now)

    def _explains(self, retry_after: float, refused: Call, now: float) -> bool:
        """Whether our own calls explain the refusal.

        The platform names the time until its oldest request leaves the window, rounded up to a
        second. If our own oldest call can be that request, our calls alone fill the window: it
        is smaller than configured. If not, others use the same token, or something else than the
        platform's throttle answered.
        """
        seconds = self.window.seconds
        oldest_sent = min(call.sent for call in [*self._in_flight, *self._counted])
        earliest = oldest_sent + seconds - now
        latest = self._counted[0].counted + seconds - refused.sent
        return earliest <= retry_after <= latest + 1

    def _forget(self, now: float) -> None:
        """Drop the calls that the platform no longer counts."""
        while self._counted and self._free_at(self._counted[0]) <= now:
            del self._counted[0]

    def _free_at(self, call: Call) -> float:
        return call.counted + self.window.seconds * (1 + _CLOCK_TOLERANCE)
