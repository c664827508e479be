"""The platform's request window, kept from this side of the network.

The platform counts the requests it accepted in the last `seconds` (Django REST
framework's `SimpleRateThrottle`). When each one arrived there cannot be seen from here;
that it arrived between its sending and its answer can. So a call takes a place in
the window when it is sent, and the place becomes free `seconds` after its answer:
never before the platform has forgotten the call, hence no refusals.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from aiolimiter import AsyncLimiter
from attrs import define, field, frozen

from async_enroll.congestion import Congestion
from async_enroll.models import RequestWindow

MOST_REFUSALS = 12
"""How often the throttle may refuse one request before it is given up."""


@frozen(eq=False)
class Call:
    """A call that takes a place in the window: when it was sent, and when answered."""

    sent: float
    answered: float = math.inf


@define
class WindowLog:
    """The calls of the last `window.seconds`: a state machine without a clock.

    `now` is in seconds of any steady clock. `calls` is how many calls the window is
    taken to hold: as many as it was made with, fewer once it has proved too wide.
    """

    window: RequestWindow
    concurrency: int
    calls: int = field(init=False)
    held_until: float = field(default=-math.inf, init=False)
    _in_flight: set[Call] = field(factory=set, init=False)
    _answered: deque[Call] = field(factory=deque, init=False)
    _unexplained: int = field(default=0, init=False)

    @calls.default
    def _as_told(self) -> int:
        return self.window.calls

    @property
    def in_flight(self) -> int:
        """How many calls are sent and not answered."""
        return len(self._in_flight)

    def wait(self, now: float) -> float:
        """Seconds until a call may be sent; infinite where a call in flight must return first."""
        if now < self.held_until:
            return self.held_until - now
        if len(self._in_flight) >= min(self.concurrency, self.calls):
            return math.inf
        self._forget(now)
        over = len(self._in_flight) + len(self._answered) - self.calls
        if over < 0:
            return 0.0
        return max(0.0, self._answered[over].answered + self.window.seconds - now)

    def send(self, now: float) -> Call:
        """Take a place; only after `wait` said 0."""
        place = Call(now)
        self._in_flight.add(place)
        return place

    def answered(self, place: Call, now: float) -> None:
        """The platform counted this call, or may have: its place grows old from now."""
        self._in_flight.remove(place)
        self._answered.append(Call(place.sent, now))
        self._unexplained = 0

    def unsent(self, place: Call) -> None:
        """The call never reached the platform: its place is free again."""
        self._in_flight.remove(place)

    def refused(self, place: Call, retry_after: float | None, now: float) -> None:
        """The platform answered 429, did not count the call, and named `retry_after` seconds."""
        self._in_flight.remove(place)
        self._forget(now)
        if retry_after is not None and self._explains(retry_after, place, now):
            self.calls = max(1, min(self.calls, len(self._in_flight) + len(self._answered)))
        self.hold(retry_after, now)

    def hold(self, retry_after: float | None, now: float) -> None:
        """Let nothing be sent for `retry_after` seconds.

        Where the platform named none: a tenth of the window, doubling up to all of it
        until a call gets through.
        """
        if retry_after is None:
            retry_after = self.window.seconds * min(1.0, 2.0**self._unexplained / 10)
            self._unexplained += 1
        self.held_until = max(self.held_until, now + retry_after)

    def _explains(self, retry_after: float, refused: Call, now: float) -> bool:
        """Whether our own calls account for the refusal.

        The platform names the time until its oldest request leaves the window, rounded up
        to a second. If our own oldest call can be that request, the window is full of our
        calls alone and simply narrower than told; if not, others use the same token or
        something stray has answered, which says nothing about the window.
        """
        if not self._answered:
            return False
        seconds = self.window.seconds
        oldest_sent = min(place.sent for place in [*self._in_flight, *self._answered])
        earliest = oldest_sent + seconds - now
        latest = self._answered[0].answered + seconds - refused.sent
        return earliest <= retry_after <= latest + 1

    def _forget(self, now: float) -> None:
        while self._answered and self._answered[0].answered + self.window.seconds <= now:
            self._answered.popleft()


class Turn:
    """A call that may be sent now. It counts as answered unless one of these says otherwise."""

    def __init__(self, throttle: Throttle, place: Call) -> None:
        self._throttle = throttle
        self._place = place
        self._sent = throttle.congestion.sent(throttle.log.in_flight, place.sent)
        self.settled: bool = False

    @property
    def seconds(self) -> float:
        """How long ago the call was sent."""
        return anyio.current_time() - self._place.sent

    def borne(self, pairs: int) -> None:
        """Take note that the site has done what the call carried: so many pairs."""
        self._throttle.congestion.answered(self._sent, pairs, anyio.current_time())

    def busy(self) -> None:
        """Take note that the site takes no more calls at once."""
        self._throttle.congestion.busy(self._sent, anyio.current_time())

    def unsent(self) -> None:
        """Give the place back: nothing reached the platform."""
        self.settled = True
        self._throttle.log.unsent(self._place)

    def refused(self, retry_after: float | None) -> None:
        """Hold every call for `retry_after` seconds, or a default: the platform answered 429."""
        self.settled = True
        self._throttle.log.refused(self._place, retry_after, anyio.current_time())
        self._throttle.slow_down()

    def answered(self) -> None:
        """Let the place grow old from now."""
        self.settled = True
        self._throttle.log.answered(self._place, anyio.current_time())


class Throttle:
    """Lets calls go as fast as the window and the site allow, first come, first served.

    At most `concurrency` are in flight, fewer where the site cannot bear so many. One
    throttle serves all uses of a client. A window that is empty takes a burst.
    """

    def __init__(self, window: RequestWindow, concurrency: int) -> None:
        self.log: WindowLog = WindowLog(window, concurrency)
        self.congestion: Congestion = Congestion(concurrency)
        self._line = anyio.Lock()
        self._changed = anyio.Event()
        self._pace: AsyncLimiter | None = None
        self._paced_until = -math.inf

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Turn]:
        """Wait in line for a place in the window; hold it for the body of the `async with`."""
        # Only the head of the line watches the clock; the lock keeps the others in order.
        async with self._line:
            if self._pace is not None and anyio.current_time() < self._paced_until:
                await self._pace.acquire()
            await self._until_free()
            turn = Turn(self, self.log.send(anyio.current_time()))
        try:
            yield turn
        finally:
            if not turn.settled:
                turn.answered()
            self._changed.set()
            self._changed = anyio.Event()

    async def unheld(self) -> None:
        """Wait while calls are held, for requests that have no place in the window."""
        await anyio.sleep_until(self.log.held_until)

    def hold(self, retry_after: float | None) -> None:
        """Hold every call after a 429 to a request that has no place in the window."""
        self.log.hold(retry_after, anyio.current_time())
        self.slow_down()

    def slow_down(self) -> None:
        """For a window's length after a refusal, send calls evenly instead of in bursts.

        What the platform has counted is not known then: a burst would be refused as one.
        """
        seconds = self.log.window.seconds
        self._pace = AsyncLimiter(1, seconds / self.log.calls)
        self._paced_until = self.log.held_until + seconds

    async def _until_free(self) -> None:
        while (wait := self._wait(anyio.current_time())) > 0:
            with anyio.move_on_after(wait):
                await self._changed.wait()

    def _wait(self, now: float) -> float:
        return max(self.log.wait(now), self.congestion.wait(self.log.in_flight, now))
