"""Limit on concurrent read requests that cannot deadlock its callers.

The listings in `platform` hold a slot for each request, and lend it while a consumer's code runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio


class Slot:
    """Permission to have one request in flight."""

    def __init__(self, free: anyio.Semaphore) -> None:
        self._free = free
        self._held = False

    async def take(self) -> None:
        """Wait until the slot is available, and hold it."""
        await self._free.acquire()
        self._held = True

    def give_back(self) -> None:
        """Release the slot; does nothing if it is not held."""
        if self._held:
            self._held = False
            self._free.release()

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[None]:
        """Release the slot while a consumer's code runs, if that code awaits anything at all.

        A consumer may make further requests before it takes the next record. If the slots were
        held meanwhile, a few such loops would deadlock.
        """
        lending = asyncio.get_running_loop().call_soon(self.give_back)
        try:
            yield
        finally:
            lending.cancel()
        if not self._held:
            await self.take()


class RequestSlots:
    """At most `count` requests in flight, in order of arrival."""

    def __init__(self, count: int) -> None:
        self.count = count
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
