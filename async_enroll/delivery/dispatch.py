"""Sends the calls of one job, each in its turn, until the platform has taken it or all is over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from weakref import WeakSet

import anyio
from attrs import evolve

from async_enroll.delivery.attempt import Parcel
from async_enroll.delivery.event_log import Chronicle
from async_enroll.errors import EnrollError, JournalError
from async_enroll.events import BatchAnswered, BatchSent, Continued, Paused, Throttled
from async_enroll.http.failures import Failure, Meaning
from async_enroll.models import NOBODY
from async_enroll.pacing.circuit_breaker import Patience
from async_enroll.pacing.throttle import Throttle, Turn
from async_enroll.platform.bulk_enroll import Api
from async_enroll.platform.json import BulkAnswer

Reply = BulkAnswer | Failure | None
"""What came of a call; None where the job was stopped before it was sent."""

_PAGES = (Meaning.INTERCEPTED, Meaning.MASKED)
"""A page in place of an answer: something in front of the site has its own mind."""


class Hand:
    """The parcels that one task has in hand, so that they are accounted for if it is cancelled.

    `sent` is set when others may follow: the first call has its place in the window.
    """

    def __init__(self, parcels: list[Parcel], sent: anyio.Event | None = None) -> None:
        self.parcels = parcels
        self.sent: anyio.Event = sent or anyio.Event()

    @contextmanager
    def in_flight(self, parcel: Parcel) -> Iterator[None]:
        """While the body lasts, and for good where it does not end: its fate is not known."""
        place = self.parcels.index(parcel)
        self.parcels[place] = evolve(parcel, attempts=parcel.attempts + 1, lost=True)
        yield
        self.parcels[place] = parcel


class Dispatch:
    """The calls of one job.

    `chronicle` is told of every one of them before it is sent. `stopped_by` is what has
    shown that no further call of the job would fare better.
    """

    def __init__(
        self,
        api: Api,
        throttle: Throttle,
        patience: Patience,
        chronicle: Chronicle,
        *,
        calls: Iterator[int],
        auto_enroll: bool,
        reason: str | None,
    ) -> None:
        self.stopped_by: EnrollError | None = None
        self._api = api
        self._throttle = throttle
        self._patience = patience
        self._chronicle = chronicle
        self._calls = calls
        self._auto_enroll = auto_enroll
        self._reason = reason
        self._line = anyio.Lock()
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

    async def send(self, parcel: Parcel, hand: Hand) -> Reply:
        """Send one call, again while it is sure to have done nothing; None once all is stopped."""
        refusals = self._throttle.refusals()
        doubted = intercepted = False
        while self.stopped_by is None:
            try:
                await self._up()
                reply = await self._send_in_turn(parcel, hand)
            except EnrollError as error:  # no patience left, no token, no journal, no open client
                self.stop(error)
                break
            if reply is None:
                break
            if isinstance(reply, BulkAnswer):
                self._patience.answered()
                return reply
            if reply.meaning in _PAGES and await self._all_fare_so(reply, parcel, hand):
                if reply.meaning is Meaning.MASKED:
                    return evolve(reply, meaning=Meaning.UNKNOWN)
                if self.stopped_by or not intercepted:
                    intercepted = True  # what turns the site away each time narrows itself down
                    continue
            match reply.meaning:
                case Meaning.THROTTLED:
                    self._patience.answered()
                    if refusals.again():
                        continue
                case Meaning.NO_TOKEN:
                    self._patience.failed(reply.error)
                    continue
                case Meaning.UNREACHABLE if self._patience.proven:
                    self._patience.failed(reply.error)
                    continue
                case Meaning.UNAUTHORIZED if self._api.path is not None and not doubted:
                    doubted = True  # a token that was good until now: one refusal may be a stray
                    with self.until_stopped():
                        await anyio.sleep(self._patience.pause)
                    continue
                case Meaning.UNREACHABLE | Meaning.UNAUTHORIZED | Meaning.FATAL:
                    self.stop(reply.error)
                case Meaning.UNKNOWN | Meaning.UNDONE:
                    self._patience.failed(reply.error)
                case meaning if meaning in _PAGES:
                    pass  # that call's own affair
                case _:
                    self._patience.answered()
            return reply
        return None

    async def _all_fare_so(self, page: Failure, parcel: Parcel, hand: Hand) -> bool:
        """Whether harmless calls, too, get no answer where a page came for one: the site is down.

        Also where that cannot be found out, and the job stops: nothing is said against the call.
        """
        answers = False
        with hand.in_flight(parcel), self.until_stopped():
            try:
                answers = await self._api.answers()
            except EnrollError as error:
                self.stop(error)
        if not answers and not self.stopped_by:
            self._patience.trip(page.error)
        return not answers

    async def _up(self) -> None:
        """Wait for a platform that fails every call; tell of it."""
        if not self._patience.is_tried():
            return
        since = anyio.current_time()
        await self._chronicle.tell(Paused(job=self._chronicle.job))
        with self.until_stopped():
            await self._patience.up()
        if not self.stopped_by:
            seconds = anyio.current_time() - since
            await self._chronicle.tell(Continued(job=self._chronicle.job, seconds=seconds))

    async def _send_in_turn(self, parcel: Parcel, hand: Hand) -> Reply:
        async with AsyncExitStack() as stack:
            turn: Turn | None = None
            # A job has one call at a time in line, and so leaves room for others however
            # long it is.
            with self.until_stopped():
                async with self._line:
                    turn = await stack.enter_async_context(self._throttle.turn())
            if turn is None:
                return None
            if self.stopped_by:
                turn.unsent()
                return None
            hand.sent.set()
            try:
                # What is told as sent is sent, even if the job is to stop meanwhile: a run that
                # goes on from a journal would take it for lost, and mail nobody.
                call = await self._tell_sent(parcel)
            except JournalError:
                turn.unsent()
                raise
            since = anyio.current_time()
            with hand.in_flight(parcel):
                if parcel.batch.identifiers == (NOBODY,):
                    reply = await self._api.preflight(parcel.batch, turn)
                else:
                    reply = await self._api.bulk_enroll(
                        parcel.batch,
                        turn,
                        auto_enroll=self._auto_enroll,
                        email_students=parcel.mails,
                        reason=self._reason,
                    )
                await self._tell_answered(parcel, call, reply, anyio.current_time() - since)
            return reply

    async def _tell_sent(self, parcel: Parcel) -> int:
        """Tell that a parcel is about to be sent; give the number of the call."""
        call = next(self._calls)
        if parcel.planned is not None:
            event = BatchSent(
                job=self._chronicle.job,
                planned=parcel.planned,
                call=call,
                batch=parcel.batch,
                attempt=parcel.attempts + 1,
                email=parcel.mails,
            )
            await self._chronicle.tell(event)
        return call

    async def _tell_answered(
        self, parcel: Parcel, call: int, reply: BulkAnswer | Failure, seconds: float
    ) -> None:
        job = self._chronicle.job
        failure = reply if isinstance(reply, Failure) else None
        if failure and failure.meaning is Meaning.THROTTLED:
            await self._chronicle.tell(Throttled(job=job, call=call, seconds=failure.retry_after))
        if parcel.planned is not None:
            event = BatchAnswered(
                job=job,
                planned=parcel.planned,
                call=call,
                batch=parcel.batch,
                seconds=seconds,
                status=failure.status if failure else 200,
                meaning=failure.meaning if failure else None,
                error=str(failure.error) if failure else None,
            )
            await self._chronicle.tell(event)
