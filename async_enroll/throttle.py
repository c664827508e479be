"""Whose turn it is: calls go as fast as the platform's window and the site allow."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from aiolimiter import AsyncLimiter

from async_enroll.congestion import Congestion
from async_enroll.models import RequestWindow
from async_enroll.window import Call, WindowLog

MOST_REFUSALS = 12
"""How often the throttle may refuse one request before it is given up."""


class Turn:
    """A call that may be sent now. It counts as answered unless one of these says otherwise."""

    def __init__(self, throttle: Throttle, place: Call) -> None:
        self._throttle = throttle
        self._place = place
        self._sent = throttle.congestion.sent(throttle.log.in_flight, place.sent)
        self._worked = 0.0
        self.settled: bool = False

    @property
    def seconds(self) -> float:
        """How long ago the call was sent."""
        return anyio.current_time() - self._place.sent

    def borne(self, pairs: int) -> None:
        """Take note that the site has done what the call carried: so many pairs, or nothing."""
        self._worked = self._throttle.work.least(pairs, self.seconds)
        if pairs:
            self._throttle.congestion.answered(self._sent, anyio.current_time())

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
        self._throttle.log.answered(self._place, anyio.current_time(), worked=self._worked)


class Work:
    """How long the platform works on a call at least, going by the fastest so far."""

    def __init__(self) -> None:
        self._fastest_call = math.inf
        self._fastest_pair = math.inf

    def least(self, pairs: int, seconds: float) -> float:
        """Take note of a call of so many pairs that was answered; give its seconds of work.

        Zero for one of which nothing is known. The time that a call takes at least, whatever
        it carries, is not counted as work: it may have passed on the way there.
        """
        self._fastest_call = min(self._fastest_call, seconds)
        if not pairs:
            return 0.0
        self._fastest_pair = min(self._fastest_pair, seconds / pairs)
        return max(0.0, pairs * self._fastest_pair - self._fastest_call)


class Throttle:
    """Lets calls go as fast as the window and the site allow, first come, first served.

    At most `concurrency` are in flight, fewer where the site cannot bear so many. One
    throttle serves all uses of a client. A window that is empty takes a burst.
    """

    def __init__(self, window: RequestWindow, concurrency: int) -> None:
        self.log: WindowLog = WindowLog(window, concurrency)
        self.congestion: Congestion = Congestion(concurrency)
        self.work: Work = Work()
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
        self._pace = AsyncLimiter(1, seconds / self.log.share.calls)
        self._paced_until = self.log.held_until + seconds

    async def _until_free(self) -> None:
        while (wait := self._wait(anyio.current_time())) > 0:
            with anyio.move_on_after(wait):
                await self._changed.wait()

    def _wait(self, now: float) -> float:
        return max(self.log.wait(now), self.congestion.wait(self.log.in_flight, now))
