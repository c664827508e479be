"""Runs several queries of the listing concurrently, for the client and `delivery.reconcile`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from typing import TypeVar

import anyio

from async_enroll.errors import EnrollError
from async_enroll.models import Emit

Q = TypeVar("Q")
R = TypeVar("R")


async def side_by_side(
    ask: Callable[[Q], AsyncGenerator[R]],
    queries: Iterable[Q],
    emit: Emit[R],
    *,
    concurrency: int,
) -> None:
    """Run queries, at most `concurrency` at once; emit the records they find.

    Raises:
        EnrollError: if a query fails; the others are then cancelled.

    """
    failed: EnrollError | None = None
    slots = anyio.Semaphore(concurrency)

    async def read(query: Q) -> None:
        nonlocal failed
        try:
            async with aclosing(ask(query)) as lists:
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
            running.start_soon(read, query)
    if failed:
        raise failed
