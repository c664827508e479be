"""What reading a listing while it arrives costs, against holding the whole body."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Any

import aiohttp
import orjson
from cattrs import Converter

from async_enroll import Enrollment, EnrollmentClient
from benchmarks import echo
from benchmarks.processes import alone, peak, serving
from benchmarks.tables import Bar, Table

RECORDS = 200_000

BASE = "orjson + cattrs"
OURS = "async_enroll"
SPEED = Bar(least=0.5)


async def streamed(url: str) -> tuple[int, float]:
    """Ours: records while they arrive over HTTP, dropped after use."""
    async with EnrollmentClient(url, "token") as client:
        since = time.process_time()
        count = len([None async for _ in client.enrollments()])
        return count, time.process_time() - since


async def whole(url: str) -> tuple[int, float]:
    """What a user would write: orjson and cattrs, once the whole body is there."""
    converter = Converter()
    converter.register_structure_hook(datetime, lambda text, _: datetime.fromisoformat(text))
    body = await _body(url)
    since = time.process_time()
    records = converter.structure(orjson.loads(body), list[Enrollment])
    return len(records), time.process_time() - since


async def parsed(url: str) -> tuple[int, float]:
    """The limit: JSON to dictionaries, nothing checked."""
    body = await _body(url)
    since = time.process_time()
    values: list[Any] = orjson.loads(body)
    return len(values), time.process_time() - since


async def _body(url: str) -> bytes:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return await response.read()


Reader = Callable[[str], Awaitable[tuple[int, float]]]
"""Gives how many records it read, and CPU seconds without those of getting a whole body."""

READERS: dict[str, Reader] = {BASE: whole, OURS: streamed, "orjson alone": parsed}


async def measure(read: Reader, url: str) -> tuple[float, int]:
    """CPU seconds, and bytes of memory at the peak beyond what was there before."""
    before = peak()
    count, took = await read(url)
    if count != RECORDS:
        raise RuntimeError("records were lost")
    return took, peak() - before


async def run() -> AsyncIterator[Table]:
    """The table."""
    async with serving("benchmarks.echo", RECORDS) as server:
        figures = {
            name: await alone(measure, read, server.greeting) for name, read in READERS.items()
        }
    size = len(echo.listing(RECORDS))
    table = Table(
        f"A listing of {RECORDS:,} records, {size / 2**20:.0f} MiB",
        ("reader", "CPU seconds", "speed", "bar", "MiB at the peak"),
    )
    base, _ = figures[BASE]
    for name, (took, most) in figures.items():
        bar = SPEED.judge(base / took) if name == OURS else ""
        table.add(name, f"{took:.2f}", f"{base / took:.2f}", bar, f"{most / 2**20:.1f}")
    yield table
