"""Several queries of the listing, side by side."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import aclosing

import anyio

from async_enroll.api import Api
from async_enroll.background import Emit
from async_enroll.errors import EnrollError
from async_enroll.models import Enrollment, EnrollmentQuery


async def side_by_side(
    api: Api,
    queries: Iterable[EnrollmentQuery],
    emit: Emit[list[Enrollment]],
    *,
    concurrency: int,
) -> None:
    """Run queries, at most `concurrency` at once; emit what they find.

    Raises:
        EnrollError: where one fails; the others are stopped.

    """
    failed: EnrollError | None = None
    slots = anyio.Semaphore(concurrency)

    async def ask(query: EnrollmentQuery) -> None:
        nonlocal failed
        try:
            async with aclosing(api.enrollments(query)) as lists:
                async for records in lists:
                    await emit(records)
        except EnrollError as error:
            failed = failed or error
            running.cancel_scope.cancel()
        finally:
            slots.release()

    async with anyio.create_task_group() as running:
        for query in queries:
            await slots.acquire()
            running.start_soon(ask, query)
    if failed:
        raise failed
