"""Runs a job: delivers its batches concurrently until every pair has a result.

Takes work from `jobs.inputs` or `journal.journal`. Cuts each batch to the size that the site
handles well, and gives it to `delivery.delivery`, which emits the results.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from itertools import count

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup
from attrs import frozen

from async_enroll.cancellation import is_cancelled
from async_enroll.delivery.attempt import Attempt
from async_enroll.delivery.delivery import Delivery
from async_enroll.delivery.event_log import EventLog
from async_enroll.delivery.mailing import Changed, mails_at_once
from async_enroll.errors import EnrollError, JobStopped
from async_enroll.events import JobDone, JobStarted
from async_enroll.jobs.options import Options, Signal
from async_enroll.models import Batch
from async_enroll.planning.batching import cut
from async_enroll.planning.validation import Scope, Work
from async_enroll.results import Block, pairs_in


@frozen
class AllAnswered:
    """An item of work: what follows is not asked for before all calls so far are answered."""


@frozen
class NotSent:
    """An item of work: results for pairs of a planned batch that are not sent."""

    planned: int | None
    blocks: tuple[Block, ...]


JobWork = Work | Attempt | Changed | AllAnswered | NotSent
"""An item of work for a job: what is planned, what an earlier run has left, results of pairs."""


class Job:
    """One job. Every pair of it gets exactly one result.

    When a call fails in a way that all others would, or the stop signal is set, the calls in
    flight finish. The remaining pairs are emitted as not sent, and the error is raised. A job with
    a journal leaves them for `resume` instead.

    No course is changed before it is known to exist. The option `preflight`: None checks all
    courses and cohorts before anything is sent, but for those found to be good recently; True
    checks these as well; False checks each before its first call.
    """

    def __init__(self, delivery: Delivery, event_log: EventLog, options: Options) -> None:
        self._delivery = delivery
        self._event_log = event_log
        self._options = options
        self._planned = count(1)
        self._fed = 0
        self._scope: Scope | None = None
        """What is to be checked before the next attempt."""
        self._ready: deque[Attempt] = deque()
        """Attempts taken from the work, and not yet started."""
        self._more = True
        """Whether there is more work."""
        self._broken: Exception | None = None
        """What the source of the work has raised."""

    async def run(
        self,
        work: AsyncIterator[JobWork],
        *,
        pairs: int | None = None,
        done: int | None = None,
    ) -> None:
        """Deliver all work.

        Args:
            work: Batches, attempts and changed pairs of an earlier run, and results of pairs that
                are not sent.
            pairs: The number of pairs in all, for progress; None where unknown.
            done: How many of them earlier runs have completed; None where unknown.

        Raises:
            EnrollError: what stopped the job, after all results were emitted.

        """
        job = self._event_log.job
        await self._event_log.record(JobStarted(job=job, pairs=pairs, done=done))
        try:
            stopped_by = await self._run(work)
        except BaseException as error:  # cancelled, for example
            self._delivery.cut_off_unmailed()
            with anyio.CancelScope(shield=True):
                await self._record_done(error)
            raise
        await self._record_done(stopped_by)
        if stopped_by:
            raise stopped_by

    async def _run(self, work: AsyncIterator[JobWork]) -> Exception | None:
        """Deliver all work; return what stopped the job, or None."""
        if self._options.stop is None:
            await self._parts(work)
        else:
            async with anyio.create_task_group() as watch:
                watch.start_soon(self._watch_stop, self._options.stop)
                # A signal that is set already stops the job before its first call.
                for _ in range(2):
                    await anyio.lowlevel.checkpoint()
                await self._parts(work)
                watch.cancel_scope.cancel()
        return self._broken or self._delivery.dispatch.stopped_by or self._unaccounted()

    async def _parts(self, work: AsyncIterator[JobWork]) -> None:
        while self._more and not self._stopped_for_resume:
            await self._part(work)
            if attempts := self._delivery.mailing.rest():
                async with anyio.create_task_group() as calls:
                    for attempt in attempts:
                        await self._start(attempt, calls)

    async def _part(self, work: AsyncIterator[JobWork]) -> None:
        """Deliver the work up to the next `AllAnswered`."""
        first = await self._next(work)
        following = await self._next(work) if first else None
        if first is None or self._broken or self._stopped_for_resume:
            return
        if following is None and self._fits(first):
            await self._delivery.slots.acquire()
            await self._deliver(first, asyncio.Event())  # without the cost of a task
            return
        async with anyio.create_task_group() as calls:
            await self._start(first, calls)
            while following:
                await self._start(following, calls)
                following = await self._next(work)

    @property
    def _stopped_for_resume(self) -> bool:
        return self._delivery.dispatch.stopped_by is not None and self._event_log.durable

    def _unaccounted(self) -> EnrollError | None:
        """Return an error if pairs have no result: a safeguard against defects of this library."""
        lacking = self._fed - self._delivery.accounted
        if lacking:
            return EnrollError(f"the job has ended, and {lacking:,} pairs have no result")
        return None

    async def _record_done(self, stopped_by: BaseException | None) -> None:
        # Messages of others' exceptions may contain identifiers.
        ours = stopped_by is None or isinstance(stopped_by, EnrollError)
        words = str(stopped_by) if ours else type(stopped_by).__name__
        error = words if stopped_by else None
        await self._event_log.record(JobDone(job=self._event_log.job, error=error))

    async def _watch_stop(self, stop: Signal) -> None:
        await stop.wait()
        self._delivery.dispatch.stop(JobStopped("the job was asked to stop"))

    async def _next(self, work: AsyncIterator[JobWork]) -> Attempt | None:
        """Return the next attempt to start; None at an `AllAnswered`, and when there is no more.

        What the source of the work raises waits in `_broken`, until the calls have ended.
        """
        if self._ready:
            return self._ready.popleft()
        try:
            async for item in work:
                if isinstance(item, AllAnswered):
                    return None
                if self._stopped_for_resume:
                    break
                if self._options.email_students == "changed":
                    self._ready += self._delivery.mailing.due(anyio.current_time())
                if attempt := await self._taken(item):
                    self._ready.append(attempt)
                if self._ready:
                    return self._ready.popleft()
        except Exception as error:  # noqa: BLE001
            self._broken = error
        except anyio.get_cancelled_exc_class():
            if is_cancelled():
                raise
            self._broken = EnrollError("the source of the work was cancelled; the job was not")
        self._more = False
        return None

    async def _taken(
        self, item: Scope | Batch | Block | Attempt | Changed | NotSent
    ) -> Attempt | None:
        """Take an item of the work; return the attempt to start for it, if any."""
        match item:
            case Batch():
                email = mails_at_once(self._options.email_students, item)
                attempt = Attempt(item, email=email, planned=next(self._planned))
            case Scope():
                self._scope = item
                return None
            case Block():
                self._fed += len(item)
                await self._delivery.settled(None, [item])
                return None
            case Changed():
                self._fed += pairs_in([*item.to_mail, *item.final])
                await self._delivery.changed_earlier(item)
                return None
            case NotSent():
                self._fed += pairs_in(item.blocks)
                await self._delivery.settled(item.planned, list(item.blocks))
                return None
            case Attempt():
                attempt = item
        self._fed += attempt.batch.pairs
        scope, self._scope = self._scope, None
        if scope and self._options.preflight is not False:
            again = self._options.preflight is True
            await self._delivery.preflight.check(scope.places, again=again)
        return attempt

    def _fits(self, only: Attempt) -> bool:
        """Whether the only attempt of a part is small enough for one call."""
        return only.batch.pairs <= max(1, self._delivery.batch_size(only).pairs(alone=True))

    async def _start(self, attempt: Attempt, calls: TaskGroup) -> None:
        """Start delivering an attempt in parts of suitable size."""
        left = [attempt.batch]
        while left:
            await self._delivery.slots.acquire()
            batch = left.pop()
            # Decided as late as possible: earlier calls show how long a pair takes.
            size = self._delivery.batch_size(attempt).pairs()
            while batch.pairs > max(1, size):
                batch, rest = cut(batch, size)
                left += [rest] if rest else []
            sent = asyncio.Event()
            calls.start_soon(self._deliver, attempt.with_batch(batch), sent)
            # Calls that can go at once are started together: to wake this task in between costs
            # as much CPU as half a call.
            if self._delivery.dispatch.is_waiting:
                await sent.wait()

    async def _deliver(self, attempt: Attempt, sent: asyncio.Event) -> None:
        # The slot is held until the results are consumed: a slow consumer slows the job down,
        # instead of letting results pile up.
        try:
            await self._delivery.deliver(attempt, sent)
        finally:
            sent.set()
            self._delivery.slots.release()
