"""A clock that jumps: what waits for hours takes no time, and exactly as long as it should."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class _Jumping(selectors.SelectSelector):
    """Moves the clock where nothing else is left to do."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everybody waits for ever")
        self.now += timeout + 1e-6  # no clock stands still
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _Jumping()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def simulated(work: Callable[P, Coroutine[object, object, T]]) -> Callable[P, T]:
    """Have a coroutine function run on such a clock, and be a plain one: no sockets, no threads."""

    @wraps(work)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with asyncio.Runner(loop_factory=_Loop) as runner:
            return runner.run(work(*args, **kwargs))

    return run
