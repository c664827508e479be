"""Runs blocking work in threads, and waits for it even when cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from anyio import to_thread

from async_enroll.cancellation import ended

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


async def in_thread(function: Callable[[*Arguments], T], *arguments: *Arguments) -> T:
    """Call a function in a thread; a caller that is cancelled waits until it has returned.

    A thread cannot be stopped. If it were abandoned, it could still use a file that the next user
    opens. anyio waits for it as well, but not when a task is cancelled by asyncio's own
    `Task.cancel`, as web servers do.
    """
    work = asyncio.ensure_future(to_thread.run_sync(function, *arguments))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await ended(work)
        raise
