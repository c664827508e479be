"""Rate limiter for all calls of one client: hold, sliding window, concurrency, then spacing.

`Throttle.permit` waits until a call may be sent. The modules of `platform` and `delivery.dispatch`
send it, and report to the `Permit` how the site answered; the limits adapt to that.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

import anyio

from async_enroll.errors import TransportError
from async_enroll.models import RequestWindow
from async_enroll.pacing.concurrency import ConcurrencyLimit
from async_enroll.pacing.hold import Hold
from async_enroll.pacing.rate import Pace
from async_enroll.pacing.sliding_window import Call, WindowLog
from async_enroll.pacing.window import Window

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter


def _now() -> float:
    """Seconds of the event loop's clock, as `anyio.current_time`, which asks for the loop first."""
    return asyncio.get_running_loop().time()


class Permit:
    """Permission to send one call now, in a `with` block that ends with the call.

    The call counts as answered when it was `completed`, else at the end of the block, unless a
    method says otherwise.
    """

    def __init__(self, throttle: Throttle, call: Call) -> None:
        self._throttle = throttle
        self._call = call
        self._sent = throttle.concurrency_limit.sent(throttle.log.in_flight, call.sent)
        self._number = throttle.pace.sent(call.sent)
        self._seconds_of_work = 0.0
        self._completed_at: float | None = None
        self.settled: bool = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.settled:
            self.answered()
        self._throttle.wake()

    @property
    def seconds(self) -> float:
        """Seconds since the call was sent."""
        return _now() - self._call.sent

    def completed(self, pairs: int) -> float:
        """Record that the site has processed the call's `pairs`: 0 for a call that carried none.

        Returns the seconds since the call was sent.
        """
        now = self._completed_at = _now()
        seconds = now - self._call.sent
        self._seconds_of_work = self._throttle.work.least(pairs, seconds)
        if pairs:
            self._throttle.concurrency_limit.answered(self._sent, now)
            self._throttle.pace.answered(self._number)
        return seconds

    def busy(self) -> None:
        """Record that the site is overloaded: too many calls at once, or too fast.

        A proxy that limits the rate refuses at once. A call refused later was one too many.
        """
        throttle = self._throttle
        if throttle.concurrency_limit.has_handled(self._sent) and throttle.work.is_quick(
            self.seconds
        ):
            throttle.pace.refused(self._number)
        self.timed_out()

    def timed_out(self) -> None:
        """Record that the call timed out, queued behind too many others."""
        self._throttle.concurrency_limit.busy(self._sent, _now())

    def unsent(self) -> None:
        """Free the call's place in the window: it never reached the platform."""
        self.settled = True
        self._throttle.log.unsent(self._call)

    def refused(self, retry_after: float | None) -> None:
        """Record a 429, and hold every call for `retry_after` seconds, by default a short time."""
        self.settled = True
        now = _now()
        explained = self._throttle.log.refused(self._call, retry_after, now)
        # Others who use the token cause refusals, too: then calls go evenly, but not slower.
        if not retry_after or not (explained or self._throttle.pace.interval):
            self._throttle.pace.refused(self._number)
        self._throttle.hold(retry_after)

    def answered(self) -> None:
        """Record the answer, which came when the call was `completed`, else now.

        The call leaves the window the window's `seconds` after it, or a little earlier.
        """
        self.settled = True
        now = _now() if self._completed_at is None else self._completed_at
        self._throttle.log.answered(self._call, now, worked=self._seconds_of_work)
        self._throttle.held.answered(self._call.sent, now)


class Work:
    """Lower bound for the time that the platform works on a call, from the fastest calls so far."""

    def __init__(self) -> None:
        self._fastest_call = math.inf
        self._fastest_pair = math.inf
        self._fastest_with_work = math.inf

    def least(self, pairs: int, seconds: float) -> float:
        """Record a call of `pairs` pairs answered after `seconds`; return its seconds of work.

        0 for a call without pairs. The time that every call takes, whatever it carries, does not
        count as work: it may have passed on the network. Calls without pairs tell it, for each of
        them opens a connection; one that carries pairs may find one open.
        """
        if not pairs:
            self._fastest_call = min(self._fastest_call, seconds)
            return 0.0
        self._fastest_with_work = min(self._fastest_with_work, seconds)
        self._fastest_pair = min(self._fastest_pair, seconds / pairs)
        return max(0.0, pairs * self._fastest_pair - self._fastest_call)

    def is_quick(self, seconds: float) -> bool:
        """Whether an answer after `seconds` came too soon for any work or queueing before it."""
        return seconds < 2 * self._fastest_with_work


class Throttle:
    """Sends calls as fast as the window and the site allow, in order of arrival.

    At most `concurrency` calls are in flight, fewer if the site cannot handle that many. One
    throttle serves a whole client. An empty window admits a burst, unless the site refused one
    before. If the site refuses everything for longer than `patience` seconds, or asks for a pause
    as long, callers that wait get a TransportError. `log` is the window, where others share it.
    """

    def __init__(
        self,
        window: RequestWindow,
        concurrency: int,
        patience: float,
        *,
        log: Window | None = None,
    ) -> None:
        self.log: Window = WindowLog(window, concurrency) if log is None else log
        self.concurrency_limit: ConcurrencyLimit = ConcurrencyLimit(concurrency)
        self.pace: Pace = Pace(window)
        self.held: Hold = Hold(window.seconds, patience)
        self.work: Work = Work()
        self._queue = anyio.Lock(fast_acquire=True)
        self._changed: anyio.Event | None = None
        """What those wait for who have waited since the last change; None if nobody has."""
        self._limiter: AsyncLimiter | None = None

    async def permit(self) -> Permit:
        """Wait until a call may be sent; return its permit, to be used in a `with` at once.

        Raises:
            TransportError: if the site asks to wait beyond `patience`; nothing is sent.

        """
        # Only the head of the queue watches the clock; the lock keeps the others in order.
        async with self._queue:
            return Permit(self, await self._reserved())

    def permit_at_once(self) -> Permit | None:
        """Return a permit as `permit`, or None if one has to wait for it. Raises as `permit`."""
        if self._queue.locked() or self.pace.interval or self._wait(now := _now()):
            return None
        self._limiter = None  # as in `_keep_pace`: it knows nothing of calls without an interval
        call = self.log.reserve_at_once(now)
        return None if call is None else Permit(self, call)

    async def _reserved(self) -> Call:
        """Wait until a call may be sent, and take its place in the window."""
        now = await self._until(self._wait)
        if await self._keep_pace():
            now = await self._until(self._wait)
        while True:
            call = await self.log.reserve(now)
            if call is not None:
                if not self.held.wait(_now()):
                    return call
                self.log.unsent(call)  # a refusal came meanwhile
            now = await self._until(self._wait)

    async def unheld(self) -> None:
        """Wait while calls are held, for requests that the window does not count.

        Raises:
            TransportError: if the site asks to wait beyond `patience`.

        """
        await self._until(self._wait_while_held)

    def hold(self, retry_after: float | None) -> None:
        """Hold every call for `retry_after` seconds, by default a short time, after a refusal."""
        now = _now()
        self.held.refused(retry_after, now)
        self.log.hold(self.held.wait(now))
        self.wake()

    def refusals(self) -> Refusals:
        """A record of the refusals of one request."""
        return Refusals(self.held)

    def wake(self) -> None:
        """Have those who wait see whether a call may be sent now."""
        # Forgotten first: it cannot be set once the event loop of those who wait is closed.
        changed, self._changed = self._changed, None
        if changed:
            changed.set()

    async def _until(self, free: Callable[[float], float]) -> float:
        """Wait while `free` gives seconds to wait; return the time at which it gave none."""
        while (wait := free(now := _now())) > 0:
            changed = self._changed = self._changed or anyio.Event()
            with anyio.move_on_after(wait):
                await changed.wait()
        return now

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

    async def _keep_pace(self) -> bool:
        """Wait until the learned interval has passed since the last call; False: there is none."""
        interval = self.pace.interval
        if not interval:
            self._limiter = None
            return False
        from aiolimiter import AsyncLimiter  # most sites need none

        if self._limiter is None or self._limiter.time_period != interval:
            self._limiter = AsyncLimiter(1, interval)
            if _now() < self.pace.sent_at + interval:
                await self._limiter.acquire()  # for the last call
        await self._limiter.acquire()
        return True


class Refusals:
    """Tracks for how long one request has been refused, whether or not others are answered."""

    def __init__(self, held: Hold) -> None:
        self._held = held
        self._since = math.inf

    def again(self) -> bool:
        """Record a refusal; return whether to send the request again: not beyond `patience`.

        Also true if every request has been refused for that long: its permit then raises.
        """
        now = _now()
        self._since = min(self._since, now)
        return now < self._since + self._held.patience or self._held.is_hopeless(now)
