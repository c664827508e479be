"""Drives batches: sends them side by side, and turns whatever comes back into results."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
from anyio.abc import TaskStatus

from async_enroll.api import Api
from async_enroll.background import Emit
from async_enroll.errors import EnrollError
from async_enroll.intake import Work
from async_enroll.models import Batch, EnrollmentResult
from async_enroll.outcomes import answered, unanswered, unsent
from async_enroll.throttle import MOST_REFUSALS, Throttle
from async_enroll.verdict import Meaning
from async_enroll.wire import BulkAnswer


class Job:
    """One job: its work goes in, results come out as calls return.

    Every pair of the work has exactly one result, whatever happens: when a call shows
    that no other would fare better, those in flight end, and the rest is reported as not
    sent before the error is raised.
    """

    def __init__(
        self,
        api: Api,
        throttle: Throttle,
        *,
        concurrency: int,
        auto_enroll: bool,
        email_students: bool,
    ) -> None:
        self._api = api
        self._throttle = throttle
        self._auto_enroll = auto_enroll
        self._email_students = email_students
        self._concurrency = concurrency
        self._stopped_by: EnrollError | None = None

    async def run(self, work: AsyncIterator[Work], emit: Emit[list[EnrollmentResult]]) -> None:
        """Send the work, and emit the results.

        Raises:
            EnrollError: what stopped the job, once all its results are emitted.

        """
        # A batch keeps its slot until its results are taken: a slow consumer slows the job
        # down, instead of having results pile up.
        slots = anyio.Semaphore(self._concurrency)
        broken: Exception | None = None
        async with anyio.create_task_group() as calls:
            try:
                async for item in work:
                    if isinstance(item, EnrollmentResult):
                        await emit([item])
                    elif self._stopped_by:
                        await emit(unsent(item, self._stopped_by))
                    else:
                        await slots.acquire()
                        # Returns when the call has its turn: a job has one call at a time in
                        # line, and so leaves room for others however long it is.
                        await calls.start(self._send, item, slots, emit)
            except Exception as error:  # noqa: BLE001  # raised when the calls in flight have ended
                broken = error
        if broken:
            raise broken
        if self._stopped_by:
            raise self._stopped_by

    async def _send(
        self,
        batch: Batch,
        slots: anyio.Semaphore,
        emit: Emit[list[EnrollmentResult]],
        *,
        task_status: TaskStatus[None],
    ) -> None:
        try:
            await emit(await self._results(batch, task_status))
        finally:
            slots.release()

    async def _results(self, batch: Batch, task_status: TaskStatus[None]) -> list[EnrollmentResult]:
        refusals = 0
        while True:
            async with self._throttle.turn() as turn:
                if refusals == 0:
                    task_status.started()
                if self._stopped_by:
                    turn.unsent()
                    return unsent(batch, self._stopped_by)
                try:
                    reply = await self._api.bulk_enroll(
                        batch,
                        turn,
                        auto_enroll=self._auto_enroll,
                        email_students=self._email_students,
                    )
                except EnrollError as error:  # no token, or no open client: nothing was sent
                    turn.unsent()
                    self._stopped_by = self._stopped_by or error
                    return unsent(batch, error)
            if isinstance(reply, BulkAnswer):
                return answered(batch, reply, email_students=self._email_students)
            refusals += 1
            if reply.meaning is not Meaning.THROTTLED or refusals == MOST_REFUSALS:
                break
        if reply.meaning is Meaning.FATAL:
            self._stopped_by = self._stopped_by or reply.error
        return unanswered(batch, reply, email_students=self._email_students)
