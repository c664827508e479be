"""Delivers a batch until each of its pairs has a result, whatever happens to its calls.

Takes attempts from `jobs.runner`. Sends them through `delivery.dispatch`, turns answers into
results with `delivery.outcomes`, looks up lost calls with `delivery.reconcile`, and bisects batches
that fail. Emits blocks of results, after the event log has recorded them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterable
from contextlib import nullcontext
from typing import Any

import anyio
from attrs import evolve

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
from async_enroll.errors import EnrollError, JournalError
from async_enroll.events import BatchSettled, BatchSplit, Event, PlacesChecked
from async_enroll.http.failures import Failure, FailureKind
from async_enroll.models import Batch, BatchLimits, Emit, Outcome
from async_enroll.pacing.batch_size import BatchSize
from async_enroll.planning.batching import places, plan, without
from async_enroll.platform.bulk_enroll import BulkEnrollApi
from async_enroll.platform.json import BulkAnswer
from async_enroll.results import Block, pairs_in

_MOST_CULPRITS = 8
"""Bisecting stops after this many rejected pairs in a row: everything fails then."""

_FLAGGED = Failure(
    FailureKind.UNDONE,
    EnrollError("the platform failed on this identifier; its log says why"),
)
_INTERRUPTED = "the job was interrupted meanwhile"
_CANCELLED = "the job was cancelled meanwhile"
_CANCELLED_BY_OTHERS = "a call was cancelled, though the job was not"
_LEFT = EnrollError("the learner has left since")

_Step = tuple[list[Block], list[Attempt]]
"""The results of some pairs of an attempt, and the attempts still to make for the others."""


class Delivery:
    """Delivers the batches of one job.

    Results go to `event_log` first, then to `emit`. `cut_off` collects the results of calls in
    flight when the job was cancelled. `accounted` counts the pairs that have a result.
    `mail_changed`: learners whom calls without mail have changed are mailed afterwards.
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
        mail_changed: bool,
    ) -> None:
        self.dispatch = dispatch
        self.preflight: Preflight = Preflight(
            dispatch.preflight, limits, good_places, dispatch.until_stopped, self._checked
        )
        self.slots: anyio.Semaphore = anyio.Semaphore(concurrency, fast_acquire=True)
        """One for each batch being delivered. Reconciling releases it, as it mostly waits."""
        self.mailing: Mailing = Mailing(limits)
        self.accounted: int = 0
        self._api = api
        self._reconciler = reconciler
        self._event_log = event_log
        self._emit = emit
        self._cut_off = cut_off
        self._limits = limits
        self._mail_changed = mail_changed
        self._exclusion = Exclusion()
        self._largest_taken = 0
        self._smallest_too_large = math.inf
        self._culprits_in_a_row = 0

    async def settled(
        self, planned: int | None, blocks: list[Block], changed: Iterable[Block] = ()
    ) -> None:
        """Record results, then emit them; record at the same time what is `changed` so far."""
        now = time.time()
        blocks = [evolve(block, at=now) for block in blocks]
        event = BatchSettled(
            job=self._event_log.job,
            at=now,
            planned=planned,
            blocks=tuple(blocks),
            changed=tuple(changed),
        )
        if not event.blocks and not event.changed:
            return
        self.accounted += pairs_in(blocks)
        try:
            await self._record(event)
        except anyio.get_cancelled_exc_class():
            self._cut_off += blocks
            raise
        if blocks:
            await self._emit(blocks)

    async def _checked(self, checked: int, refused: int, places: int) -> None:
        job = self._event_log.job
        event = PlacesChecked(job=job, places=places, checked=checked, refused=refused)
        await self._record(event)

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
            attempt.doubt = attempt.doubt or Doubt(EnrollError(_INTERRUPTED))
            sent.set()
        waiting = [attempt]
        try:
            while waiting:
                part = waiting[0]
                blocks, more = await self._step(part, sent)
                # Depth first, but for what shares its failures: each part of a learner's courses is
                # tried before one is narrowed down.
                rest = waiting[1:]
                shared = sum(other.failures is part.failures for other in rest)
                waiting = [*rest[:shared], *more, *rest[shared:]]
                await self._take(part, blocks)
        except anyio.get_cancelled_exc_class():
            for part in waiting:
                if part.in_flight:
                    part.count(FailureKind.UNKNOWN, mailed=part.mails)
                if part.touched:
                    for _, some in self._final(part, unconfirmed(part, _CANCELLED)):
                        self._cut_off += some
            if is_cancelled():
                raise
            # Somebody else cancelled something that this job uses.
            self.dispatch.stop(EnrollError(_CANCELLED_BY_OTHERS))
            for part in waiting:
                if not part.touched:
                    await self._give_up(part)

    async def _take(self, attempt: Attempt, blocks: list[Block]) -> None:
        """Take the results of an attempt: those of learners to mail now, and final ones."""
        if self._mail_changed and attempt.planned is not None:
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

    async def _step(self, attempt: Attempt, sent: anyio.Event) -> _Step:
        if attempt.changed_in:
            if not attempt.mails:  # the pairs are as asked already: nothing is sent again
                return unconfirmed(attempt, "mail may have been sent"), []
            if anyio.current_time() > attempt.changed_at + FRESH:
                sent.set()  # others may look at the same time
                return await self._look_again(attempt)
        elif attempt.doubt:
            return await self._reconcile(attempt, attempt.doubt)
        if len(attempt.failures) >= CERTAIN:
            return self._reject(attempt)  # as the learner's other courses
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
        if self._is_divisible(batch) and self._is_too_large(attempt):
            sent.set()
            return [], await self._split(attempt)
        return await self._follow(attempt, await self._send(attempt, sent))

    async def _send(self, attempt: Attempt, sent: anyio.Event) -> Reply:
        if attempt.email or not self._mail_changed:
            return await self.dispatch.send(attempt, sent)
        if not self._exclusion.admits(attempt.batch):
            sent.set()  # this one has to wait, the next one need not
        async with self._exclusion.sole(attempt.batch):
            return await self.dispatch.send(attempt, sent)

    def _is_divisible(self, batch: Batch) -> bool:
        return batch.pairs > 1 and self._culprits_in_a_row < _MOST_CULPRITS

    def _is_too_large(self, attempt: Attempt) -> bool:
        """Whether a call would be larger than the site has been seen to accept."""
        most = self.batch_size(attempt).most
        return attempt.batch.pairs > most or attempt.weight >= self._smallest_too_large

    async def _follow(self, attempt: Attempt, reply: Reply) -> _Step:
        """Return what follows from the reply to a call."""
        if reply is None:
            return await self._give_up(attempt)
        if isinstance(reply, BulkAnswer):
            return self._answered(attempt, reply)
        if attempt.changed_in and not attempt.mails:
            return [], [attempt]
        match reply.kind:
            case FailureKind.UNKNOWN:
                attempt.doubt = Doubt(reply.error)
                return [], [attempt]
            case FailureKind.THROTTLED:  # for longer than the job is patient
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

        Pairs flagged as errors are reconciled after `CERTAIN` errors: in releases before 2026 the
        enrollment may stand although the mail failed.
        """
        self._largest_taken = max(self._largest_taken, attempt.weight)
        self._culprits_in_a_row = 0
        results = answered(attempt, answer)
        failures = [*attempt.failures, _FLAGGED]
        attempt.failures.clear()
        doubt = Doubt(_FLAGGED.error, Outcome.ERROR) if len(failures) >= CERTAIN else None
        doubtful = self._parts(attempt, results.doubtful, lost=True)
        if attempt.attempts >= MOST_ATTEMPTS:
            words = "the platform's answers do not tell what became of this pair"
            results.blocks.extend(block for part in doubtful for block in unconfirmed(part, words))
            doubtful = []
        return results.blocks, [
            *doubtful,
            *self._parts(attempt, results.erroneous, lost=True, failures=failures, doubt=doubt),
            *self._parts(attempt, results.undone, undone=attempt.email, failures=failures),
        ]

    async def _reconcile(self, attempt: Attempt, doubt: Doubt) -> _Step:
        """Find the outcome of a lost call; send the pairs that it did not change again."""
        self.slots.release()
        # A job with a journal can be stopped here: `resume` reconciles what is left.
        durable = self._event_log.durable
        seen: set[Pair] = set()
        with self.dispatch.until_stopped() if durable else nullcontext():
            ended = doubt.otherwise is not None
            seen = await self._reconciler.found(attempt.batch, ended=ended)
        await self.slots.acquire()
        done = found(attempt, seen)
        left = [pair for pair in pairs(attempt.batch) if pair not in seen]
        parts = self._parts(attempt, left, doubt=None)
        if self.dispatch.stopped_by and (durable or not doubt.otherwise):
            for part in parts:
                await self._give_up(part)
            return done, []
        if doubt.otherwise or attempt.attempts >= MOST_ATTEMPTS:
            outcome = doubt.otherwise or Outcome.UNCONFIRMED
            return [
                *done,
                *(block for part in parts for block in failed(part, outcome, doubt.error)),
            ], []
        # Calls lost more than once may exceed a gateway's timeout.
        again = attempt.attempts > 1
        return done, [one for part in parts for one in (part.halves() if again else [part])]

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
        return ends, self._parts(attempt, still_in, changed_at=anyio.current_time())

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
        attempt.failures.append(failure)
        alone, certain = len(batch.identifiers) == 1, len(attempt.failures) >= CERTAIN
        if self._is_divisible(batch) and not (alone and certain):
            halves = await self._split(attempt)
            for half in halves:
                # A learner on whom the platform fails in both halves of the courses fails in all.
                half.failures = attempt.failures if alone and kind in AT_FAULT else []
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
        await self._record(event)
        return attempt.halves()

    def _parts(self, attempt: Attempt, some: Collection[Pair], **changes: Any) -> list[Attempt]:
        """Return attempts for some pairs of one, with its history but for `changes`."""
        if not some:
            return []
        return [
            attempt.with_batch(batch, **changes)
            for batch in plan(desired(attempt.batch, some), self._limits)
        ]
