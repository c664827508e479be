"""Pursues a batch until every one of its pairs has a result, whatever its calls come to."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import nullcontext

import anyio
from attrs import evolve

from async_enroll.cancellation import is_cancelled
from async_enroll.delivery.attempt import Parcel
from async_enroll.delivery.dispatch import Dispatch, Hand, Reply
from async_enroll.delivery.event_log import Chronicle
from async_enroll.delivery.outcomes import (
    CERTAIN,
    Pair,
    answered,
    failed,
    found,
    given_up,
    pairs,
    rejected,
    unconfirmed,
    wanted,
)
from async_enroll.delivery.preflight import GoodPlaces, Vetting
from async_enroll.delivery.reconcile import Settling
from async_enroll.errors import EnrollError, JournalError
from async_enroll.events import BatchSettled, BatchSplit, Event
from async_enroll.http.failures import Failure, Meaning
from async_enroll.models import Batch, BatchLimits, Emit, Outcome
from async_enroll.pacing.batch_size import Sizing
from async_enroll.planning.batching import halves, places, plan, without
from async_enroll.platform.bulk_enroll import Api
from async_enroll.platform.json import BulkAnswer
from async_enroll.results import Block, pairs_in

MOST_ATTEMPTS = 10
"""How often pairs are sent whose fate remains unknown."""

_HOPELESS = 8
"""After how many culprits in a row, nothing done in between, narrowing down is no use."""

_CANCELLED = "the job was cancelled meanwhile"
_CANCELLED_BY_OTHERS = "a call was cancelled, though the job was not"
_AT_FAULT = (Meaning.REFUSED, Meaning.MISSING, Meaning.UNDONE)
_STOPPING = (Meaning.UNREACHABLE, Meaning.UNAUTHORIZED, Meaning.FATAL)

_Step = tuple[list[Block], list[Parcel]]
"""What has become of some pairs of a parcel, and what is to be pursued of the others."""


class Pursuit:
    """The parcels of one job on their way, a step at a time.

    `chronicle` is told of what became of pairs before `emit` has it. `cut_off` takes the
    results of what was in flight when the job was cancelled. `accounted` counts the pairs
    that have a result.
    """

    def __init__(
        self,
        api: Api,
        dispatch: Dispatch,
        settling: Settling,
        chronicle: Chronicle,
        emit: Emit[list[Block]],
        cut_off: list[Block],
        good_places: GoodPlaces,
        *,
        limits: BatchLimits,
        concurrency: int,
    ) -> None:
        self.dispatch = dispatch
        self.vetting: Vetting = Vetting(
            self._preflight, limits, good_places, dispatch.until_stopped
        )
        self.slots: anyio.Semaphore = anyio.Semaphore(concurrency)
        """One for each batch in hand; those that only wait to be settled lend theirs."""
        self.accounted = 0
        self._api = api
        self._settling = settling
        self._chronicle = chronicle
        self._emit = emit
        self._cut_off = cut_off
        self._limits = limits
        self._largest_taken = 0
        self._smallest_too_large = math.inf
        self._culprits_in_a_row = 0

    async def settled(self, planned: int | None, blocks: list[Block]) -> None:
        """Emit what became of pairs, once that is recorded."""
        if not blocks:
            return
        self.accounted += pairs_in(blocks)
        event = BatchSettled(job=self._chronicle.job, planned=planned, blocks=tuple(blocks))
        try:
            await self._tell(event)
        except anyio.get_cancelled_exc_class():
            self._cut_off += blocks
            raise
        await self._emit(blocks)

    async def _tell(self, event: Event) -> None:
        """Tell of an event; what cannot be kept stops the job."""
        try:
            await self._chronicle.tell(event)
        except JournalError as error:
            self.dispatch.stop(error)

    def sizing(self, parcel: Parcel) -> Sizing:
        """How many pairs of a parcel one call should carry."""
        return self._api.sizing(email_students=parcel.mails)

    async def pursue(self, parcel: Parcel, sent: anyio.Event) -> None:
        """Pursue a parcel; set `sent` when others may follow it.

        One that an earlier run of the job has lost is first looked for.
        """
        if parcel.lost:
            parcel = evolve(parcel, unsettled=EnrollError("the job was interrupted meanwhile"))
            sent.set()
        waiting = [parcel]
        hand = Hand([], sent)
        try:
            while waiting:
                hand.parcels = [waiting.pop(0)]
                blocks, more = await self._step(hand.parcels[0], hand)
                hand.parcels, waiting = [], [*more, *waiting]
                await self.settled(parcel.planned, blocks)
        except anyio.get_cancelled_exc_class():
            left = [*hand.parcels, *waiting]
            for part in left:
                if part.touched:
                    self._cut_off += unconfirmed(part, _CANCELLED)
            if is_cancelled():
                raise
            # Something that this job uses was cancelled by somebody else.
            error = EnrollError(_CANCELLED_BY_OTHERS)
            self.dispatch.stop(error)
            for part in left:
                if not part.touched:
                    await self._give_up(part, error)

    async def _step(self, parcel: Parcel, hand: Hand) -> _Step:
        if parcel.unsettled:
            return await self._look_up(parcel, parcel.unsettled)
        batch = parcel.batch
        await self.vetting.vet(places(batch))
        good, refused = without(batch, self.vetting.bad)
        if refused:
            bad = self.vetting.bad
            blocks = [
                block
                for part in refused
                for block in rejected(parcel.with_batch(part), bad[places(part)[0]])
            ]
            return blocks, [parcel.with_batch(good)] if good else []
        if batch.pairs > 1 and not self._is_hopeless and self._is_too_large(parcel):
            hand.sent.set()
            return await self._in_halves(parcel)
        return await self._conclude(parcel, await self.dispatch.send(parcel, hand), hand)

    @property
    def _is_hopeless(self) -> bool:
        return self._culprits_in_a_row >= _HOPELESS

    def _is_too_large(self, parcel: Parcel) -> bool:
        """Whether a call would carry more than the site was seen to take."""
        most = self.sizing(parcel).most
        return parcel.batch.pairs > most or _weight(parcel.batch) >= self._smallest_too_large

    async def _preflight(self, batch: Batch) -> BulkAnswer | Failure:
        """Send a call without effect; again where nothing tells what became of it."""
        for _ in range(MOST_ATTEMPTS if batch.pairs == 1 else CERTAIN):
            parcel = Parcel(batch, email=False)
            try:
                reply = await self.dispatch.send(parcel, Hand([parcel]))
            except anyio.get_cancelled_exc_class():
                if is_cancelled():
                    raise
                self.dispatch.stop(EnrollError(_CANCELLED_BY_OTHERS))
                reply = None
            if reply is None or isinstance(reply, BulkAnswer):
                break
            if reply.meaning is not Meaning.UNKNOWN:
                break
        stopped = self.dispatch.stopped_by or EnrollError("stopped")
        return reply or Failure(Meaning.FATAL, stopped)

    async def _conclude(self, parcel: Parcel, reply: Reply, hand: Hand) -> _Step:
        """Do what a reply calls for; None is that all was stopped before the parcel was sent."""
        stopped_by = self.dispatch.stopped_by
        if reply is None:
            return await self._give_up(parcel, stopped_by or EnrollError("stopped"))
        sent = _after(parcel, reply)
        if isinstance(reply, BulkAnswer):
            return self._answered(sent, reply)
        match reply.meaning:
            case meaning if stopped_by and meaning in _STOPPING:
                return await self._give_up(sent, reply.error)
            case Meaning.UNKNOWN:
                return [], [evolve(sent, lost=True, unsettled=reply.error)]
            case Meaning.TOO_LARGE:
                return await self._shrink(sent, reply)
            case Meaning.INTERCEPTED:
                return await self._turned_away(sent, reply)
            case Meaning.MASKED:
                return await self._turned_away(evolve(sent, lost=True), reply)
            case meaning if meaning in _AT_FAULT:
                hand.parcels = [sent if each is parcel else each for each in hand.parcels]
                return await self._isolate(sent, reply, hand)
        return rejected(sent, reply.error), []

    async def _give_up(self, parcel: Parcel, why: EnrollError) -> _Step:
        """Emit that a parcel was not sent, unless the job can be gone on with."""
        if not self._chronicle.durable:
            blocks = given_up(parcel, why)
            self.accounted += pairs_in(blocks)
            await self._emit(blocks)
        return [], []

    def _answered(self, parcel: Parcel, answer: BulkAnswer) -> _Step:
        """Take what an answer tells; have sent again, without mail, what it leaves in doubt."""
        self._largest_taken = max(self._largest_taken, _weight(parcel.batch))
        self._culprits_in_a_row = 0
        told = answered(parcel, answer)
        blocks = told.blocks
        doubtful = self._parts(evolve(parcel, lost=True, errors=0), told.doubtful)
        if parcel.attempts >= MOST_ATTEMPTS:
            words = "the platform's answers do not tell what became of this pair"
            blocks += [block for part in doubtful for block in unconfirmed(part, words)]
            doubtful = []
        return blocks, [
            *doubtful,
            *self._erroneous(parcel, told.erroneous),
            *self._parts(evolve(parcel, quiet=True, errors=parcel.errors + 1), told.undone),
        ]

    def _erroneous(self, parcel: Parcel, some: list[Pair]) -> list[Parcel]:
        """Pairs that the platform flags as errors: again, without mail; at last looked for.

        Until 2026 only the mail may have failed, and not the enrollment.
        """
        parcel = evolve(parcel, lost=True, errors=parcel.errors + 1)
        if parcel.errors >= CERTAIN:
            failure = EnrollError("the platform failed on this identifier; its log says why")
            parcel = evolve(parcel, unsettled=failure, last_look=Outcome.ERROR)
        return self._parts(parcel, some)

    async def _look_up(self, parcel: Parcel, error: EnrollError) -> _Step:
        """Find out what became of a lost call; send again what it has not done."""
        self.slots.release()
        # A job that can be gone on with looks later for what it has lost.
        durable = self._chronicle.durable
        seen: set[Pair] = set()
        with self.dispatch.until_stopped() if durable else nullcontext():
            ended = parcel.last_look is not None
            seen = await self._settling.found(parcel.batch, ended=ended)
        await self.slots.acquire()
        done = found(parcel, seen)
        left = [pair for pair in pairs(parcel.batch) if pair not in seen]
        parts = self._parts(evolve(parcel, lost=True, unsettled=None), left)
        stopped = durable and self.dispatch.stopped_by is not None
        if parcel.last_look and not stopped:
            ends = [block for part in parts for block in failed(part, parcel.last_look, error)]
            return [*done, *ends], []
        if parcel.attempts >= MOST_ATTEMPTS and not self.dispatch.stopped_by:
            ends = [block for part in parts for block in unconfirmed(part, error)]
            return [*done, *ends], []
        return done, [smaller for part in parts for smaller in _smaller(part)]

    async def _isolate(self, parcel: Parcel, failure: Failure, hand: Hand) -> _Step:
        """Narrow down what a call was refused or undone for; do the rest.

        First by course, which costs nobody a thing, then by identifier, in halves.
        """
        batch = parcel.batch
        if failure.meaning is Meaning.MISSING and self.vetting.blame(batch, failure):
            return [], [parcel]
        if not parcel.vetted or failure.meaning is Meaning.MISSING:
            await self.vetting.vet(places(batch), again=True)
            parcel = evolve(parcel, vetted=True)
        if any(place in self.vetting.bad for place in places(batch)):
            return [], [parcel]
        if batch.pairs == 1 or self._is_hopeless:
            return self._blame(parcel, failure)
        if len(batch.identifiers) > 1:
            return await self._in_halves(parcel)
        return await self._isolate_courses(parcel, failure, hand)

    async def _isolate_courses(self, parcel: Parcel, failure: Failure, hand: Hand) -> _Step:
        """Narrow down where one learner fails; if in both halves of the courses, then in all."""
        first, second = hand.parcels = [parcel.with_batch(half) for half in halves(parcel.batch)]
        reply = await self.dispatch.send(first, hand)
        if not _is_at_fault(reply):
            blocks, more = await self._conclude(first, reply, hand)
            return blocks, [*more, second]
        first = _after(first, reply)
        hand.parcels = [first, second]
        other = await self.dispatch.send(second, hand)
        if _is_at_fault(other):
            return [*_blamed(first, failure), *_blamed(_after(second, other), failure)], []
        blocks, more = await self._conclude(second, other, hand)
        return blocks, [*more, first]

    def _blame(self, parcel: Parcel, failure: Failure) -> _Step:
        """Reject what the platform fails on when nothing else is sent, once that is certain."""
        passing = failure.meaning in (Meaning.MISSING, Meaning.UNDONE, Meaning.TOO_LARGE)
        if passing and parcel.failed_alone + 1 < CERTAIN:
            return [], [evolve(parcel, failed_alone=parcel.failed_alone + 1)]
        self._culprits_in_a_row += 1
        return _blamed(parcel, failure), []

    async def _shrink(self, parcel: Parcel, failure: Failure) -> _Step:
        """Halve a call that is too large, and remember the size if none as large was taken."""
        weight = _weight(parcel.batch)
        if weight > self._largest_taken:
            self._smallest_too_large = min(self._smallest_too_large, weight)
        if parcel.batch.pairs == 1 or self._is_hopeless:
            return self._blame(parcel, failure)
        return await self._in_halves(parcel)

    async def _turned_away(self, parcel: Parcel, failure: Failure) -> _Step:
        """Narrow down what something in front of the site rejects, though not harmless calls."""
        if not parcel.turned_away:
            return [], [evolve(parcel, turned_away=True)]
        if parcel.batch.pairs > 1 and not self._is_hopeless:
            return await self._in_halves(parcel)
        if parcel.lost:
            last = evolve(parcel, unsettled=failure.error, last_look=Outcome.UNCONFIRMED)
            return [], [last]
        return self._blame(parcel, failure)

    async def _in_halves(self, parcel: Parcel) -> _Step:
        if parcel.planned is not None:
            event = BatchSplit(job=self._chronicle.job, planned=parcel.planned, batch=parcel.batch)
            await self._tell(event)
        return [], [parcel.with_batch(half) for half in halves(parcel.batch)]

    def _parts(self, parcel: Parcel, some: Iterable[Pair]) -> list[Parcel]:
        """The parcels for some of the pairs of one."""
        return [
            parcel.with_batch(batch) for batch in plan(wanted(parcel.batch, some), self._limits)
        ]


def _after(parcel: Parcel, reply: BulkAnswer | Failure | None) -> Parcel:
    """A parcel once it was sent: undone after mail may have gone, it goes without from then on."""
    sent = evolve(parcel, attempts=parcel.attempts + 1)
    if isinstance(reply, Failure) and reply.meaning.may_have_mailed and parcel.mails:
        return evolve(sent, quiet=True)
    return sent


def _smaller(parcel: Parcel) -> list[Parcel]:
    """A parcel in halves, if it was lost more than once: it may be more than a gateway bears."""
    if parcel.attempts <= 1 or parcel.batch.pairs == 1:
        return [parcel]
    return [parcel.with_batch(half) for half in halves(parcel.batch)]


def _is_at_fault(reply: Reply) -> bool:
    return isinstance(reply, Failure) and reply.meaning in _AT_FAULT


def _weight(batch: Batch) -> int:
    """The size of a call's body, but for a constant and what JSON escapes."""
    return sum(map(len, batch.identifiers)) + sum(map(len, batch.courses))


def _blamed(parcel: Parcel, failure: Failure) -> list[Block]:
    words = str(failure.error)
    if failure.meaning is Meaning.UNDONE:
        whom = "this learner" if len(parcel.batch.identifiers) == 1 else "a learner of this call"
        words = f"the platform fails on {whom}; its log says why ({words})"
    return rejected(parcel, words)
