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

from attrs import define, field

from async_enroll.models import RequestWindow
from async_enroll.pacing.window_share import WindowShare

CLOCK_TOLERANCE = 0.001
"""Share of the window by which the platform's clock may run slower than ours."""


_counted = attrgetter("counted")


@define(eq=False)
class Call:
    """A call in the window: when it was sent, and the latest time at which it was counted.

    `name` is its name in a shared window.
    """

    sent: float
    ours: int
    """How many of our calls the window held when it was sent, including it."""
    counted: float = math.inf
    name: str = ""


def explains(
    retry_after: float,
    refused: Call,
    now: float,
    *,
    seconds: float,
    oldest: float,
    first: float,
) -> bool:
    """Whether the calls that we know of, some of which were answered, explain a refusal.

    The platform names the time until its oldest request leaves the window, rounded up to a
    second. If the oldest call we know of can be that request, these calls alone fill the window:
    it is smaller than configured. If not, others use the same token, or something else than the
    platform's throttle answered. `oldest` is when the oldest call was sent, `first` the latest
    time at which the first answered one was counted.
    """
    earliest = oldest + seconds - now
    latest = first + seconds - refused.sent
    return earliest <= retry_after <= latest + 1


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
        return max(0.0, min(self._free_at(self._counted[over]), self.share.raise_at) - now)

    def reserve_at_once(self, now: float) -> Call:
        """As `send`."""
        return self.send(now)

    async def reserve(self, now: float) -> Call:
        """As `send`. Does not suspend, and always gives a place."""
        return self.send(now)

    def send(self, now: float, name: str = "") -> Call:
        """Record that a call is sent; only after `wait` returned 0."""
        call = Call(now, len(self._in_flight) + len(self._counted) + 1, name=name)
        self._in_flight.add(call)
        return call

    def answered(self, call: Call, now: float, *, worked: float = 0.0) -> None:
        """Record that the platform counted this call, or may have.

        `worked`: seconds, at least, that the platform worked on the call after counting it. The
        call expires earlier by that time.
        """
        self._in_flight.remove(call)
        call.counted = max(call.sent, now - worked)
        insort(self._counted, call, key=_counted)
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
        explained = explains(
            retry_after,
            call,
            now,
            seconds=self.window.seconds,
            oldest=min(one.sent for one in [*self._in_flight, *self._counted]),
            first=self._counted[0].counted,
        )
        # A place that others leave may be tried at once; of our own we know when they become free.
        self.share.refused(call.sent, ours, now, math.inf if explained else retry_after)
        return explained

    def hold(self, seconds: float) -> None:
        """Do nothing: there is no other process to hold."""

    @property
    def calls_in_flight(self) -> list[Call]:
        """The calls sent and not yet answered."""
        return [*self._in_flight]

    def calls(self, now: float) -> list[Call]:
        """All calls in the window."""
        self._forget(now)
        return [*self._in_flight, *self._counted]

    def _forget(self, now: float) -> None:
        """Drop the calls that the platform no longer counts."""
        while self._counted and self._free_at(self._counted[0]) <= now:
            del self._counted[0]

    def _free_at(self, call: Call) -> float:
        return call.counted + self.window.seconds * (1 + CLOCK_TOLERANCE)
