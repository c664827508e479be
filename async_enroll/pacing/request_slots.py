"""A bound on what is asked of the platform at once that cannot dead-lock its callers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio


class Slot:
    """The right to have one request in flight."""

    def __init__(self, free: anyio.Semaphore) -> None:
        self._free = free
        self._held = False

    async def take(self) -> None:
        """Wait for the right."""
        await self._free.acquire()
        self._held = True

    def give_back(self) -> None:
        """Let another have it; once is enough."""
        if self._held:
            self._held = False
            self._free.release()

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[None]:
        """Lend the slot to others while a consumer's code runs, if it awaits anything at all.

        A consumer may make further requests before it takes the next record. Were the
        slots held meanwhile, a few such loops would wait for each other for ever.
        """
        lending = asyncio.get_running_loop().call_soon(self.give_back)
        try:
            yield
        finally:
            lending.cancel()
        if not self._held:
            await self.take()


class RequestSlots:
    """At most `count` requests in flight, first come, first served."""

    def __init__(self, count: int) -> None:
        self._free = anyio.Semaphore(count)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[Slot]:
        """Hold a slot for the body of the `async with`."""
        slot = Slot(self._free)
        await slot.take()
        try:
            yield slot
        finally:
            slot.give_back()
