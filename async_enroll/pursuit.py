"""Pursues a batch until every one of its pairs has a result, whatever its calls come to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack, contextmanager, nullcontext
from weakref import WeakSet

import anyio
from attrs import evolve

from async_enroll.api import Api
from async_enroll.background import Emit
from async_enroll.batching import NOBODY, halves, places, plan, without
from async_enroll.chronicle import Chronicle
from async_enroll.errors import EnrollError, JournalError
from async_enroll.events import (
    BatchAnswered,
    BatchSent,
    BatchSettled,
    BatchSplit,
    Continued,
    Paused,
    Throttled,
)
from async_enroll.fates import Block
from async_enroll.models import Batch, BatchLimits
from async_enroll.outcomes import (
    Pair,
    answered,
    asked,
    found,
    given_up,
    pairs,
    rejected,
    unconfirmed,
    wanted,
)
from async_enroll.parcel import Inquiry, Parcel, Phase
from async_enroll.patience import Patience
from async_enroll.settling import Settling
from async_enroll.sizing import Sizing
from async_enroll.throttle import MOST_REFUSALS, Throttle, Turn
from async_enroll.verdict import Failure, Meaning
from async_enroll.vetting import Vetting
from async_enroll.wire import BulkAnswer

MOST_ATTEMPTS = 10
"""How often pairs are sent whose fate remains unknown."""

_CERTAIN = 3
"""How often the platform must fail on a pair alone: one failure may be passing."""

_HOPELESS = 8
"""After how many culprits in a row, nothing done in between, narrowing down is no use."""

_CANCELLED = "the job was cancelled meanwhile"
_AT_FAULT = (Meaning.REFUSED, Meaning.MISSING, Meaning.UNDONE)
_STOPPING = (Meaning.UNREACHABLE, Meaning.UNAUTHORIZED, Meaning.FATAL)


class Pursuit:
    """The calls of one job.

    `chronicle` is told of every one of them before it is sent, and of what became of its
    pairs before `emit` has it. `cut_off` takes the results of what was in flight when the
    job was cancelled. `stopped_by` is what has shown that no further call of the job would
    fare better.
    """

    def __init__(
        self,
        api: Api,
        throttle: Throttle,
        patience: Patience,
        settling: Settling,
        chronicle: Chronicle,
        emit: Emit[list[Block]],
        cut_off: list[Block],
        *,
        calls: Iterator[int],
        limits: BatchLimits,
        concurrency: int,
        auto_enroll: bool,
        reason: str | None = None,
    ) -> None:
        self.stopped_by: EnrollError | None = None
        self.vetting: Vetting = Vetting(self._preflight, limits)
        self.slots: anyio.Semaphore = anyio.Semaphore(concurrency)
        """One for each batch in hand; those that only wait to be settled lend theirs."""
        self._api = api
        self._throttle = throttle
        self._patience = patience
        self._settling = settling
        self._chronicle = chronicle
        self._emit = emit
        self._cut_off = cut_off
        self._calls = calls
        self._limits = limits
        self._auto_enroll = auto_enroll
        self._reason = reason
        self._line = anyio.Lock()
        self._waits: WeakSet[anyio.CancelScope] = WeakSet()
        self._largest_taken = 0
        self._smallest_too_large = math.inf
        self._culprits_in_a_row = 0

    def stop(self, why: EnrollError) -> None:
        """Send nothing more; what is in flight is finished."""
        self.stopped_by = self.stopped_by or why
        for wait in self._waits:
            wait.cancel()

    def _until_stopped(self) -> anyio.CancelScope:
        """A scope to wait in for no longer than until the job is to stop."""
        wait = anyio.CancelScope()
        if self.stopped_by:
            wait.cancel()
        self._waits.add(wait)
        return wait

    async def settled(self, planned: int | None, blocks: list[Block]) -> None:
        """Emit what became of pairs, once that is recorded."""
        if not blocks:
            return
        event = BatchSettled(job=self._chronicle.job, planned=planned, blocks=tuple(blocks))
        try:
            await self._chronicle.tell(event)
        except JournalError as error:
            self.stopped_by = self.stopped_by or error
        except anyio.get_cancelled_exc_class():
            self._cut_off += blocks
            raise
        await self._emit(blocks)

    def sizing(self, parcel: Parcel) -> Sizing:
        """How many pairs of a parcel one call should carry."""
        return self._api.sizing(email_students=parcel.mails)

    async def take_up(self, parcel: Parcel, sent: anyio.Event) -> None:
        """Pursue a parcel; set `sent` when others may follow it.

        One that an earlier run of the job has lost is first looked for.
        """
        if parcel.lost:
            sent.set()
            await self._settle(parcel, EnrollError("the job was interrupted meanwhile"))
        else:
            await self.pursue(parcel, sent)

    async def pursue(self, parcel: Parcel, sent: anyio.Event | None = None) -> None:
        """Send a parcel; emit one result for each of its pairs, as they become known."""
        good, refused = without(parcel.batch, self.vetting.bad)
        for batch in refused:
            # The platform fails on entering such a course, before it mails anyone there.
            error = self.vetting.bad[places(batch)[0]]
            blocks = rejected(parcel.with_batch(batch), error, notified=False)
            await self.settled(parcel.planned, blocks)
        if good is None:
            return
        if refused:
            parcel = parcel.with_batch(good)
        if good.pairs > 1 and self._is_too_large(parcel):
            if sent:
                sent.set()
            await self._pursue_halves(parcel)
            return
        await self._follow(parcel, await self._send(parcel, sent))

    def _is_too_large(self, parcel: Parcel) -> bool:
        """Whether a call would carry more than the site was seen to take."""
        most = self.sizing(parcel).most
        return parcel.batch.pairs > most or _weight(parcel.batch) >= self._smallest_too_large

    async def _send(
        self, parcel: Parcel, sent: anyio.Event | None = None
    ) -> BulkAnswer | Failure | None:
        """Send one call, again while it is sure to have done nothing; None once all is stopped.

        `sent` is set when it has its place in the window.
        """
        with self._in_doubt(parcel) if parcel.lost else nullcontext():
            return await self._send_until_taken(parcel, sent or anyio.Event())

    async def _send_until_taken(
        self, parcel: Parcel, sent: anyio.Event
    ) -> BulkAnswer | Failure | None:
        refusals = 0
        while self.stopped_by is None:
            try:
                await self._up()
                reply = await self._send_in_turn(parcel, sent)
            except EnrollError as error:  # no patience left, no token, no journal, no open client
                self.stopped_by = self.stopped_by or error
                break
            if reply is None:
                break
            if isinstance(reply, BulkAnswer):
                self._patience.answered()
                return reply
            match reply.meaning:
                case Meaning.THROTTLED:
                    self._patience.answered()
                    refusals += 1
                    if refusals < MOST_REFUSALS:
                        continue
                case Meaning.NO_TOKEN:
                    self._patience.failed(reply.error)
                    continue
                case Meaning.UNREACHABLE if self._patience.proven:
                    self._patience.failed(reply.error)
                    continue
                case Meaning.UNREACHABLE | Meaning.UNAUTHORIZED | Meaning.FATAL:
                    self.stopped_by = self.stopped_by or reply.error
                case Meaning.UNKNOWN | Meaning.UNDONE:
                    self._patience.failed(reply.error)
                case _:
                    self._patience.answered()
            return reply
        return None

    async def _up(self) -> None:
        """Wait for a platform that fails every call; tell of it."""
        if not self._patience.is_tried():
            return
        since = anyio.current_time()
        await self._chronicle.tell(Paused(job=self._chronicle.job))
        with self._until_stopped():
            await self._patience.up()
        if not self.stopped_by:
            seconds = anyio.current_time() - since
            await self._chronicle.tell(Continued(job=self._chronicle.job, seconds=seconds))

    async def _send_in_turn(self, parcel: Parcel, sent: anyio.Event) -> BulkAnswer | Failure | None:
        async with AsyncExitStack() as stack:
            turn: Turn | None = None
            # A job has one call at a time in line, and so leaves room for others however
            # long it is.
            with self._until_stopped():
                async with self._line:
                    turn = await stack.enter_async_context(self._throttle.turn())
            if turn is None:
                return None
            sent.set()
            try:
                call = await self._tell_sent(parcel)
            except JournalError:
                turn.unsent()
                raise
            if self.stopped_by:
                turn.unsent()
                return None
            attempt = evolve(parcel, attempts=parcel.attempts + 1)
            since = anyio.current_time()
            with nullcontext() if parcel.lost else self._in_doubt(attempt):
                reply = await self._api.bulk_enroll(
                    parcel.batch,
                    turn,
                    auto_enroll=self._auto_enroll,
                    email_students=parcel.mails,
                    reason=None if parcel.batch.identifiers == (NOBODY,) else self._reason,
                )
                await self._tell_answered(parcel, call, reply, anyio.current_time() - since)
                return reply

    async def _tell_sent(self, parcel: Parcel) -> int:
        """Tell that a parcel is about to be sent; give the number of the call."""
        call = next(self._calls)
        if parcel.planned is not None and not self.stopped_by:
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

    @contextmanager
    def _in_doubt(self, parcel: Parcel) -> Iterator[None]:
        """Where the body is cancelled, nobody knows what has become of the parcel."""
        try:
            yield
        except anyio.get_cancelled_exc_class():
            if parcel.batch.identifiers != (NOBODY,):
                self._cut_off += unconfirmed(parcel, _CANCELLED)
            raise

    async def _preflight(self, batch: Batch) -> BulkAnswer | Failure:
        """Send a call without effect; again where nothing tells what became of it."""
        for _ in range(MOST_ATTEMPTS):
            reply = await self._send(Parcel(batch, email=False))
            if reply is None or isinstance(reply, BulkAnswer):
                break
            if reply.meaning is not Meaning.UNKNOWN:
                break
        return reply or Failure(Meaning.FATAL, self.stopped_by or EnrollError("stopped"))

    async def _follow(self, parcel: Parcel, reply: BulkAnswer | Failure | None) -> None:
        """Do what a reply calls for; None is that all was stopped before the parcel was sent."""
        if reply is not None:
            await self._conclude(evolve(parcel, attempts=parcel.attempts + 1), reply)
        elif self.stopped_by:
            await self._give_up(parcel, self.stopped_by)

    async def _give_up(self, parcel: Parcel, why: EnrollError) -> None:
        """Emit that a parcel was not sent, unless the job can be gone on with."""
        if not self._chronicle.durable:
            await self._emit(given_up(parcel, why))

    async def _conclude(self, parcel: Parcel, reply: BulkAnswer | Failure) -> None:
        if isinstance(reply, BulkAnswer):
            await self._settle_answer(parcel, reply)
        elif self.stopped_by and reply.meaning in _STOPPING:
            await self._give_up(parcel, reply.error)
        elif reply.meaning is Meaning.UNKNOWN:
            await self._settle(parcel, reply.error)
        elif reply.meaning is Meaning.TOO_LARGE:
            await self._shrink(parcel, reply)
        elif reply.meaning in _AT_FAULT:
            await self._isolate(parcel, reply)
        elif parcel.lost:
            await self.settled(parcel.planned, unconfirmed(parcel, reply.error))
        else:
            blocks = rejected(parcel, reply.error, notified=parcel.notified_so_far)
            await self.settled(parcel.planned, blocks)

    async def _settle_answer(self, parcel: Parcel, answer: BulkAnswer) -> None:
        self._largest_taken = max(self._largest_taken, _weight(parcel.batch))
        self._culprits_in_a_row = 0
        blocks, lacking = answered(parcel, answer)
        if parcel.inquiry:
            blocks, never_done = asked(blocks)
            lost = evolve(parcel, lost=True, inquiry=None)
            parcel.inquiry.never_done += self._parts(lost, never_done)
        missing = self._parts(evolve(parcel, lost=True), lacking) if lacking else []
        with self._accounted_for(missing):
            await self.settled(parcel.planned, blocks)
            while missing:
                error = EnrollError("the platform's answer does not mention this pair")
                await self._settle(missing.pop(0), error)

    async def _settle(self, parcel: Parcel, error: EnrollError) -> None:
        """Find out what became of a lost call; send again what it has not done."""
        self.slots.release()
        seen: set[Pair] = set()
        with self._in_doubt(parcel):
            # A job that can be gone on with looks later for what it has lost.
            with self._until_stopped() if self._chronicle.durable else nullcontext():
                seen = await self._settling.found(parcel.batch)
            await self.slots.acquire()
        done = found(parcel, seen, auto_enroll=self._auto_enroll)
        parcel = evolve(parcel, lost=True)
        left = [pair for pair in pairs(parcel.batch) if pair not in seen]
        parts = self._parts(parcel, left)
        if parcel.attempts >= MOST_ATTEMPTS and not self.stopped_by:
            with self._accounted_for(parts):
                await self.settled(parcel.planned, done)
                while parts:
                    part = parts.pop(0)
                    await self.settled(part.planned, unconfirmed(part, error))
        elif parcel.mail_at_stake:
            await self._ask(parcel, done, parts)
        else:
            parts = [smaller for part in parts for smaller in _smaller(part)]
            with self._accounted_for(parts):
                await self.settled(parcel.planned, done)
                await self._pursue_all(parts)

    async def _ask(self, parcel: Parcel, done: list[Block], parts: list[Parcel]) -> None:
        """Ask by writing without mail whether `parts` were done; send again what was not.

        An address that is not listed may yet wait for registration, which no listing shows. And
        whatever is listed or not, a call that was undone has mailed before.
        """
        inquiry = Inquiry()
        # First of one identifier: where the lost call is still at work after all, that one waits
        # behind it on the rows they share, and the others are asked about only then.
        asking = [
            evolve(part, batch=batch, phase=Phase.ASK, inquiry=inquiry)
            for part in parts
            for batch in _one_first(part.batch)
        ]
        with self._accounted_for(asking), self._accounted_for(inquiry.never_done):
            await self.settled(parcel.planned, done)
            await self._pursue_all(asking)
            phase = Phase.QUIET if inquiry.undone else Phase.SEND
            while inquiry.never_done:
                await self.pursue(evolve(inquiry.never_done.pop(0), phase=phase))

    async def _isolate(self, parcel: Parcel, failure: Failure) -> None:
        """Narrow down what a call was refused or undone for; do the rest.

        First by course, which costs nobody a thing, then by identifier, in halves.
        """
        if failure.meaning is not Meaning.REFUSED:
            if parcel.mails:
                parcel = evolve(parcel, phase=Phase.QUIET)
            if parcel.inquiry:
                parcel.inquiry.undone = True
        batch = parcel.batch
        if not parcel.vetted or failure.meaning is Meaning.MISSING:
            await self.vetting.vet(places(batch), again=True)
            parcel = evolve(parcel, vetted=True)
        if any(place in self.vetting.bad for place in places(batch)):
            await self.pursue(parcel)
        elif batch.pairs == 1 or self._culprits_in_a_row >= _HOPELESS:
            await self._blame(parcel, failure)
        elif len(batch.identifiers) > 1:
            await self._pursue_halves(parcel)
        else:
            await self._isolate_courses(parcel, failure)

    async def _isolate_courses(self, parcel: Parcel, failure: Failure) -> None:
        """Narrow down where one learner fails; if in both halves of the courses, then in all."""
        first, second = (parcel.with_batch(half) for half in halves(parcel.batch))
        with self._accounted_for(waiting := [second]):
            reply = await self._send(first)
            if not _is_at_fault(reply):
                await self._follow(first, reply)
                await self.pursue(waiting.pop())
                return
        other = await self._send(second)
        if _is_at_fault(other):
            parcel = evolve(parcel, attempts=parcel.attempts + 1)
            await self.settled(parcel.planned, _blamed(parcel, failure))
        else:
            await self._follow(second, other)
            await self._follow(first, reply)

    async def _blame(self, parcel: Parcel, failure: Failure) -> None:
        """Reject what the platform fails on when nothing else is sent, once that is certain."""
        passing = failure.meaning is not Meaning.REFUSED
        if passing and parcel.failed_alone + 1 < _CERTAIN:
            await self.pursue(evolve(parcel, failed_alone=parcel.failed_alone + 1))
        else:
            self._culprits_in_a_row += 1
            await self.settled(parcel.planned, _blamed(parcel, failure))

    async def _shrink(self, parcel: Parcel, failure: Failure) -> None:
        """Halve a call that is too large, and remember the size if none as large was taken."""
        weight = _weight(parcel.batch)
        if weight > self._largest_taken:
            self._smallest_too_large = min(self._smallest_too_large, weight)
        if parcel.batch.pairs == 1:
            await self._blame(parcel, failure)
        else:
            await self._pursue_halves(parcel)

    async def _pursue_halves(self, parcel: Parcel) -> None:
        if parcel.planned is not None:
            event = BatchSplit(job=self._chronicle.job, planned=parcel.planned, batch=parcel.batch)
            await self._chronicle.tell(event)
        await self._pursue_all([parcel.with_batch(half) for half in halves(parcel.batch)])

    async def _pursue_all(self, parcels: list[Parcel]) -> None:
        with self._accounted_for(parcels):
            while parcels:
                await self.pursue(parcels.pop(0))

    @contextmanager
    def _accounted_for(self, waiting: list[Parcel]) -> Iterator[None]:
        """Where the body is cancelled, account for the parcels that are then in the list."""
        try:
            yield
        except anyio.get_cancelled_exc_class():
            for parcel in waiting:
                if parcel.lost or parcel.phase is not Phase.SEND:
                    self._cut_off += unconfirmed(parcel, _CANCELLED)
            waiting.clear()  # once is enough
            raise

    def _parts(self, parcel: Parcel, some: Iterable[Pair]) -> list[Parcel]:
        """The parcels for some of the pairs of one."""
        return [
            parcel.with_batch(batch) for batch in plan(wanted(parcel.batch, some), self._limits)
        ]


def _smaller(parcel: Parcel) -> list[Parcel]:
    """A parcel in halves, if it was lost more than once: it may be more than a gateway bears."""
    if parcel.attempts <= 1 or parcel.batch.pairs == 1:
        return [parcel]
    return [parcel.with_batch(half) for half in halves(parcel.batch)]


def _one_first(batch: Batch) -> list[Batch]:
    """A batch as two: of its first identifier, and of the others."""
    first, *others = batch.identifiers
    return [evolve(batch, identifiers=some) for some in ((first,), tuple(others)) if some]


def _is_at_fault(reply: BulkAnswer | Failure | None) -> bool:
    return isinstance(reply, Failure) and reply.meaning in _AT_FAULT


def _weight(batch: Batch) -> int:
    """The size of a call's body, but for a constant and what JSON escapes."""
    return sum(map(len, batch.identifiers)) + sum(map(len, batch.courses))


def _blamed(parcel: Parcel, failure: Failure) -> list[Block]:
    words = str(failure.error)
    if failure.meaning is Meaning.UNDONE:
        words = f"the platform fails on this learner; its log says why ({words})"
    return rejected(parcel, words, notified=parcel.notified_so_far)
