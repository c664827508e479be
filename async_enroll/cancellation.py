"""Cancellation: detect that of the current task, and wait for other tasks in spite of it."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import anyio


def is_cancelled() -> bool:
    """Whether the current task is being cancelled, by `Task.cancel` or by a scope around it.

    Awaiting a future that other code has cancelled also raises CancelledError, and so may a
    caller's code. Such an exception is an ordinary failure, and must not end a job silently. ::

        try:
            token = await source()
        except asyncio.CancelledError as error:
            if is_cancelled():
                raise
            raise EnrollError("the token source was cancelled") from error

    True until the cancellation ends: until `Task.uncancel` was called as often as `Task.cancel`,
    or the scope was left. `asyncio.timeout` and anyio do both by themselves. As for asyncio, a task
    that swallowed its cancellation stays cancelled.
    """
    task = asyncio.current_task()
    # A scope cancels by `Task.cancel`, never inside of a shield. One that the task cancelled
    # itself does so only at the next `await`, but shows in the deadline at once.
    return (task is not None and task.cancelling() > 0) or (
        anyio.current_effective_deadline() == -math.inf
    )


async def ended(*tasks: asyncio.Future[Any]) -> None:
    """Wait until `tasks` have ended, however often the current task is cancelled meanwhile.

    Their exceptions are discarded. A cancellation by `Task.cancel` is raised again once all have
    ended; one by a scope takes effect at the next `await`.
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
                task.exception()  # retrieved, or asyncio logs that it never was
        if cancelled:
            raise cancelled
    finally:
        del cancelled  # breaks a cycle: its traceback holds this frame
