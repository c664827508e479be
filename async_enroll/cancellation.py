"""Cancellation: whether it is one's own, and what is waited for in spite of it."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import anyio


def is_cancelled() -> bool:
    """Whether the current task is being cancelled, by `Task.cancel` or by a scope around it.

    Awaiting a future that somebody has cancelled raises a CancelledError as well, and so may a
    caller's code. Such a one is a failure like any other, and must not end a job in silence. ::

        try:
            token = await source()
        except asyncio.CancelledError as error:
            if is_cancelled():
                raise
            raise EnrollError("the token source was cancelled") from error

    True until the cancellation has ended: `Task.uncancel` was called as often as `Task.cancel`,
    or the scope was left, both of which `asyncio.timeout` and anyio do by themselves. A task that
    has swallowed its cancellation stays cancelled, as it does for asyncio.
    """
    task = asyncio.current_task()
    # Scopes cancel by `Task.cancel`, but those that a task has cancelled itself only at its next
    # `await`, and none inside of a shield.
    return (task is not None and task.cancelling() > 0) or (
        anyio.current_effective_deadline() == -math.inf
    )


async def ended(*tasks: asyncio.Future[Any]) -> None:
    """Wait until tasks have ended, however often the current one is cancelled meanwhile.

    What they raise is for nobody. A cancellation by `Task.cancel` is raised once all have ended,
    one by a scope at the next `await`.
    """
    cancelled: asyncio.CancelledError | None = None
    try:
        while running := [task for task in tasks if not task.done()]:
            try:
                with anyio.CancelScope(shield=True):
                    await asyncio.wait(running)
            except asyncio.CancelledError as error:
                cancelled = error
        for task in tasks:
            if not task.cancelled():
                task.exception()  # taken note of, or asyncio complains of it
        if cancelled:
            raise cancelled
    finally:
        del cancelled  # whose traceback holds this frame
