"""Delivers a batch until each of its pairs has a result, whatever happens to its calls.

Takes attempts from `jobs.runner`. Sends them through `delivery.dispatch`, turns answers into
results with `delivery.outcomes`, looks up lost calls with `delivery.reconcile`, and bisects batches
that fail. Emits blocks of results, after the event log has recorded them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from contextlib import nullcontext

import anyio
from attrs import evolve

from async_enroll.cancellation import is_cancelled
from async_enroll.delivery.attempt import Attempt
from async_enroll.delivery.dispatch import Dispatch, Hand, Reply
from async_enroll.delivery.event_log import EventLog
from async_enroll.delivery.outcomes import (
    CERTAIN,
    Pair,
    answered,
    desired,
    failed,
    found,
    given_up,
    pairs,
    rejected,
    unconfirmed,
)
from async_enroll.delivery.preflight import GoodPlaces, Preflight
from async_enroll.delivery.reconcile import Reconciler
from async_enroll.errors import EnrollError, JournalError
from async_enroll.events import BatchSettled, BatchSplit, Event
from async_enroll.http.failures import Failure, FailureKind
from async_enroll.models import Batch, BatchLimits, Emit, Outcome
from async_enroll.pacing.batch_size import BatchSize
from async_enroll.planning.batching import halves, places, plan, without
from async_enroll.platform.bulk_enroll import BulkEnrollApi
from async_enroll.platform.json import BulkAnswer
from async_enroll.results import Block, pairs_in

MOST_ATTEMPTS = 10
"""How often pairs are sent at most while their outcome remains unknown."""

_MOST_CULPRITS = 8
"""Bisecting stops after this many rejected pairs in a row: everything fails then."""

_CANCELLED = "the job was cancelled meanwhile"
_CANCELLED_BY_OTHERS = "a call was cancelled, though the job was not"
_AT_FAULT = (FailureKind.REFUSED, FailureKind.MISSING, FailureKind.UNDONE)
_STOPPING = (FailureKind.UNREACHABLE, FailureKind.UNAUTHORIZED, FailureKind.FATAL)

_Step = tuple[list[Block], list[Attempt]]
"""The results of some pairs of an attempt, and the attempts still to make for the others."""


class Delivery:
    """Delivers the batches of one job.

    Results go to `event_log` first, then to `emit`. `cut_off` collects the results of calls in
    flight when the job was cancelled. `accounted` counts the pairs that have a result.
    """

    def __init__(
        self,
        api: BulkEnrollApi,
        dispatch: Dispatch,
        reconciler: Reconciler,
        event_log: EventLog,
        emit: Emit[list[Block]],
        cut_off: list[Block],
        good_places: GoodPlaces,
        *,
        limits: BatchLimits,
        concurrency: int,
    ) -> None:
        self.dispatch = dispatch
        self.preflight: Preflight = Preflight(
            self._preflight, limits, good_places, dispatch.until_stopped
        )
        self.slots: anyio.Semaphore = anyio.Semaphore(concurrency)
        """One for each batch being delivered. Reconciling releases it, as it mostly waits."""
        self.accounted: int = 0
        self._api = api
        self._reconciler = reconciler
        self._event_log = event_log
        self._emit = emit
        self._cut_off = cut_off
        self._limits = limits
        self._largest_taken = 0
        self._smallest_too_large = math.inf
        self._culprits_in_a_row = 0

    async def settled(self, planned: int | None, blocks: list[Block]) -> None:
        """Record results, then emit them."""
        if not blocks:
            return
        self.accounted += pairs_in(blocks)
        now = time.time()
        blocks = [evolve(block, at=now) for block in blocks]
        event = BatchSettled(job=self._event_log.job, at=now, planned=planned, blocks=tuple(blocks))
        try:
            await self._record(event)
        except anyio.get_cancelled_exc_class():
            self._cut_off += blocks
            raise
        await self._emit(blocks)

    async def _record(self, event: Event) -> None:
        """Record an event; stop the job where that fails."""
        try:
            await self._event_log.record(event)
        except JournalError as error:
            self.dispatch.stop(error)

    def batch_size(self, attempt: Attempt) -> BatchSize:
        """Return the batch size, in pairs, for calls of this kind."""
        return self._api.batch_size(email_students=attempt.mails)

    async def deliver(self, attempt: Attempt, sent: anyio.Event) -> None:
        """Deliver an attempt; set `sent` when the next one may start.

        An attempt that an earlier run of the job has lost is reconciled first.
        """
        if attempt.lost:
            attempt = evolve(attempt, unsettled=EnrollError("the job was interrupted meanwhile"))
            sent.set()
        waiting = [attempt]
        hand = Hand([], sent)
        try:
            while waiting:
                hand.attempts = [waiting.pop(0)]
                blocks, more = await self._step(hand.attempts[0], hand)
                hand.attempts, waiting = [], [*more, *waiting]
                await self.settled(attempt.planned, blocks)
        except anyio.get_cancelled_exc_class():
            left = [*hand.attempts, *waiting]
            for part in left:
                if part.touched:
                    self._cut_off += unconfirmed(part, _CANCELLED)
            if is_cancelled():
                raise
            # Somebody else cancelled something that this job uses.
            error = EnrollError(_CANCELLED_BY_OTHERS)
            self.dispatch.stop(error)
            for part in left:
                if not part.touched:
                    await self._give_up(part, error)

    async def _step(self, attempt: Attempt, hand: Hand) -> _Step:
        if attempt.unsettled:
            return await self._reconcile(attempt, attempt.unsettled)
        batch = attempt.batch
        await self.preflight.check(places(batch))
        good, refused = without(batch, self.preflight.bad)
        if refused:
            bad = self.preflight.bad
            blocks = [
                block
                for part in refused
                for block in rejected(attempt.with_batch(part), bad[places(part)[0]])
            ]
            return blocks, [attempt.with_batch(good)] if good else []
        if batch.pairs > 1 and not self._narrowing_stopped and self._is_too_large(attempt):
            hand.sent.set()
            return await self._split(attempt)
        return await self._handle_reply(attempt, await self.dispatch.send(attempt, hand), hand)

    @property
    def _narrowing_stopped(self) -> bool:
        return self._culprits_in_a_row >= _MOST_CULPRITS

    def _is_too_large(self, attempt: Attempt) -> bool:
        """Whether a call would be larger than the site has been seen to accept."""
        most = self.batch_size(attempt).most
        return attempt.batch.pairs > most or _weight(attempt.batch) >= self._smallest_too_large

    async def _preflight(self, batch: Batch) -> BulkAnswer | Failure:
        """Send a call without effect; repeat it while its outcome is unknown."""
        for _ in range(MOST_ATTEMPTS if batch.pairs == 1 else CERTAIN):
            attempt = Attempt(batch, email=False)
            try:
                reply = await self.dispatch.send(attempt, Hand([attempt]))
            except anyio.get_cancelled_exc_class():
                if is_cancelled():
                    raise
                self.dispatch.stop(EnrollError(_CANCELLED_BY_OTHERS))
                reply = None
            if reply is None or isinstance(reply, BulkAnswer):
                break
            if reply.kind is not FailureKind.UNKNOWN:
                break
        stopped = self.dispatch.stopped_by or EnrollError("stopped")
        return reply or Failure(FailureKind.FATAL, stopped)

    async def _handle_reply(self, attempt: Attempt, reply: Reply, hand: Hand) -> _Step:
        """Act on a reply. None means that the job was stopped before the call was sent."""
        stopped_by = self.dispatch.stopped_by
        if reply is None:
            return await self._give_up(attempt, stopped_by or EnrollError("stopped"))
        sent = _after(attempt, reply)
        if isinstance(reply, BulkAnswer):
            return self._answered(sent, reply)
        match reply.kind:
            case kind if stopped_by and kind in _STOPPING:
                return await self._give_up(sent, reply.error)
            case FailureKind.UNKNOWN:
                return [], [evolve(sent, lost=True, unsettled=reply.error)]
            case FailureKind.TOO_LARGE:
                return await self._shrink(sent, reply)
            case FailureKind.INTERCEPTED:
                return await self._intercepted(sent, reply)
            case FailureKind.MASKED:
                return await self._intercepted(evolve(sent, lost=True), reply)
            case kind if kind in _AT_FAULT:
                hand.attempts = [sent if each is attempt else each for each in hand.attempts]
                return await self._isolate(sent, reply, hand)
        return rejected(sent, reply.error), []

    async def _give_up(self, attempt: Attempt, why: EnrollError) -> _Step:
        """Emit results for what is not sent, unless the job can be resumed."""
        if not self._event_log.durable:
            blocks = given_up(attempt, why)
            self.accounted += pairs_in(blocks)
            await self._emit(blocks)
        return [], []

    def _answered(self, attempt: Attempt, answer: BulkAnswer) -> _Step:
        """Take the results of an answer; send pairs that it leaves in doubt again, without mail."""
        self._largest_taken = max(self._largest_taken, _weight(attempt.batch))
        self._culprits_in_a_row = 0
        results = answered(attempt, answer)
        blocks = results.blocks
        doubtful = self._parts(evolve(attempt, lost=True, errors=0), results.doubtful)
        if attempt.attempts >= MOST_ATTEMPTS:
            words = "the platform's answers do not tell what became of this pair"
            blocks += [block for part in doubtful for block in unconfirmed(part, words)]
            doubtful = []
        return blocks, [
            *doubtful,
            *self._erroneous(attempt, results.erroneous),
            *self._parts(evolve(attempt, quiet=True, errors=attempt.errors + 1), results.undone),
        ]

    def _erroneous(self, attempt: Attempt, some: list[Pair]) -> list[Attempt]:
        """Send pairs flagged as errors again, without mail; after `CERTAIN` errors reconcile them.

        In releases before 2026 the enrollment may stand although the mail failed.
        """
        attempt = evolve(attempt, lost=True, errors=attempt.errors + 1)
        if attempt.errors >= CERTAIN:
            failure = EnrollError("the platform failed on this identifier; its log says why")
            attempt = evolve(attempt, unsettled=failure, last_look=Outcome.ERROR)
        return self._parts(attempt, some)

    async def _reconcile(self, attempt: Attempt, error: EnrollError) -> _Step:
        """Find the outcome of a lost call; send the pairs that it did not change again."""
        self.slots.release()
        # A job with a journal can be stopped here: `resume` reconciles what is left.
        durable = self._event_log.durable
        seen: set[Pair] = set()
        with self.dispatch.until_stopped() if durable else nullcontext():
            ended = attempt.last_look is not None
            seen = await self._reconciler.found(attempt.batch, ended=ended)
        await self.slots.acquire()
        done = found(attempt, seen)
        left = [pair for pair in pairs(attempt.batch) if pair not in seen]
        parts = self._parts(evolve(attempt, lost=True, unsettled=None), left)
        stopped = durable and self.dispatch.stopped_by is not None
        if attempt.last_look and not stopped:
            ends = [block for part in parts for block in failed(part, attempt.last_look, error)]
            return [*done, *ends], []
        if attempt.attempts >= MOST_ATTEMPTS and not self.dispatch.stopped_by:
            ends = [block for part in parts for block in unconfirmed(part, error)]
            return [*done, *ends], []
        return done, [smaller for part in parts for smaller in _split_if_lost_twice(part)]

    async def _isolate(self, attempt: Attempt, failure: Failure, hand: Hand) -> _Step:
        """Find the pairs that made a call fail, and deliver the others.

        Preflights check the courses first, since they have no effect. Then the identifiers are
        bisected.
        """
        batch = attempt.batch
        if failure.kind is FailureKind.MISSING and self.preflight.blame(batch, failure):
            return [], [attempt]
        if not attempt.checked or failure.kind is FailureKind.MISSING:
            await self.preflight.check(places(batch), again=True)
            attempt = evolve(attempt, checked=True)
        if any(place in self.preflight.bad for place in places(batch)):
            return [], [attempt]
        if batch.pairs == 1 or self._narrowing_stopped:
            return self._reject_culprit(attempt, failure)
        if len(batch.identifiers) > 1:
            return await self._split(attempt)
        return await self._isolate_courses(attempt, failure, hand)

    async def _isolate_courses(self, attempt: Attempt, failure: Failure, hand: Hand) -> _Step:
        """Bisect the courses of one learner; where both halves fail, the learner fails in all."""
        first, second = hand.attempts = [attempt.with_batch(half) for half in halves(attempt.batch)]
        reply = await self.dispatch.send(first, hand)
        if not _is_at_fault(reply):
            blocks, more = await self._handle_reply(first, reply, hand)
            return blocks, [*more, second]
        first = _after(first, reply)
        hand.attempts = [first, second]
        other = await self.dispatch.send(second, hand)
        if _is_at_fault(other):
            return [
                *_rejected_culprit(first, failure),
                *_rejected_culprit(_after(second, other), failure),
            ], []
        blocks, more = await self._handle_reply(second, other, hand)
        return blocks, [*more, first]

    def _reject_culprit(self, attempt: Attempt, failure: Failure) -> _Step:
        """Reject an attempt that cannot be split; send it again first where the error may pass."""
        may_pass = failure.kind in (FailureKind.MISSING, FailureKind.UNDONE, FailureKind.TOO_LARGE)
        if may_pass and attempt.failed_alone + 1 < CERTAIN:
            return [], [evolve(attempt, failed_alone=attempt.failed_alone + 1)]
        self._culprits_in_a_row += 1
        return _rejected_culprit(attempt, failure), []

    async def _shrink(self, attempt: Attempt, failure: Failure) -> _Step:
        """Split a call that is too large; remember its size if none as large was accepted."""
        weight = _weight(attempt.batch)
        if weight > self._largest_taken:
            self._smallest_too_large = min(self._smallest_too_large, weight)
        if attempt.batch.pairs == 1 or self._narrowing_stopped:
            return self._reject_culprit(attempt, failure)
        return await self._split(attempt)

    async def _intercepted(self, attempt: Attempt, failure: Failure) -> _Step:
        """Bisect a call rejected in front of the site, while calls without effect are accepted."""
        if not attempt.intercepted:
            return [], [evolve(attempt, intercepted=True)]
        if attempt.batch.pairs > 1 and not self._narrowing_stopped:
            return await self._split(attempt)
        if attempt.lost:
            last = evolve(attempt, unsettled=failure.error, last_look=Outcome.UNCONFIRMED)
            return [], [last]
        return self._reject_culprit(attempt, failure)

    async def _split(self, attempt: Attempt) -> _Step:
        if attempt.planned is not None:
            event = BatchSplit(
                job=self._event_log.job, planned=attempt.planned, batch=attempt.batch
            )
            await self._record(event)
        return [], [attempt.with_batch(half) for half in halves(attempt.batch)]

    def _parts(self, attempt: Attempt, some: Iterable[Pair]) -> list[Attempt]:
        """Return attempts with the same history for some of the pairs of one."""
        return [
            attempt.with_batch(batch) for batch in plan(desired(attempt.batch, some), self._limits)
        ]


def _after(attempt: Attempt, reply: BulkAnswer | Failure | None) -> Attempt:
    """Count a call; if it was rolled back after mailing, later calls must not mail again."""
    sent = evolve(attempt, attempts=attempt.attempts + 1)
    if isinstance(reply, Failure) and reply.kind.may_have_mailed and attempt.mails:
        return evolve(sent, quiet=True)
    return sent


def _split_if_lost_twice(attempt: Attempt) -> list[Attempt]:
    """Halve an attempt lost more than once: its calls may exceed a gateway's timeout."""
    if attempt.attempts <= 1 or attempt.batch.pairs == 1:
        return [attempt]
    return [attempt.with_batch(half) for half in halves(attempt.batch)]


def _is_at_fault(reply: Reply) -> bool:
    return isinstance(reply, Failure) and reply.kind in _AT_FAULT


def _weight(batch: Batch) -> int:
    """Return the size of a call's body in characters, less a constant and what JSON escapes."""
    return sum(map(len, batch.identifiers)) + sum(map(len, batch.courses))


def _rejected_culprit(attempt: Attempt, failure: Failure) -> list[Block]:
    words = str(failure.error)
    if failure.kind is FailureKind.UNDONE:
        whom = "this learner" if len(attempt.batch.identifiers) == 1 else "a learner of this call"
        words = f"the platform fails on {whom}; its log says why ({words})"
    return rejected(attempt, words)
