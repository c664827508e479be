"""Several processes that use one token: how long they take together, against the limit.

The window is a tenth of the platform's, as in `benchmarks.window`: the whole seconds that a
Retry-After names weigh ten times as much here.
"""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from tempfile import TemporaryDirectory
from typing import Any

import anyio
from attrs import evolve, frozen

from async_enroll import RequestWindow
from benchmarks.processes import alone
from benchmarks.rivals import IN_FLIGHT, async_enroll, moving_window_of_limits
from benchmarks.site import Setting, Site, visited
from benchmarks.tables import Bar, Table

WINDOW = RequestWindow(120, 6)
CALLS = 352
"""Three windows, with room for what each process asks before its first call."""
PROCESSES = (1, 2, 4, 8)
BAR = Bar(most=1.6)
SHARED = Bar(most=1.06)
BARRED = (2, 4)
STARTING = 1.5
"""Seconds in which a process has started, for all to begin together."""


@frozen
class Variant:
    """How a process keeps to the window, given how many there are."""

    work: Callable[..., Awaitable[None]]
    store: str | None = None
    """URL of what the processes share; None: nothing. `{redis}` is the URL of a Redis server,
    `{folder}` a folder."""
    divided: bool = False
    """Whether each process is given its part of the window."""
    bar: Bar | None = None


VARIANTS = {
    "async_enroll, nothing shared": Variant(async_enroll, bar=BAR),
    "async_enroll, shared in Redis": Variant(async_enroll, "{redis}", bar=SHARED),
    "async_enroll, shared in a file": Variant(async_enroll, "file://{folder}/w.db", bar=SHARED),
    "async_enroll, window divided by hand": Variant(async_enroll, divided=True),
    "limits in memory, nothing shared": Variant(moving_window_of_limits, "async+memory://"),
    "limits, shared in Redis": Variant(moving_window_of_limits, "async+{redis}"),
}
"""Those that need Redis are left out where it is not installed."""


@asynccontextmanager
async def redis() -> AsyncIterator[str]:
    """Serve Redis on a free port, without files; give its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    async with await anyio.open_process([*command, "--loglevel", "warning"]) as server:
        try:
            for _ in range(100):
                with suppress(OSError):
                    await (await anyio.connect_tcp("127.0.0.1", port)).aclose()
                    break
                await anyio.sleep(0.05)
            yield f"redis://127.0.0.1:{port}"
        finally:
            server.terminate()


async def from_then(
    start: float,
    work: Callable[..., Awaitable[None]],
    site: Site,
    window: RequestWindow,
    store: tuple[str, ...],
) -> None:
    """Work from a moment on, in seconds of the steady clock that all processes see."""
    await anyio.sleep(max(0.0, start - time.monotonic()))
    await work(site, window, *store)


async def contend(
    variant: Variant, setting: Setting, processes: int, url: str | None, starting: float
) -> tuple[float, int, int]:
    """Enroll everybody; give the seconds, the refusals, and how many are enrolled."""
    told = setting.window
    window = RequestWindow(told.calls // processes, told.seconds) if variant.divided else told
    folder = TemporaryDirectory()
    store = (variant.store.format(redis=url, folder=folder.name),) if variant.store else ()
    with folder:
        async with visited(setting) as site:
            start = time.monotonic() + starting * (1 + processes)
            async with anyio.create_task_group() as them:
                for number in range(processes):
                    part = evolve(site, learners=site.learners[number::processes])
                    them.start_soon(alone, from_then, start, variant.work, part, window, store)
    seconds = max(call.end for call in site.calls) - min(call.arrival for call in site.calls)
    refused = sum(call.status == 429 for call in site.calls)
    return seconds, refused, len(site.enrolled)


async def run(
    window: RequestWindow = WINDOW,
    calls: int = CALLS,
    numbers: Sequence[int] = PROCESSES,
    starting: float = STARTING,
) -> AsyncIterator[Table]:
    """The table."""
    setting = Setting(window, learners=calls, seconds_per_call=0.02)
    table = Table(
        f"{calls} calls, {window.calls} per {window.seconds:g} s, by processes with one token",
        ("client", "processes", "enrolled", "refused", "seconds", "of the limit", "bar"),
    )
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(redis()) if shutil.which("redis-server") else None
        for name, variant in VARIANTS.items():
            if variant.store and "{redis}" in variant.store and not url:
                continue
            for processes in numbers:
                found = await contend(variant, setting, processes, url, starting)
                seconds, refused, enrolled = found
                ratio = seconds / setting.limit(processes * IN_FLIGHT)
                table.add(
                    name,
                    str(processes),
                    f"{enrolled} of {calls}",
                    str(refused),
                    f"{seconds:.2f}",
                    f"{ratio:.3f}",
                    variant.bar.judge(ratio) if variant.bar and processes in BARRED else "",
                )
    yield table


SHORT: dict[str, Any] = {
    "window": RequestWindow(50, 0.5),
    "calls": 8,
    "numbers": [2],
    "starting": 0,
}
