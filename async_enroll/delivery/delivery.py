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
from functools import partial

import anyio
from attrs import evolve

from async_enroll.cancellation import is_cancelled
from async_enroll.delivery.attempt import Attempt, Doubt
from async_enroll.delivery.dispatch import (
    CANCELLED_BY_OTHERS,
    Dispatch,
    InFlight,
    Reply,
    after,
)
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
from async_enroll.delivery.preflight import AT_FAULT, GoodPlaces, Preflight, is_at_fault
from async_enroll.delivery.reconcile import Reconciler
from async_enroll.errors import EnrollError
from async_enroll.events import BatchSettled, BatchSplit
from async_enroll.http.failures import Failure, FailureKind
from async_enroll.models import Batch, BatchLimits, Emit, Outcome
from async_enroll.pacing.batch_size import BatchSize
from async_enroll.planning.batching import places, plan, without
from async_enroll.platform.bulk_enroll import BulkEnrollApi
from async_enroll.platform.json import BulkAnswer
from async_enroll.results import Block, pairs_in

MOST_ATTEMPTS = 10
"""How often pairs are sent at most while their outcome remains unknown."""

_MOST_CULPRITS = 8
"""Bisecting stops after this many rejected pairs in a row: everything fails then."""

_LEFT = EnrollError("the learner has left since")
_INTERRUPTED = "the job was interrupted meanwhile"
_CANCELLED = "the job was cancelled meanwhile"
_STOPPING = (FailureKind.UNREACHABLE, FailureKind.UNAUTHORIZED, FailureKind.FATAL)

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
            partial(_preflight, dispatch),  # no method: a job is freed when it ends, not later
            limits,
            good_places,
            dispatch.until_stopped,
            dispatch.checked,
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
            await self.dispatch.record(event)
        except anyio.get_cancelled_exc_class():
            self._cut_off += blocks
            raise
        if blocks:
            await self._emit(blocks)

    def batch_size(self, attempt: Attempt) -> BatchSize:
        """Return the batch size, in pairs, for calls of this kind."""
        return self._api.batch_size(email_students=attempt.mails)

    async def deliver(self, attempt: Attempt, sent: anyio.Event) -> None:
        """Deliver an attempt; set `sent` when the next one may start.

        An attempt that an earlier run of the job has lost is reconciled first.
        """
        if attempt.lost:
            doubt = attempt.doubt or Doubt(EnrollError(_INTERRUPTED))
            attempt = evolve(attempt, doubt=doubt)
            sent.set()
        waiting = [attempt]
        in_flight = InFlight([], sent)
        try:
            while waiting:
                in_flight.attempts = [waiting.pop(0)]
                blocks, more = await self._step(in_flight.attempts[0], in_flight)
                in_flight.attempts, waiting = [], [*more, *waiting]
                await self._take(attempt, blocks)
        except anyio.get_cancelled_exc_class():
            left = [*in_flight.attempts, *waiting]
            for part in left:
                if part.touched:
                    for _, some in self._final(part, unconfirmed(part, _CANCELLED)):
                        self._cut_off += some
            if is_cancelled():
                raise
            # Somebody else cancelled something that this job uses.
            error = EnrollError(CANCELLED_BY_OTHERS)
            self.dispatch.stop(error)
            for part in left:
                if not part.touched:
                    await self._give_up(part, error)

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

    async def _step(self, attempt: Attempt, in_flight: InFlight) -> _Step:
        if attempt.changed_in:
            if not attempt.mails:  # the pairs are as asked already: nothing is sent again
                return unconfirmed(attempt, "mail may have been sent"), []
            if anyio.current_time() > attempt.changed_at + FRESH:
                in_flight.sent.set()  # others may look at the same time
                return await self._look_again(attempt)
        elif attempt.doubt:
            return await self._reconcile(attempt, attempt.doubt)
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
            in_flight.sent.set()
            return await self._split(attempt)
        reply = await self._send(attempt, in_flight)
        return await self._handle_reply(attempt, reply, in_flight)

    async def _send(self, attempt: Attempt, in_flight: InFlight) -> Reply:
        if attempt.email or not self._mail_changed:
            return await self.dispatch.send(attempt, in_flight)
        if not self._exclusion.admits(attempt.batch):
            in_flight.sent.set()  # this one has to wait, the next one need not
        async with self._exclusion.sole(attempt.batch):
            return await self.dispatch.send(attempt, in_flight)

    @property
    def _narrowing_stopped(self) -> bool:
        return self._culprits_in_a_row >= _MOST_CULPRITS

    def _is_too_large(self, attempt: Attempt) -> bool:
        """Whether a call would be larger than the site has been seen to accept."""
        most = self.batch_size(attempt).most
        return attempt.batch.pairs > most or attempt.weight >= self._smallest_too_large

    async def _handle_reply(self, attempt: Attempt, reply: Reply, in_flight: InFlight) -> _Step:
        """Act on a reply. None means that the job was stopped before the call was sent."""
        stopped_by = self.dispatch.stopped_by
        if reply is None:
            return await self._give_up(attempt, stopped_by or EnrollError("stopped"))
        sent = after(attempt, reply)
        if isinstance(reply, BulkAnswer):
            return self._answered(sent, reply)
        if sent.changed_in and not sent.mails:
            return [], [sent]
        match reply.kind:
            case kind if stopped_by and kind in _STOPPING:
                return await self._give_up(sent, reply.error)
            case FailureKind.UNKNOWN:
                return [], [evolve(sent, doubt=Doubt(reply.error))]
            case FailureKind.TOO_LARGE:
                return await self._shrink(sent, reply)
            case FailureKind.INTERCEPTED | FailureKind.MASKED:
                return await self._intercepted(sent, reply)
            case kind if kind in AT_FAULT:
                in_flight.replace(attempt, sent)
                return await self._isolate(sent, reply, in_flight)
        return rejected(sent, reply.error), []

    async def _give_up(self, attempt: Attempt, why: EnrollError) -> _Step:
        """Emit results for what is not sent, unless the job can be resumed."""
        if not self._event_log.durable:
            for _, blocks in self._final(attempt, given_up(attempt, why)):
                self.accounted += pairs_in(blocks)
                await self._emit(blocks)
        return [], []

    def _answered(self, attempt: Attempt, answer: BulkAnswer) -> _Step:
        """Take the results of an answer; send pairs that it leaves in doubt again, without mail."""
        self._largest_taken = max(self._largest_taken, attempt.weight)
        self._culprits_in_a_row = 0
        results = answered(attempt, answer)
        blocks = results.blocks
        if not (results.doubtful or results.erroneous or results.undone):
            return blocks, []
        doubtful = self._parts(evolve(attempt, lost=True, errors=0), results.doubtful)
        if attempt.attempts >= MOST_ATTEMPTS:
            words = "the platform's answers do not tell what became of this pair"
            blocks += [block for part in doubtful for block in unconfirmed(part, words)]
            doubtful = []
        return blocks, [
            *doubtful,
            *self._erroneous(attempt, results.erroneous),
            *self._parts(
                evolve(attempt, undone=attempt.email, errors=attempt.errors + 1), results.undone
            ),
        ]

    def _erroneous(self, attempt: Attempt, some: list[Pair]) -> list[Attempt]:
        """Send pairs flagged as errors again, without mail; after `CERTAIN` errors reconcile them.

        In releases before 2026 the enrollment may stand although the mail failed.
        """
        attempt = evolve(attempt, lost=True, errors=attempt.errors + 1)
        if attempt.errors >= CERTAIN:
            failure = EnrollError("the platform failed on this identifier; its log says why")
            attempt = evolve(attempt, doubt=Doubt(failure, Outcome.ERROR))
        return self._parts(attempt, some)

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
        parts = self._parts(evolve(attempt, doubt=None), left)
        stopped = durable and self.dispatch.stopped_by is not None
        if doubt.otherwise and not stopped:
            ends = [block for part in parts for block in failed(part, doubt.otherwise, doubt.error)]
            return [*done, *ends], []
        if attempt.attempts >= MOST_ATTEMPTS and not self.dispatch.stopped_by:
            ends = [block for part in parts for block in unconfirmed(part, doubt.error)]
            return [*done, *ends], []
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
            return await self._give_up(attempt, self.dispatch.stopped_by)
        left = set(self.mailing.left(attempt.batch, listed))
        still_in = [pair for pair in pairs(attempt.batch) if pair not in left]
        seen = evolve(attempt, changed_at=anyio.current_time())
        ends = [block for part in self._parts(attempt, left) for block in given_up(part, _LEFT)]
        return ends, self._parts(seen, still_in)

    async def _isolate(self, attempt: Attempt, failure: Failure, in_flight: InFlight) -> _Step:
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
        return await self._isolate_courses(attempt, failure, in_flight)

    async def _isolate_courses(
        self, attempt: Attempt, failure: Failure, in_flight: InFlight
    ) -> _Step:
        """Bisect the courses of one learner; where both halves fail, the learner fails in all."""
        first, second = in_flight.attempts = attempt.halves()
        reply = await self._send(first, in_flight)
        if not is_at_fault(reply):
            blocks, more = await self._handle_reply(first, reply, in_flight)
            return blocks, [*more, second]
        in_flight.replace(first, first := after(first, reply))
        other = await self._send(second, in_flight)
        if is_at_fault(other):
            return [
                *rejected_culprit(first, failure),
                *rejected_culprit(after(second, other), failure),
            ], []
        blocks, more = await self._handle_reply(second, other, in_flight)
        return blocks, [*more, first]

    def _reject_culprit(self, attempt: Attempt, failure: Failure) -> _Step:
        """Reject an attempt that cannot be split; send it again first where the error may pass."""
        may_pass = failure.kind in (FailureKind.MISSING, FailureKind.UNDONE, FailureKind.TOO_LARGE)
        if may_pass and attempt.failed_alone + 1 < CERTAIN:
            return [], [evolve(attempt, failed_alone=attempt.failed_alone + 1)]
        self._culprits_in_a_row += 1
        return rejected_culprit(attempt, failure), []

    async def _shrink(self, attempt: Attempt, failure: Failure) -> _Step:
        """Split a call that is too large; remember its size if none as large was accepted."""
        weight = attempt.weight
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
            return [], [evolve(attempt, doubt=Doubt(failure.error, Outcome.UNCONFIRMED))]
        return self._reject_culprit(attempt, failure)

    async def _split(self, attempt: Attempt) -> _Step:
        event = BatchSplit(job=self._event_log.job, planned=attempt.planned, batch=attempt.batch)
        await self.dispatch.record(event)
        return [], attempt.halves()

    def _parts(self, attempt: Attempt, some: Collection[Pair]) -> list[Attempt]:
        """Return attempts with the same history for some of the pairs of one."""
        if not some:
            return []
        return [
            attempt.with_batch(batch) for batch in plan(desired(attempt.batch, some), self._limits)
        ]


async def _preflight(dispatch: Dispatch, batch: Batch) -> BulkAnswer | Failure:
    tries = MOST_ATTEMPTS if batch.pairs == 1 else CERTAIN
    return await dispatch.preflight(batch, tries=tries)
