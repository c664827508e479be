"""Runs producers in the background of an asynchronous generator, and never longer than it.

An asynchronous generator must not hold a task group across a `yield`. A consumer that leaves its
loop early abandons the generator; another task then finishes it, but only the task that entered a
task group can leave it. So each producer has a task of its own, structured inside, and the
generator only reads what it sends. `client` streams results of jobs and listings this way.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar

import anyio

from async_enroll.cancellation import ended
from async_enroll.errors import ConfigurationError
from async_enroll.models import Emit

T = TypeVar("T")


class Background:
    """The producers of one client."""

    def __init__(self) -> None:
        self._scopes: dict[asyncio.Task[None], anyio.CancelScope] = {}

    async def stream(
        self, produce: Callable[[Emit[T]], Awaitable[None]], *, buffer: int
    ) -> AsyncGenerator[T]:
        """Yield what `produce` emits, at most `buffer` values ahead of the consumer.

        When the consumer stops, for whatever reason, `produce` is cancelled and awaited.

        Raises:
            ConfigurationError: if `aclose` has cancelled `produce`.
            Exception: what `produce` raises, after all that it has emitted.

        """
        sender, receiver = anyio.create_memory_object_stream[T](buffer)
        scope = anyio.CancelScope()

        async def run() -> None:
            with scope:
                async with sender:
                    await produce(sender.send)

        task = asyncio.create_task(run())
        self._scopes[task] = scope
        task.add_done_callback(self._scopes.pop)
        try:
            with receiver:
                async for value in receiver:
                    yield value
            await task
            if scope.cancelled_caught:
                raise ConfigurationError("the client was closed while this was under way")
        finally:
            await self._end(task)

    async def aclose(self) -> None:
        """Cancel all producers and wait until they have ended."""
        await self._end(*self._scopes)

    async def _end(self, *tasks: asyncio.Task[None]) -> None:
        for task in tasks:
            if scope := self._scopes.get(task):  # it has not ended by itself
                scope.cancel()
        await ended(*tasks)
