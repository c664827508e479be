"""Sends the calls of one job, and retries those that are sure to have had no effect.

Takes attempts from `delivery.delivery` and gives it the replies. Waits for a permit of
`pacing.throttle` and for `pacing.circuit_breaker` before each call; records each call in
`delivery.event_log` before it is sent, and its reply afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
from anyio.lowlevel import checkpoint_if_cancelled
from attrs import define, field

from async_enroll.delivery.attempt import Attempt
from async_enroll.delivery.event_log import EventLog
from async_enroll.errors import EnrollError, JournalError
from async_enroll.events import BatchAnswered, BatchSent, Continued, Event, Paused, Throttled
from async_enroll.http.failures import Failure, FailureKind
from async_enroll.models import Batch
from async_enroll.pacing.circuit_breaker import CircuitBreaker
from async_enroll.pacing.throttle import Permit, Refusals, Throttle
from async_enroll.platform.bulk_enroll import BulkEnrollApi
from async_enroll.platform.json import BulkAnswer

Reply = BulkAnswer | Failure | None
"""The reply to a call; None where the job was stopped, and the call had no effect."""


@define(eq=False)
class Dispatch:
    """Sends the calls of one job.

    `stopped_by` is the error after which the job sends nothing more; None until then.
    `mail_changed`: learners whom calls without mail have changed are mailed afterwards.
    """

    stopped_by: EnrollError | None = field(default=None, init=False)
    mail_changed: bool = field(kw_only=True)
    _api: BulkEnrollApi
    _throttle: Throttle
    _circuit_breaker: CircuitBreaker
    _event_log: EventLog
    _calls: Iterator[int] = field(kw_only=True)
    _auto_enroll: bool = field(kw_only=True)
    _reason: str | None = field(kw_only=True)
    _queue: anyio.Lock | None = field(default=None, init=False)
    """Held by the call that waits for its permit; None until one has to."""
    _waits: set[anyio.CancelScope] = field(factory=set, init=False)

    @property
    def is_waiting(self) -> bool:
        """Whether a call waits for its permit, and others would have to wait behind it."""
        return self._queue is not None and self._queue.locked()

    def stop(self, why: EnrollError) -> None:
        """Send no further calls. Calls in flight finish; the first error given is kept."""
        self.stopped_by = self.stopped_by or why
        for wait in self._waits:
            wait.cancel()

    @contextmanager
    def until_stopped(self) -> Iterator[anyio.CancelScope]:
        """Open a scope to wait in that is cancelled when the job stops."""
        with anyio.CancelScope() as wait:
            if self.stopped_by:
                wait.cancel()
            self._waits.add(wait)
            try:
                yield wait
            finally:
                self._waits.remove(wait)

    async def record(self, event: Event) -> None:
        """Record an event; stop the job where that fails."""
        try:
            await self._event_log.record(event)
        except JournalError as error:
            self.stop(error)

    async def send(self, attempt: Attempt, sent: asyncio.Event) -> Reply:
        """Send one call; repeat it while it had no effect, and its failure may pass.

        Sets `sent` once the call has its place in the window.
        """
        refusals: Refusals | None = None
        doubted = False
        try:
            while self.stopped_by is None:
                if self._circuit_breaker.is_open():
                    await self._wait_while_down()
                reply = await self._send_with_permit(attempt, sent)
                if isinstance(reply, BulkAnswer):
                    self._circuit_breaker.answered()
                if not isinstance(reply, Failure):
                    return reply
                match reply.kind:
                    case FailureKind.THROTTLED:
                        self._circuit_breaker.answered()
                        refusals = refusals or self._throttle.refusals()
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
                        return None
                    case FailureKind.UNKNOWN | FailureKind.UNDONE:
                        self._circuit_breaker.failed(reply.error)
                    case FailureKind.INTERCEPTED | FailureKind.MASKED:
                        await self._probe(reply)
                    case _:
                        self._circuit_breaker.answered()
                return reply
        except EnrollError as error:  # of circuit breaker, token, journal or closed client
            self.stop(error)
        return None

    async def preflight(self, batch: Batch) -> BulkAnswer | Failure:
        """Send a call without effect."""
        reply = await self.send(Attempt(batch, email=False), asyncio.Event())
        return reply or Failure(FailureKind.FATAL, self.stopped_by or EnrollError("stopped"))

    async def _probe(self, page: Failure) -> None:
        """Open the circuit if calls without effect meet a page, too: the site is down."""
        answers = True
        with self.until_stopped():
            answers = await self._api.answers()
        if not answers:
            self._circuit_breaker.trip(page.error)

    async def _wait_while_down(self) -> None:
        """Wait until the circuit breaker is closed; record the pause."""
        since = anyio.current_time()
        await self._event_log.record(Paused(job=self._event_log.job))
        with self.until_stopped():
            await self._circuit_breaker.closed()
        if not self.stopped_by:
            seconds = anyio.current_time() - since
            await self._event_log.record(Continued(job=self._event_log.job, seconds=seconds))

    async def _send_with_permit(self, attempt: Attempt, sent: asyncio.Event) -> Reply:
        permit = await self._permit()
        if permit is None:
            return None
        with permit:
            if self.stopped_by:
                permit.unsent()
                return None
            sent.set()
            try:
                # A call recorded as sent is sent, even if the job stops meanwhile: otherwise
                # resuming from the journal would take it for lost, and never mail its learners.
                call = await self._record_sent(attempt)
            except JournalError:
                permit.unsent()
                raise
            try:
                return await self._exchange(attempt, permit, call)
            except (JournalError, anyio.get_cancelled_exc_class()):  # its answer is not recorded
                attempt.count(FailureKind.UNKNOWN, mailed=attempt.mails)
                raise

    async def _permit(self) -> Permit | None:
        """Wait for a permit; return None if the job stops meanwhile."""
        await checkpoint_if_cancelled()
        if not self.is_waiting and (at_once := self._throttle.permit_at_once()):
            return at_once  # without the cost of a scope
        permit: Permit | None = None
        self._queue = self._queue or anyio.Lock(fast_acquire=True)
        # Only one call of a job waits for a permit at a time, so that a large job does not
        # keep the client's other jobs waiting.
        with self.until_stopped():
            async with self._queue:
                permit = await self._throttle.permit()
        return permit

    async def _exchange(self, attempt: Attempt, permit: Permit, call: int) -> BulkAnswer | Failure:
        """Send a call that is recorded as sent; record and count its reply."""
        job, clock = self._event_log.job, asyncio.get_running_loop().time
        since = clock()
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
                # Learners of a lost call may stay unmailed.
                fresh=attempt.email or self.mail_changed,
            )
        seconds = clock() - since
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
        attempt.count(failure.kind if failure else None, mailed=attempt.mails)
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
