"""Running and waiting, in tests."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import TypeVar

import anyio

T = TypeVar("T")


def run(work: Coroutine[object, object, T]) -> T:
    """Run a coroutine where Hypothesis wants a plain function."""
    return asyncio.run(work)


async def until(happened: Callable[[], object], *, seconds: float = 5) -> None:
    """Wait until something has happened."""
    with anyio.fail_after(seconds):
        while not happened():
            await anyio.sleep(0.005)
