"""Runs a job: batches go in, side by side; results come out, one for every pair."""

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
from async_enroll.errors import EnrollError, JobStopped
from async_enroll.events import JobDone, JobStarted
from async_enroll.models import Batch
from async_enroll.planning.batching import cut
from async_enroll.planning.validation import Scope, Work
from async_enroll.results import Block


class Signal(Protocol):
    """Something to wait for: an `anyio.Event`, an `asyncio.Event`."""

    async def wait(self) -> object:
        """Return when it is set."""


class Job:
    """One job, whose every pair has exactly one result, whatever happens.

    When a call shows that no other would fare better, or `stop` is set, those in flight
    end, and the rest is reported as not sent before the error is raised; a job that can be
    gone on with leaves the rest for later. No course is written to before it is known to
    exist. `preflight`: whether all courses and cohorts are checked before anything is sent, or
    else each before its first call; True: also those found to be good a short while ago.
    """

    def __init__(
        self,
        delivery: Delivery,
        event_log: EventLog,
        *,
        email_students: bool,
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
        work: AsyncIterator[Work | Attempt],
        *,
        pairs: int | None = None,
        done: int | None = None,
    ) -> None:
        """Do the work: of `pairs` in all, `done` of which are done already, where that is known.

        Raises:
            EnrollError: what stopped the job, once all its results are emitted.

        """
        job = self._event_log.job
        await self._event_log.record(JobStarted(job=job, pairs=pairs, done=done))
        try:
            stopped_by = await self._run(work)
        except BaseException as error:  # it was cancelled, for one
            with anyio.CancelScope(shield=True):
                await self._record_done(error)
            raise
        await self._record_done(stopped_by)
        if stopped_by:
            raise stopped_by

    async def _run(self, work: AsyncIterator[Work | Attempt]) -> Exception | None:
        """Do the work; give what has stopped it, if anything has."""
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
            watch.cancel_scope.cancel()
        return broken or self._delivery.dispatch.stopped_by or self._unaccounted()

    def _unaccounted(self) -> EnrollError | None:
        """The last line of defence: a job never ends as if all was well with pairs missing."""
        lacking = self._fed - self._delivery.accounted
        if lacking:
            return EnrollError(f"the job has ended, and {lacking:,} pairs have no result")
        return None

    async def _record_done(self, stopped_by: BaseException | None) -> None:
        # What exceptions of others say may name people.
        ours = stopped_by is None or isinstance(stopped_by, EnrollError)
        words = str(stopped_by) if ours else type(stopped_by).__name__
        error = words if stopped_by else None
        await self._event_log.record(JobDone(job=self._event_log.job, error=error))

    async def _watch_stop(self) -> None:
        if self._stop is not None:
            await self._stop.wait()
            self._delivery.dispatch.stop(JobStopped("the job was asked to stop"))

    async def _feed(self, work: AsyncIterator[Work | Attempt], calls: TaskGroup) -> None:
        scope = Scope(())
        first: Attempt | None = None  # waits until it is known whether it is the only one
        started = False
        async for item in work:
            if self._delivery.dispatch.stopped_by and self._event_log.durable:
                return
            match item:
                case Block():
                    self._fed += len(item)
                    await self._delivery.settled(None, [item])
                    continue
                case Scope():
                    scope = item
                    continue
                case Batch():
                    email = self._email_students
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
        """Start to pursue a parcel, in parts as large as the site takes; `alone` in the job."""
        left = [attempt.batch]
        while left:
            await self._delivery.slots.acquire()
            batch = left.pop()
            # Decided as late as can be: the calls before it tell how long a pair takes.
            size = self._delivery.batch_size(attempt).pairs(alone=alone)
            while batch.pairs > max(1, size):
                batch, rest = cut(batch, size)
                left += [rest] if rest else []
            sent = anyio.Event()
            calls.start_soon(self._deliver, attempt.with_batch(batch), sent)
            await sent.wait()

    async def _deliver(self, attempt: Attempt, sent: anyio.Event) -> None:
        # The slot is kept until the results are taken: a slow consumer slows the job down,
        # instead of having results pile up.
        try:
            await self._delivery.deliver(attempt, sent)
        finally:
            sent.set()
            self._delivery.slots.release()
