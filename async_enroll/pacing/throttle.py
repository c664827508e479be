"""Whose turn it is: calls go as fast as the platform's window and the site allow."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
from aiolimiter import AsyncLimiter

from async_enroll.errors import TransportError
from async_enroll.models import RequestWindow
from async_enroll.pacing.concurrency import ConcurrencyLimit
from async_enroll.pacing.hold import Hold
from async_enroll.pacing.rate import Pace
from async_enroll.pacing.sliding_window import Call, WindowLog


class Permit:
    """A call that may be sent now. It counts as answered unless one of these says otherwise."""

    def __init__(self, throttle: Throttle, place: Call) -> None:
        self._throttle = throttle
        self._place = place
        self._sent = throttle.concurrency_limit.sent(throttle.log.in_flight, place.sent)
        self._number = throttle.pace.sent(place.sent)
        self._worked = 0.0
        self.settled: bool = False

    @property
    def seconds(self) -> float:
        """How long ago the call was sent."""
        return anyio.current_time() - self._place.sent

    def completed(self, pairs: int) -> None:
        """Take note that the site has done what the call carried: so many pairs, or nothing."""
        self._worked = self._throttle.work.least(pairs, self.seconds)
        if pairs:
            self._throttle.concurrency_limit.answered(self._sent, anyio.current_time())
            self._throttle.pace.answered(self._number)

    def busy(self) -> None:
        """Take note that the site takes no more calls at once, or not as fast as they come.

        A proxy that limits the rate refuses at once; who has waited was one too many.
        """
        throttle = self._throttle
        if throttle.concurrency_limit.has_handled(self._sent) and throttle.work.is_quick(
            self.seconds
        ):
            throttle.pace.refused(self._number)
        self.timed_out()

    def timed_out(self) -> None:
        """Take note that the call stood in line for too long, behind too many others."""
        self._throttle.concurrency_limit.busy(self._sent, anyio.current_time())

    def unsent(self) -> None:
        """Give the place back: nothing reached the platform."""
        self.settled = True
        self._throttle.log.unsent(self._place)

    def refused(self, retry_after: float | None) -> None:
        """Hold every call for `retry_after` seconds, or a default: the platform answered 429."""
        self.settled = True
        now = anyio.current_time()
        if not self._throttle.log.refused(self._place, retry_after, now):
            self._throttle.pace.refused(self._number)
        self._throttle.held.refused(retry_after, now)

    def answered(self) -> None:
        """Let the place grow old from now."""
        self.settled = True
        now = anyio.current_time()
        self._throttle.log.answered(self._place, now, worked=self._worked)
        self._throttle.held.answered(now)


class Work:
    """How long the platform works on a call at least, going by the fastest so far."""

    def __init__(self) -> None:
        self._fastest_call = math.inf
        self._fastest_pair = math.inf
        self._fastest_work = math.inf

    def least(self, pairs: int, seconds: float) -> float:
        """Take note of a call of so many pairs that was answered; give its seconds of work.

        Zero for one of which nothing is known. The time that a call takes at least, whatever
        it carries, is not counted as work: it may have passed on the way there.
        """
        self._fastest_call = min(self._fastest_call, seconds)
        if not pairs:
            return 0.0
        self._fastest_work = min(self._fastest_work, seconds)
        self._fastest_pair = min(self._fastest_pair, seconds / pairs)
        return max(0.0, pairs * self._fastest_pair - self._fastest_call)

    def is_quick(self, seconds: float) -> bool:
        """Whether an answer after so long can hardly follow any work, or any wait for it."""
        return seconds < 2 * self._fastest_work


class Throttle:
    """Lets calls go as fast as the window and the site allow, first come, first served.

    At most `concurrency` are in flight, fewer where the site cannot bear so many. One
    throttle serves all uses of a client. A window that is empty takes a burst, unless the site
    was seen to refuse it. Where the site refuses everything for longer than `patience`
    seconds, or asks to be left alone for as long, whoever waits is told.
    """

    def __init__(self, window: RequestWindow, concurrency: int, patience: float) -> None:
        self.log: WindowLog = WindowLog(window, concurrency)
        self.concurrency_limit: ConcurrencyLimit = ConcurrencyLimit(concurrency)
        self.pace: Pace = Pace(window)
        self.held: Hold = Hold(window.seconds, patience)
        self.work: Work = Work()
        self._line = anyio.Lock()
        self._changed = anyio.Event()
        self._limiter: AsyncLimiter | None = None

    @asynccontextmanager
    async def permit(self) -> AsyncIterator[Permit]:
        """Wait in line for a place in the window; hold it for the body of the `async with`.

        Raises:
            TransportError: where the site asks to wait beyond `patience`; nothing is sent.

        """
        # Only the head of the line watches the clock; the lock keeps the others in order.
        async with self._line:
            await self._until(self._wait)
            await self._keep_pace()
            await self._until(self._wait)
            permit = Permit(self, self.log.send(anyio.current_time()))
        try:
            yield permit
        finally:
            if not permit.settled:
                permit.answered()
            self._wake()

    async def unheld(self) -> None:
        """Wait while calls are held, for requests that have no place in the window.

        Raises:
            TransportError: where the site asks to wait beyond `patience`.

        """
        await self._until(self._wait_while_held)

    def hold(self, retry_after: float | None) -> None:
        """Hold every call: the site asks for it, where the request has no place in the window."""
        self.held.refused(retry_after, anyio.current_time())
        self._wake()

    def refusals(self) -> Refusals:
        """The refusals of one request."""
        return Refusals(self.held)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def _until(self, free: Callable[[float], float]) -> None:
        while (wait := free(anyio.current_time())) > 0:
            with anyio.move_on_after(wait):
                await self._changed.wait()

    def _wait(self, now: float) -> float:
        return max(
            self._wait_while_held(now),
            self.log.wait(now),
            self.concurrency_limit.wait(self.log.in_flight, now),
        )

    def _wait_while_held(self, now: float) -> float:
        wait = self.held.wait(now)
        if self.held.is_hopeless(now):
            words = f"the site asks to wait for {math.ceil(wait):,} s more"
            if wait <= self.held.patience:
                words = "the site refuses every call"
            raise TransportError(f"{words}; patience is {self.held.patience:g} s", sent=False)
        return wait

    async def _keep_pace(self) -> None:
        """Wait until the interval that was learned has passed since the last call."""
        interval = self.pace.interval
        if not interval:
            self._limiter = None
            return
        if self._limiter is None or self._limiter.time_period != interval:
            self._limiter = AsyncLimiter(1, interval)
            await self._limiter.acquire()  # for the last call: it may have gone just now
        await self._limiter.acquire()


class Refusals:
    """How long one request has been refused, be others answered or not."""

    def __init__(self, held: Hold) -> None:
        self._held = held
        self._since = math.inf

    def again(self) -> bool:
        """Take note of a refusal; give whether the request is to go again: not beyond patience.

        Where everything is refused for as long, it is to go as well: its turn tells.
        """
        now = anyio.current_time()
        self._since = min(self._since, now)
        return now < self._since + self._held.patience or self._held.is_hopeless(now)
