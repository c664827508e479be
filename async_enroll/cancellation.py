"""Tells cancellation from a CancelledError that somebody else raises."""

from __future__ import annotations

import asyncio
import math

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
