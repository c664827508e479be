"""What reading a listing while it arrives costs, against holding the whole body."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Any

import orjson
from cattrs import Converter

from async_enroll import Enrollment, EnrollmentClient
from benchmarks import echo
from benchmarks.processes import alone, serving
from benchmarks.tables import Bar, Table

RECORDS = 200_000

BASE = "orjson + cattrs, whole body"
OURS = "async_enroll, over HTTP"
SPEED = Bar(least=0.5)


async def streamed(url: str, _: bytes) -> int:
    """Ours: asked for over HTTP, records dropped after use."""
    async with EnrollmentClient(url, "token") as client:
        return len([None async for _ in client.enrollments()])


async def whole(_: str, body: bytes) -> int:
    """What a user would write, once the whole body is there: orjson and cattrs."""
    converter = Converter()
    converter.register_structure_hook(datetime, lambda text, _: datetime.fromisoformat(text))
    return len(converter.structure(orjson.loads(body), list[Enrollment]))


async def parsed(_: str, body: bytes) -> int:
    """The limit: JSON to dictionaries, nothing checked."""
    values: list[Any] = orjson.loads(body)
    return len(values)


Reader = Callable[[str, bytes], Awaitable[int]]
READERS: dict[str, Reader] = {BASE: whole, OURS: streamed, "orjson alone, whole body": parsed}


async def measure(read: Reader, url: str) -> tuple[float, int]:
    """CPU seconds, and bytes of memory at the peak beside the body itself."""
    body = echo.listing(RECORDS)
    start = time.process_time()
    count = await read(url, body)
    took = time.process_time() - start
    if count != RECORDS:
        raise RuntimeError("records were lost")
    tracemalloc.start()
    await read(url, body)
    _, peak = tracemalloc.get_traced_memory()
    return took, peak


async def run() -> AsyncIterator[Table]:
    """The table."""
    async with serving("benchmarks.echo", RECORDS) as server:
        figures = {
            name: await alone(measure, read, server.greeting) for name, read in READERS.items()
        }
    size = len(echo.listing(RECORDS))
    table = Table(
        f"A listing of {RECORDS:,} records, {size / 2**20:.0f} MiB",
        ("reader", "CPU seconds", f"speed of {BASE}", "bar", "MiB at the peak"),
    )
    base, _ = figures[BASE]
    for name, (took, peak) in figures.items():
        # Those who hold the whole body hold it beside what becomes of it.
        held = peak if name == OURS else peak + size
        bar = SPEED.judge(base / took) if name == OURS else ""
        table.add(name, f"{took:.2f}", f"{base / took:.2f} x", bar, f"{held / 2**20:.1f}")
    yield table
