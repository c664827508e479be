"""Sends the calls of one job, and retries those that are sure to have had no effect.

Takes attempts from `delivery.delivery` and gives it the replies. Waits for a permit of
`pacing.throttle` and for `pacing.circuit_breaker` before each call; records each call in
`delivery.event_log` before it is sent, and its reply afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakSet

import anyio
from attrs import evolve

from async_enroll.cancellation import is_cancelled
from async_enroll.delivery.attempt import Attempt
from async_enroll.delivery.event_log import EventLog
from async_enroll.errors import EnrollError, JournalError
from async_enroll.events import (
    BatchAnswered,
    BatchSent,
    Continued,
    Event,
    Paused,
    PlacesChecked,
    Throttled,
)
from async_enroll.http.failures import Failure, FailureKind
from async_enroll.models import Batch
from async_enroll.pacing.circuit_breaker import CircuitBreaker
from async_enroll.pacing.throttle import Permit, Throttle
from async_enroll.platform.bulk_enroll import BulkEnrollApi
from async_enroll.platform.json import BulkAnswer

Reply = BulkAnswer | Failure | None
"""The reply to a call; None where the job was stopped before it was sent."""

CANCELLED_BY_OTHERS = "a call was cancelled, though the job was not"

_PAGES = (FailureKind.INTERCEPTED, FailureKind.MASKED)
"""A page in place of an answer: it came from something in front of the site."""


class InFlight:
    """The attempts that one task is working on, so that cancelling it leaves none without a result.

    `sent` is set when the next task may start: the first call has its place in the window.
    """

    def __init__(self, attempts: list[Attempt], sent: anyio.Event | None = None) -> None:
        self.attempts = attempts
        self.sent: anyio.Event = sent or anyio.Event()

    @contextmanager
    def call(self, attempt: Attempt) -> Iterator[None]:
        """Mark an attempt as lost if the body is cancelled or raises."""
        try:
            yield
        except BaseException:
            self.replace(attempt, attempt.after(FailureKind.UNKNOWN, mailed=attempt.mails))
            raise

    def replace(self, attempt: Attempt, evolved: Attempt) -> None:
        """Work on `evolved` instead of `attempt`."""
        self.attempts[self.attempts.index(attempt)] = evolved


class Dispatch:
    """Sends the calls of one job.

    `stopped_by` is the error after which the job sends nothing more; None until then.
    """

    def __init__(
        self,
        api: BulkEnrollApi,
        throttle: Throttle,
        circuit_breaker: CircuitBreaker,
        event_log: EventLog,
        *,
        calls: Iterator[int],
        auto_enroll: bool,
        reason: str | None,
    ) -> None:
        self.stopped_by: EnrollError | None = None
        self._api = api
        self._throttle = throttle
        self._circuit_breaker = circuit_breaker
        self._event_log = event_log
        self._calls = calls
        self._auto_enroll = auto_enroll
        self._reason = reason
        self._queue = anyio.Lock(fast_acquire=True)
        self._waits: WeakSet[anyio.CancelScope] = WeakSet()

    def stop(self, why: EnrollError) -> None:
        """Send no further calls. Calls in flight finish; the first error given is kept."""
        self.stopped_by = self.stopped_by or why
        for wait in self._waits:
            wait.cancel()

    def until_stopped(self) -> anyio.CancelScope:
        """Return a scope to wait in that is cancelled when the job stops."""
        wait = anyio.CancelScope()
        if self.stopped_by:
            wait.cancel()
        self._waits.add(wait)
        return wait

    async def record(self, event: Event) -> None:
        """Record an event; stop the job where that fails."""
        try:
            await self._event_log.record(event)
        except JournalError as error:
            self.stop(error)

    async def checked(self, checked: int, refused: int, places: int) -> None:
        """Record how far a preflight has come."""
        job = self._event_log.job
        await self.record(PlacesChecked(job=job, places=places, checked=checked, refused=refused))

    async def send(self, attempt: Attempt, in_flight: InFlight) -> Reply:
        """Send one call; retry while it is sure to have had no effect. None once the job stops."""
        refusals = self._throttle.refusals()
        doubted = intercepted = False
        while self.stopped_by is None:
            try:
                await self._wait_while_down()
                reply = await self._send_with_permit(attempt, in_flight)
            except EnrollError as error:  # circuit breaker, token, journal or closed client
                self.stop(error)
                break
            if reply is None:
                break
            if isinstance(reply, BulkAnswer):
                self._circuit_breaker.answered()
                return reply
            if reply.kind in _PAGES and await self._is_site_down(reply, attempt, in_flight):
                if reply.kind is FailureKind.MASKED:
                    return evolve(reply, kind=FailureKind.UNKNOWN)
                if self.stopped_by or not intercepted:
                    intercepted = True  # if this call causes it each time, bisect it
                    continue
            match reply.kind:
                case FailureKind.THROTTLED:
                    self._circuit_breaker.answered()
                    if refusals.again():
                        continue
                case FailureKind.NO_TOKEN:
                    self._circuit_breaker.failed(reply.error)
                    continue
                case FailureKind.UNREACHABLE if self._circuit_breaker.proven:
                    self._circuit_breaker.failed(reply.error)
                    continue
                case FailureKind.UNAUTHORIZED if self._api.path is not None and not doubted:
                    doubted = True  # the token worked before: one 401 may pass
                    with self.until_stopped():
                        await anyio.sleep(self._circuit_breaker.pause)
                    continue
                case FailureKind.UNREACHABLE | FailureKind.UNAUTHORIZED | FailureKind.FATAL:
                    self.stop(reply.error)
                case FailureKind.UNKNOWN | FailureKind.UNDONE:
                    self._circuit_breaker.failed(reply.error)
                case kind if kind in _PAGES:
                    pass  # the site answers other calls
                case _:
                    self._circuit_breaker.answered()
            return reply
        return None

    async def preflight(self, batch: Batch, *, tries: int) -> BulkAnswer | Failure:
        """Send a call without effect; repeat it, up to `tries`, while its outcome is unknown."""
        for _ in range(tries):
            attempt = Attempt(batch, email=False)
            try:
                reply = await self.send(attempt, InFlight([attempt]))
            except anyio.get_cancelled_exc_class():
                if is_cancelled():
                    raise
                self.stop(EnrollError(CANCELLED_BY_OTHERS))
                reply = None
            if reply is None or isinstance(reply, BulkAnswer):
                break
            if reply.kind is not FailureKind.UNKNOWN:
                break
        stopped = self.stopped_by or EnrollError("stopped")
        return reply or Failure(FailureKind.FATAL, stopped)

    async def _is_site_down(self, page: Failure, attempt: Attempt, in_flight: InFlight) -> bool:
        """Whether calls without effect fail like this one: then the site is down, not the call bad.

        True also where the job stops before that is known.
        """
        answers = False
        with in_flight.call(attempt), self.until_stopped():
            try:
                answers = await self._api.answers()
            except EnrollError as error:
                self.stop(error)
        if not answers and not self.stopped_by:
            self._circuit_breaker.trip(page.error)
        return not answers

    async def _wait_while_down(self) -> None:
        """Wait while the circuit breaker is open; record the pause."""
        if not self._circuit_breaker.is_open():
            return
        since = anyio.current_time()
        await self._event_log.record(Paused(job=self._event_log.job))
        with self.until_stopped():
            await self._circuit_breaker.closed()
        if not self.stopped_by:
            seconds = anyio.current_time() - since
            await self._event_log.record(Continued(job=self._event_log.job, seconds=seconds))

    async def _send_with_permit(self, attempt: Attempt, in_flight: InFlight) -> Reply:
        permit: Permit | None = None
        # Only one call of a job waits for a permit at a time, so that a large job does not
        # keep the client's other jobs waiting.
        with self.until_stopped():
            async with self._queue:
                permit = await self._throttle.permit()
        if permit is None:
            return None
        with permit:
            if self.stopped_by:
                permit.unsent()
                return None
            in_flight.sent.set()
            try:
                # A call recorded as sent is sent, even if the job stops meanwhile: otherwise
                # resuming from the journal would take it for lost, and never mail its learners.
                call = await self._record_sent(attempt)
            except JournalError:
                permit.unsent()
                raise
            clock = asyncio.get_running_loop().time
            since = clock()
            with in_flight.call(attempt):
                if attempt.is_preflight:
                    reply = await self._api.preflight(attempt.batch, permit)
                else:
                    of_batch = attempt.batch.auto_enroll
                    reply = await self._api.bulk_enroll(
                        attempt.batch,
                        permit,
                        auto_enroll=self._auto_enroll if of_batch is None else of_batch,
                        email_students=attempt.mails,
                        reason=self._reason,
                    )
                await self._record_answered(attempt, call, reply, clock() - since)
            return reply

    async def _record_sent(self, attempt: Attempt) -> int:
        """Record that a call is about to be sent; return its number."""
        call = next(self._calls)
        if not attempt.is_preflight:
            event = BatchSent(
                job=self._event_log.job,
                planned=attempt.planned,
                call=call,
                batch=attempt.batch,
                attempt=attempt.attempts + 1,
                email=attempt.mails,
                changed_in=attempt.changed_in,
            )
            await self._event_log.record(event)
        return call

    async def _record_answered(
        self, attempt: Attempt, call: int, reply: BulkAnswer | Failure, seconds: float
    ) -> None:
        job = self._event_log.job
        failure = reply if isinstance(reply, Failure) else None
        if failure and failure.kind is FailureKind.THROTTLED:
            await self._event_log.record(Throttled(job=job, call=call, seconds=failure.retry_after))
        if not attempt.is_preflight:
            event = BatchAnswered(
                job=job,
                planned=attempt.planned,
                call=call,
                batch=attempt.batch,
                seconds=seconds,
                status=failure.status if failure else 200,
                failure=failure.kind if failure else None,
                error=str(failure.error) if failure else None,
            )
            await self._event_log.record(event)


def after(attempt: Attempt, reply: BulkAnswer | Failure | None) -> Attempt:
    """Return an attempt that counts one more call, by the reply to it."""
    kind = reply.kind if isinstance(reply, Failure) else None
    return attempt.after(kind, mailed=attempt.mails)
