"""Delivers a batch until each of its pairs has a result, whatever happens to its calls.

Takes attempts from `jobs.runner`. Sends them through `delivery.dispatch`, turns answers into
results with `delivery.outcomes`, looks up lost calls with `delivery.reconcile`, and bisects batches
that fail. Emits blocks of results, after the event log has recorded them.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Collection, Iterable
from contextlib import nullcontext

import anyio
from attrs import define, field
from msgspec.structs import replace

from async_enroll.cancellation import is_cancelled
from async_enroll.delivery.attempt import MOST_ATTEMPTS, Attempt, Doubt
from async_enroll.delivery.dispatch import Dispatch, Reply
from async_enroll.delivery.event_log import EventLog
from async_enroll.delivery.exclusion import Exclusion
from async_enroll.delivery.mailing import FRESH, Changed, Mailing, divided
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
    rejected_culprit,
    unconfirmed,
)
from async_enroll.delivery.preflight import AT_FAULT, GoodPlaces, Preflight
from async_enroll.delivery.reconcile import Reconciler
from async_enroll.errors import EnrollError
from async_enroll.events import BatchSettled, BatchSplit, PlacesChecked
from async_enroll.http.failures import Failure, FailureKind
from async_enroll.models import Action, Batch, BatchLimits, Emit, Outcome
from async_enroll.pacing.batch_size import BatchSize
from async_enroll.planning.batching import places, plan, without
from async_enroll.platform.bulk_enroll import BulkEnrollApi
from async_enroll.platform.json import BulkAnswer
from async_enroll.results import Block, pairs_in

_MOST_CULPRITS = 8
"""Bisecting stops after this many rejected pairs in a row: everything fails then."""

_FLAGGED = EnrollError("the platform failed on this identifier; its log says why")
_LOST_EARLIER = Doubt(EnrollError("the job was interrupted meanwhile"))
_UNTOLD = EnrollError("the platform's answers do not tell what became of this pair")
_LEFT = EnrollError("the learner has left since")

_Step = tuple[list[Block], list[Attempt]]
"""The results of some pairs of an attempt, and the attempts still to make for the others."""


@define(eq=False)
class Delivery:
    """Delivers the batches of one job.

    Results go to `event_log` first, then to `emit`. `cut_off` collects the results of calls in
    flight when the job was cancelled. `accounted` counts the pairs that have a result.
    """

    _api: BulkEnrollApi
    dispatch: Dispatch
    _reconciler: Reconciler
    _event_log: EventLog
    _emit: Emit[list[Block]]
    _cut_off: list[Block]
    _good_places: GoodPlaces
    _exclusion: Exclusion
    _limits: BatchLimits = field(kw_only=True)
    _concurrency: int = field(kw_only=True)
    accounted: int = field(default=0, init=False)
    preflight: Preflight = field(init=False)
    mailing: Mailing = field(init=False)
    slots: asyncio.Semaphore = field(init=False)
    """One for each batch being delivered. Reconciling releases it, as it mostly waits."""
    _largest_taken: int = field(default=0, init=False)
    _smallest_too_large: float = field(default=math.inf, init=False)
    _culprits_in_a_row: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        dispatch, job = self.dispatch, self._event_log.job  # not self: a job is freed when it ends

        async def checked(checked: int, refused: int, places: int) -> None:
            event = PlacesChecked(job=job, places=places, checked=checked, refused=refused)
            await dispatch.record(event)

        self.preflight = Preflight(
            dispatch.preflight, self._limits, self._good_places, dispatch.until_stopped, checked
        )
        self.mailing = Mailing(self._limits)
        self.slots = asyncio.Semaphore(self._concurrency)

    async def settled(
        self, planned: int | None, blocks: list[Block], changed: Iterable[Block] = ()
    ) -> None:
        """Record results, then emit them; record at the same time what is `changed` so far."""
        job, now = self._event_log.job, time.time()
        blocks = [replace(block, at=now) for block in blocks]
        some, changed = tuple(blocks), tuple(changed)
        if not some and not changed:
            return
        event = BatchSettled(job=job, at=now, planned=planned, blocks=some, changed=changed)
        self.accounted += pairs_in(blocks)
        try:
            await self.dispatch.record(event)
        except anyio.get_cancelled_exc_class():
            self._cut_off += blocks
            raise
        if blocks:
            await self._emit(blocks)

    def batch_size(self, attempt: Attempt) -> BatchSize:
        """Return the batch size, in pairs, for calls of this kind."""
        return self._api.batch_size(email_students=attempt.mails)

    async def deliver(self, attempt: Attempt, sent: asyncio.Event) -> None:
        """Deliver an attempt; set `sent` when the next one may start.

        An attempt that an earlier run of the job has lost is reconciled first.
        """
        if attempt.lost:
            attempt.doubt = attempt.doubt or _LOST_EARLIER
            if self._mails_who_was_in(attempt):
                self._exclusion.lost(attempt.batch, owner=sent)
            sent.set()
        waiting = [attempt]
        try:
            while waiting:
                part, *rest = waiting
                blocks, more = await self._step(part, sent)
                if more:
                    # Depth first; but of a learner's courses, which share their failures, each part
                    # is tried before one is narrowed down.
                    shared = sum(other.failures is part.failures for other in rest)
                    rest[shared:shared] = more
                waiting = rest
                # Others wait until no part is in doubt; if the job has stopped, this one stays so.
                stays = part.touched and self.dispatch.stopped_by
                if not stays and not any(one.touched for one in waiting):
                    self._exclusion.settled(sent)
                await self._take(part, blocks)
        except anyio.get_cancelled_exc_class():
            for part in waiting:
                if part.touched:
                    ends = unconfirmed(part, "the job was cancelled meanwhile")
                    for _, some in self._final(part, ends):
                        self._cut_off += some
            if is_cancelled():
                raise
            # Somebody else cancelled something that this job uses.
            self.dispatch.stop(EnrollError("a call was cancelled, though the job was not"))
            for part in waiting:
                if not part.touched:
                    await self._give_up(part)

    async def _take(self, attempt: Attempt, blocks: list[Block]) -> None:
        """Take the results of an attempt: those of learners to mail now, and final ones."""
        if self.dispatch.mail_changed and attempt.planned is not None:
            changed, blocks = divided(blocks)
            now = anyio.current_time()
            self.mailing.add(attempt.planned, changed, now, changed_at=now)
            await self.settled(attempt.planned, blocks, changed)
            return
        for number, some in self._final(attempt, blocks):
            await self.settled(number, some)

    def _final(
        self, attempt: Attempt, blocks: list[Block]
    ) -> Iterable[tuple[int | None, list[Block]]]:
        """Return the final results of an attempt, by planned batch."""
        return self.mailing.settle(blocks) if attempt.changed_in else [(attempt.planned, blocks)]

    async def changed_earlier(self, changed: Changed) -> None:
        """Take pairs that an earlier run has changed."""
        now = anyio.current_time()
        self.mailing.add(changed.planned, changed.to_mail, now, changed_at=-math.inf)
        await self.settled(changed.planned, changed.final)

    def cut_off_unmailed(self) -> None:
        """Add the results of learners who are still to be mailed, as the job was cancelled."""
        self._cut_off += self.mailing.unsettled()

    async def _step(self, attempt: Attempt, sent: asyncio.Event) -> _Step:
        if attempt.changed_in:
            if not attempt.mails:  # the pairs are as asked already: nothing is sent again
                return unconfirmed(attempt, "mail may have been sent"), []
            if anyio.current_time() > attempt.changed_at + FRESH:
                sent.set()  # others may look at the same time
                return await self._look_again(attempt)
        elif attempt.doubt:
            return await self._reconcile(attempt, attempt.doubt)
        if len(attempt.failures) >= CERTAIN and not self.dispatch.stopped_by:
            return self._reject(attempt)  # as the learner's other courses
        batch = attempt.batch
        bad, asked = self.preflight.bad, places(batch)
        await self.preflight.check(asked)
        good, refused = without(batch, bad)
        if refused:
            blocks = [
                block
                for part in refused
                for block in rejected(attempt.with_batch(part), bad[places(part)[0]])
            ]
            return blocks, [attempt.with_batch(good)] if good else []
        most = self.batch_size(attempt).most
        is_too_large = batch.pairs > most or attempt.weight >= self._smallest_too_large
        if is_too_large and self._is_divisible(batch):
            sent.set()  # the call would be larger than the site has been seen to accept
            return [], await self._split(attempt)
        reply = await self._send(attempt, sent)
        if isinstance(reply, BulkAnswer):
            return self._answered(attempt, reply)
        return await self._follow(attempt, reply)

    async def _send(self, attempt: Attempt, sent: asyncio.Event) -> Reply:
        dispatch = self.dispatch
        mails, attempts = attempt.mails and self._mails_who_was_in(attempt), attempt.attempts
        if not mails and (attempt.email or not dispatch.mail_changed):
            return await dispatch.send(attempt, sent)
        async with self._exclusion.sole(
            attempt.batch,
            waiting=sent.set,  # where this one has to wait, the next one need not
            until_stopped=dispatch.until_stopped,
            owner=sent,
            goes_on=lambda: mails and attempt.attempts > attempts,  # if it was sent
        ) as free:
            return await dispatch.send(attempt, sent) if free else None

    @staticmethod
    def _mails_who_was_in(attempt: Attempt) -> bool:
        """Whether what was before decides whom the platform mails: it does in unenrolling."""
        return attempt.email and attempt.batch.action is Action.UNENROLL

    def _is_divisible(self, batch: Batch) -> bool:
        return batch.pairs > 1 and self._culprits_in_a_row < _MOST_CULPRITS

    async def _follow(self, attempt: Attempt, reply: Failure | None) -> _Step:
        """Return what follows from the failure of a call, or from the job's being stopped."""
        if reply is None:
            return await self._give_up(attempt)
        if attempt.changed_in and not attempt.mails:
            return [], [attempt]
        if reply.kind is FailureKind.UNKNOWN:
            attempt.doubt = Doubt(reply.error)
            attempt.failures.clear()
            return [], [attempt]
        if reply.kind is FailureKind.THROTTLED:  # for longer than the job is patient
            return rejected(attempt, reply.error), []
        return await self._narrow(attempt, reply)

    async def _give_up(self, attempt: Attempt) -> _Step:
        """Emit results for what is not sent, unless the job can be resumed."""
        if not self._event_log.durable:
            why = self.dispatch.stopped_by or EnrollError("stopped")
            for _, blocks in self._final(attempt, given_up(attempt, why)):
                self.accounted += pairs_in(blocks)
                await self._emit(blocks)
        return [], []

    def _answered(self, attempt: Attempt, answer: BulkAnswer) -> _Step:
        """Take the results of an answer; send pairs that it leaves in doubt again, without mail.

        Those that it leaves out are reconciled in the end. So are pairs flagged as errors: in
        releases before 2026 the enrollment may stand although the mail failed.
        """
        self._largest_taken = max(self._largest_taken, attempt.weight)
        self._culprits_in_a_row = 0
        results = answered(attempt, answer)
        failures = [*attempt.failures]
        attempt.failures.clear()
        if not (results.doubtful or results.erroneous or results.undone):
            return results.blocks, []
        failures.append(Failure(FailureKind.UNDONE, _FLAGGED))
        untold = Doubt(_UNTOLD, Outcome.UNCONFIRMED) if attempt.attempts >= MOST_ATTEMPTS else None
        doubtful = replace(attempt, lost=True, doubt=untold)
        flagged = Doubt(_FLAGGED, Outcome.ERROR) if len(failures) >= CERTAIN else None
        erroneous = replace(attempt, lost=True, failures=failures, doubt=flagged)
        undone = replace(attempt, undone=attempt.email, failures=failures)
        return results.blocks, [
            *self._parts(doubtful, results.doubtful),
            *self._parts(erroneous, results.erroneous),
            *self._parts(undone, results.undone),
        ]

    async def _reconcile(self, attempt: Attempt, doubt: Doubt) -> _Step:
        """Find the outcome of a lost call; send the pairs that it did not change again."""
        # Calls that a mailing one excludes may have all the other slots, and wait for this one.
        keeps_slot = self._mails_who_was_in(attempt)
        if not keeps_slot:
            self.slots.release()
        # A job with a journal can be stopped here: `resume` reconciles what is left.
        durable = self._event_log.durable
        seen: set[Pair] = set()
        with self.dispatch.until_stopped() if durable else nullcontext():
            seen = await self._reconciler.found(attempt.batch, ended=doubt.otherwise is not None)
        if not keeps_slot:
            await self.slots.acquire()
        done = found(attempt, seen)
        left = [pair for pair in pairs(attempt.batch) if pair not in seen]
        attempt.doubt = None
        parts = self._parts(attempt, left)
        stopped = durable and self.dispatch.stopped_by is not None
        if (doubt.otherwise or attempt.attempts >= MOST_ATTEMPTS) and not stopped:
            outcome = doubt.otherwise or Outcome.UNCONFIRMED
            ends = [block for part in parts for block in failed(part, outcome, doubt.error)]
            return [*done, *ends], []
        if attempt.attempts > 1:  # calls lost more than once may exceed a gateway's timeout
            parts = [half for part in parts for half in part.halves()]
        return done, parts

    async def _look_again(self, attempt: Attempt) -> _Step:
        """Look who is still in, long after the call that changed it; mail nobody else.

        A call that mails enrolls, too: it must not put back who has left meanwhile.
        """
        listed: dict[Pair, bool] = {}
        self.slots.release()
        with self.dispatch.until_stopped():
            listed |= await self._reconciler.listed(pairs(attempt.batch))
            if missing := self.mailing.unlisted(attempt.batch, listed):  # reading may have failed
                listed |= await self._reconciler.listed(missing)
        await self.slots.acquire()
        if self.dispatch.stopped_by:
            return await self._give_up(attempt)
        left = set(self.mailing.left(attempt.batch, listed))
        still_in = [pair for pair in pairs(attempt.batch) if pair not in left]
        ends = [block for part in self._parts(attempt, left) for block in given_up(part, _LEFT)]
        attempt.changed_at = anyio.current_time()
        return ends, self._parts(attempt, still_in)

    async def _narrow(self, attempt: Attempt, failure: Failure) -> _Step:
        """Bisect a failed call until those pairs are left that make it fail; deliver the others.

        If a course or cohort may be at fault, preflights check them first, since they have no
        effect. What cannot be divided is rejected once the platform has surely failed on it.
        """
        batch, kind = attempt.batch, failure.kind
        if kind is FailureKind.TOO_LARGE and attempt.weight > self._largest_taken:
            self._smallest_too_large = min(self._smallest_too_large, attempt.weight)
        if kind is FailureKind.MISSING and self.preflight.blame(batch, failure):
            return [], [attempt]
        if kind is FailureKind.MISSING or (kind in AT_FAULT and not attempt.checked):
            await self.preflight.check(places(batch), again=True)
            attempt.checked = True
        if any(place in self.preflight.bad for place in places(batch)):
            return [], [attempt]
        alone = kind in AT_FAULT and len(batch.identifiers) == 1
        if self._is_divisible(batch) and not alone:
            return [], await self._split(attempt)
        attempt.failures.append(failure)
        certain = len(attempt.failures) >= CERTAIN
        if self._is_divisible(batch) and not certain:
            halves = await self._split(attempt)
            for half in halves:  # a learner who fails in both halves of the courses fails in all
                half.failures = attempt.failures
            return [], halves
        if not certain and kind is not FailureKind.REFUSED:
            return [], [attempt]  # it may pass
        self._culprits_in_a_row += 1
        return self._reject(attempt)

    def _reject(self, attempt: Attempt) -> _Step:
        """Reject an attempt for its last failure; look first if a lost call may have done it."""
        failure = attempt.failures[-1]
        if attempt.lost and failure.kind not in AT_FAULT:
            attempt.doubt = Doubt(failure.error, Outcome.UNCONFIRMED)
            return [], [attempt]
        return rejected_culprit(attempt, failure), []

    async def _split(self, attempt: Attempt) -> list[Attempt]:
        event = BatchSplit(job=self._event_log.job, planned=attempt.planned, batch=attempt.batch)
        await self.dispatch.record(event)
        return attempt.halves()

    def _parts(self, attempt: Attempt, some: Collection[Pair]) -> list[Attempt]:
        """Return attempts with the same history for some of the pairs of one."""
        return [
            attempt.with_batch(batch) for batch in plan(desired(attempt.batch, some), self._limits)
        ]
