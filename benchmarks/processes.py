"""Processes of their own, so that neither CPU nor memory of one part counts as another's."""

from __future__ import annotations

import asyncio
import resource
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import anyio
import msgspec
from anyio import to_thread
from anyio.streams.buffered import BufferedByteReceiveStream

P = ParamSpec("P")
T = TypeVar("T")

_HERE = Path(__file__).parent.parent
_LONGEST_LINE = 64 * 1024 * 1024


async def alone(work: Callable[P, Awaitable[T]], *arguments: P.args, **keywords: P.kwargs) -> T:
    """Run an asynchronous function in a new process; give what it returns."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(pool, _run, work, arguments, keywords)


def _run(
    work: Callable[..., Awaitable[T]], arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> T:
    async def run() -> T:
        return await work(*arguments, **keywords)

    return anyio.run(run)


def peak() -> int:
    """Bytes of memory that this process has held at most."""
    try:
        # Elsewhere than here, a new process starts with the peak of the one that made it.
        return 1024 * int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
    except FileNotFoundError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else 1024 * most


class Server:
    """A server in a process of its own; `greeting` is the first that it said."""

    def __init__(self, process: anyio.abc.Process) -> None:
        assert process.stdin
        assert process.stdout
        self._asked = process.stdin
        self._said = BufferedByteReceiveStream(process.stdout)
        self.greeting: Any = None

    async def hear(self) -> Any:
        """What it says next."""
        return msgspec.json.decode(await self._said.receive_until(b"\n", _LONGEST_LINE))

    async def stop(self) -> None:
        """Tell it that it is not needed any longer."""
        await self._asked.aclose()


@asynccontextmanager
async def serving(module: str, *arguments: object) -> AsyncIterator[Server]:
    """Run a module that calls `say` once it serves, and returns once `dismissed`."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    async with await anyio.open_process(command, stderr=None, cwd=_HERE) as process:
        server = Server(process)
        server.greeting = await server.hear()
        yield server
        await server.stop()


def say(what: object) -> None:
    """Tell something to whoever has started this process."""
    print(msgspec.json.encode(what).decode(), flush=True)


async def dismissed() -> None:
    """Wait until whoever has started this process needs it no longer."""
    await to_thread.run_sync(sys.stdin.read)
