"""Sends the calls of one job, each in its turn, until the platform has taken it or all is over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from weakref import WeakSet

import anyio
from attrs import evolve

from async_enroll.delivery.attempt import Attempt
from async_enroll.delivery.event_log import EventLog
from async_enroll.errors import EnrollError, JournalError
from async_enroll.events import BatchAnswered, BatchSent, Continued, Paused, Throttled
from async_enroll.http.failures import Failure, FailureKind
from async_enroll.models import NOBODY
from async_enroll.pacing.circuit_breaker import CircuitBreaker
from async_enroll.pacing.throttle import Permit, Throttle
from async_enroll.platform.bulk_enroll import BulkEnrollApi
from async_enroll.platform.json import BulkAnswer

Reply = BulkAnswer | Failure | None
"""What came of a call; None where the job was stopped before it was sent."""

_PAGES = (FailureKind.INTERCEPTED, FailureKind.MASKED)
"""A page in place of an answer: something in front of the site has its own mind."""


class Hand:
    """The parcels that one task has in hand, so that they are accounted for if it is cancelled.

    `sent` is set when others may follow: the first call has its place in the window.
    """

    def __init__(self, attempts: list[Attempt], sent: anyio.Event | None = None) -> None:
        self.attempts = attempts
        self.sent: anyio.Event = sent or anyio.Event()

    @contextmanager
    def in_flight(self, attempt: Attempt) -> Iterator[None]:
        """While the body lasts, and for good where it does not end: its fate is not known."""
        place = self.attempts.index(attempt)
        self.attempts[place] = evolve(attempt, attempts=attempt.attempts + 1, lost=True)
        yield
        self.attempts[place] = attempt


class Dispatch:
    """The calls of one job.

    `chronicle` is told of every one of them before it is sent. `stopped_by` is what has
    shown that no further call of the job would fare better.
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
        self._queue = anyio.Lock()
        self._waits: WeakSet[anyio.CancelScope] = WeakSet()

    def stop(self, why: EnrollError) -> None:
        """Send nothing more; what is in flight is finished."""
        self.stopped_by = self.stopped_by or why
        for wait in self._waits:
            wait.cancel()

    def until_stopped(self) -> anyio.CancelScope:
        """A scope to wait in for no longer than until the job is to stop."""
        wait = anyio.CancelScope()
        if self.stopped_by:
            wait.cancel()
        self._waits.add(wait)
        return wait

    async def send(self, attempt: Attempt, hand: Hand) -> Reply:
        """Send one call, again while it is sure to have done nothing; None once all is stopped."""
        refusals = self._throttle.refusals()
        doubted = intercepted = False
        while self.stopped_by is None:
            try:
                await self._wait_while_down()
                reply = await self._send_with_permit(attempt, hand)
            except EnrollError as error:  # no patience left, no token, no journal, no open client
                self.stop(error)
                break
            if reply is None:
                break
            if isinstance(reply, BulkAnswer):
                self._circuit_breaker.answered()
                return reply
            if reply.kind in _PAGES and await self._is_site_down(reply, attempt, hand):
                if reply.kind is FailureKind.MASKED:
                    return evolve(reply, kind=FailureKind.UNKNOWN)
                if self.stopped_by or not intercepted:
                    intercepted = True  # what turns the site away each time narrows itself down
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
                    doubted = True  # a token that was good until now: one refusal may be a stray
                    with self.until_stopped():
                        await anyio.sleep(self._circuit_breaker.pause)
                    continue
                case FailureKind.UNREACHABLE | FailureKind.UNAUTHORIZED | FailureKind.FATAL:
                    self.stop(reply.error)
                case FailureKind.UNKNOWN | FailureKind.UNDONE:
                    self._circuit_breaker.failed(reply.error)
                case kind if kind in _PAGES:
                    pass  # that call's own affair
                case _:
                    self._circuit_breaker.answered()
            return reply
        return None

    async def _is_site_down(self, page: Failure, attempt: Attempt, hand: Hand) -> bool:
        """Whether harmless calls, too, get no answer where a page came for one: the site is down.

        Also where that cannot be found out, and the job stops: nothing is said against the call.
        """
        answers = False
        with hand.in_flight(attempt), self.until_stopped():
            try:
                answers = await self._api.answers()
            except EnrollError as error:
                self.stop(error)
        if not answers and not self.stopped_by:
            self._circuit_breaker.trip(page.error)
        return not answers

    async def _wait_while_down(self) -> None:
        """Wait for a platform that fails every call; tell of it."""
        if not self._circuit_breaker.is_open():
            return
        since = anyio.current_time()
        await self._event_log.record(Paused(job=self._event_log.job))
        with self.until_stopped():
            await self._circuit_breaker.closed()
        if not self.stopped_by:
            seconds = anyio.current_time() - since
            await self._event_log.record(Continued(job=self._event_log.job, seconds=seconds))

    async def _send_with_permit(self, attempt: Attempt, hand: Hand) -> Reply:
        async with AsyncExitStack() as stack:
            permit: Permit | None = None
            # A job has one call at a time in line, and so leaves room for others however
            # long it is.
            with self.until_stopped():
                async with self._queue:
                    permit = await stack.enter_async_context(self._throttle.permit())
            if permit is None:
                return None
            if self.stopped_by:
                permit.unsent()
                return None
            hand.sent.set()
            try:
                # What is told as sent is sent, even if the job is to stop meanwhile: a run that
                # goes on from a journal would take it for lost, and mail nobody.
                call = await self._record_sent(attempt)
            except JournalError:
                permit.unsent()
                raise
            since = anyio.current_time()
            with hand.in_flight(attempt):
                if attempt.batch.identifiers == (NOBODY,):
                    reply = await self._api.preflight(attempt.batch, permit)
                else:
                    reply = await self._api.bulk_enroll(
                        attempt.batch,
                        permit,
                        auto_enroll=self._auto_enroll,
                        email_students=attempt.mails,
                        reason=self._reason,
                    )
                await self._record_answered(attempt, call, reply, anyio.current_time() - since)
            return reply

    async def _record_sent(self, attempt: Attempt) -> int:
        """Tell that a parcel is about to be sent; give the number of the call."""
        call = next(self._calls)
        if attempt.planned is not None:
            event = BatchSent(
                job=self._event_log.job,
                planned=attempt.planned,
                call=call,
                batch=attempt.batch,
                attempt=attempt.attempts + 1,
                email=attempt.mails,
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
        if attempt.planned is not None:
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
