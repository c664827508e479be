"""Runs a job: delivers its batches concurrently until every pair has a result.

Takes work from `jobs.inputs` or `journal.journal`. Cuts each batch to the size that the site
handles well, and gives it to `delivery.delivery`, which emits the results.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count
from typing import Protocol

import anyio
from anyio.abc import TaskGroup

from async_enroll.cancellation import is_cancelled
from async_enroll.delivery.attempt import Attempt
from async_enroll.delivery.delivery import Delivery
from async_enroll.delivery.event_log import EventLog
from async_enroll.delivery.mailing import Changed, mails_at_once
from async_enroll.errors import EnrollError, JobStopped
from async_enroll.events import JobDone, JobStarted
from async_enroll.models import Batch, EmailStudents
from async_enroll.planning.batching import cut
from async_enroll.planning.validation import Scope, Work
from async_enroll.results import Block, pairs_in


class Signal(Protocol):
    """An event to wait for: an `anyio.Event` or an `asyncio.Event`."""

    async def wait(self) -> object:
        """Return once it is set."""


class Job:
    """One job. Every pair of it gets exactly one result.

    When a call fails in a way that all others would, or `stop` is set, the calls in flight finish.
    The remaining pairs are emitted as not sent, and the error is raised. A job with a journal
    leaves them for `resume` instead.

    No course is changed before it is known to exist. `preflight`: None checks all courses and
    cohorts before anything is sent, but for those found to be good recently; True checks these
    as well; False checks each before its first call.
    """

    def __init__(
        self,
        delivery: Delivery,
        event_log: EventLog,
        *,
        email_students: EmailStudents,
        preflight: bool | None,
        stop: Signal | None = None,
    ) -> None:
        self._delivery = delivery
        self._event_log = event_log
        self._email_students = email_students
        self._preflight = preflight
        self._stop = stop
        self._fed = 0
        self._planned = count(1)

    async def run(
        self,
        work: AsyncIterator[Work | Attempt | Changed],
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

    async def _run(self, work: AsyncIterator[Work | Attempt | Changed]) -> Exception | None:
        """Deliver all work; return what stopped the job, or None."""
        broken: Exception | None = None
        async with anyio.create_task_group() as watch:
            watch.start_soon(self._watch_stop)
            async with anyio.create_task_group() as calls:
                try:
                    await self._feed(work, calls)
                except Exception as error:  # noqa: BLE001  # raised when the calls have ended
                    broken = error
                except anyio.get_cancelled_exc_class():
                    if is_cancelled():
                        raise
                    broken = EnrollError("the source of the work was cancelled; the job was not")
            async with anyio.create_task_group() as calls:
                await self._mail(self._delivery.mailing.rest(), calls)
            watch.cancel_scope.cancel()
        return broken or self._delivery.dispatch.stopped_by or self._unaccounted()

    async def _mail(self, attempts: list[Attempt], calls: TaskGroup) -> None:
        """Start to mail learners for whom earlier calls have changed something."""
        for attempt in attempts:
            await self._start(attempt, calls)

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

    async def _watch_stop(self) -> None:
        if self._stop is not None:
            await self._stop.wait()
            self._delivery.dispatch.stop(JobStopped("the job was asked to stop"))

    async def _feed(self, work: AsyncIterator[Work | Attempt | Changed], calls: TaskGroup) -> None:
        scope = Scope(())
        first: Attempt | None = None  # held back until it is known whether another follows
        started = False
        async for item in work:
            if self._delivery.dispatch.stopped_by and self._event_log.durable:
                return
            await self._mail(self._delivery.mailing.due(anyio.current_time()), calls)
            match item:
                case Block():
                    self._fed += len(item)
                    await self._delivery.settled(None, [item])
                    continue
                case Changed():
                    self._fed += pairs_in([*item.to_mail, *item.final])
                    await self._delivery.changed_earlier(item)
                    continue
                case Scope():
                    scope = item
                    continue
                case Batch():
                    email = mails_at_once(self._email_students, item)
                    attempt = Attempt(item, email=email, planned=next(self._planned))
                case Attempt():
                    attempt = item
            self._fed += attempt.batch.pairs
            if first is None:
                if self._preflight is not False:
                    again = self._preflight is True
                    await self._delivery.preflight.check(scope.places, again=again)
                first = attempt
                continue
            if not started:
                started = True
                await self._start(first, calls)
            await self._start(attempt, calls)
        if first and not started:
            await self._start(first, calls, alone=True)

    async def _start(self, attempt: Attempt, calls: TaskGroup, *, alone: bool = False) -> None:
        """Start delivering an attempt in parts of suitable size; `alone`: the job has no other."""
        left = [attempt.batch]
        while left:
            await self._delivery.slots.acquire()
            batch = left.pop()
            # Decided as late as possible: earlier calls show how long a pair takes.
            size = self._delivery.batch_size(attempt).pairs(alone=alone)
            while batch.pairs > max(1, size):
                batch, rest = cut(batch, size)
                left += [rest] if rest else []
            sent = anyio.Event()
            calls.start_soon(self._deliver, attempt.with_batch(batch), sent)
            await sent.wait()

    async def _deliver(self, attempt: Attempt, sent: anyio.Event) -> None:
        # The slot is held until the results are consumed: a slow consumer slows the job down,
        # instead of letting results pile up.
        try:
            await self._delivery.deliver(attempt, sent)
        finally:
            sent.set()
            self._delivery.slots.release()
