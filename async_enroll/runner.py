"""Runs a job: batches go in, side by side; results come out, one for every pair."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
from anyio.abc import TaskGroup

from async_enroll.background import Emit
from async_enroll.intake import Scope, Work
from async_enroll.models import Batch, EnrollmentResult
from async_enroll.parcel import Parcel
from async_enroll.pursuit import Pursuit


class Job:
    """One job, whose every pair has exactly one result, whatever happens.

    When a call shows that no other would fare better, those in flight end, and the rest
    is reported as not sent before the error is raised. `preflight`: whether all courses
    and cohorts are checked first, without effect; None: whenever mail is at stake or the
    work is more than one batch.
    """

    def __init__(
        self,
        pursuit: Pursuit,
        emit: Emit[list[EnrollmentResult]],
        *,
        email_students: bool,
        preflight: bool | None,
    ) -> None:
        self._pursuit = pursuit
        self._emit = emit
        self._email_students = email_students
        self._preflight = True if preflight is None and email_students else preflight

    async def run(self, work: AsyncIterator[Work]) -> None:
        """Do the work.

        Raises:
            EnrollError: what stopped the job, once all its results are emitted.

        """
        broken: Exception | None = None
        async with anyio.create_task_group() as calls:
            try:
                await self._feed(work, calls)
            except Exception as error:  # noqa: BLE001  # raised when the calls in flight have ended
                broken = error
        if stopped_by := broken or self._pursuit.stopped_by:
            raise stopped_by

    async def _feed(self, work: AsyncIterator[Work], calls: TaskGroup) -> None:
        scope = Scope(())
        held_back: list[Batch] = []
        vetted = self._preflight is False
        async for item in work:
            match item:
                case EnrollmentResult():
                    await self._emit([item])
                case Scope():
                    scope = item
                case Batch() if vetted:
                    await self._start(item, calls)
                case Batch():
                    # Whether it is the only one decides whether a preflight is worth its call.
                    held_back.append(item)
                    if self._preflight or len(held_back) > 1:
                        await self._pursuit.vetting.vet(scope.places)
                        vetted = True
                        while held_back:
                            await self._start(held_back.pop(0), calls)
        for batch in held_back:
            await self._start(batch, calls)

    async def _start(self, batch: Batch, calls: TaskGroup) -> None:
        await self._pursuit.slots.acquire()
        calls.start_soon(self._pursue, Parcel(batch, email=self._email_students))

    async def _pursue(self, parcel: Parcel) -> None:
        # The slot is kept until the results are taken: a slow consumer slows the job down,
        # instead of having results pile up.
        try:
            await self._pursuit.pursue(parcel)
        finally:
            self._pursuit.slots.release()
