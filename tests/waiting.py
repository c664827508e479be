"""Running and waiting, in tests."""

import asyncio
import selectors
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


class _Impatient(selectors.DefaultSelector):
    """Waits for nothing: where there is nothing to do, it is later at once."""

    ahead = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.ahead += timeout or 0.0
        return super().select(0)


class _Simulated(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._impatient = _Impatient()
        super().__init__(self._impatient)

    def time(self) -> float:
        return super().time() + self._impatient.ahead


def simulated(work: Coroutine[object, object, T]) -> T:
    """Run a coroutine that does no I/O, on a clock that waits for nobody."""
    with asyncio.Runner(loop_factory=_Simulated) as runner:
        return runner.run(work)
