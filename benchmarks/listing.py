"""What reading a listing while it arrives costs, against parsing the whole body at once."""

from __future__ import annotations

import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any

import aiohttp
import orjson
from attrs import frozen
from cattrs import Converter

from async_enroll import Enrollment, EnrollmentClient
from benchmarks import echo
from benchmarks.processes import alone, peak, serving
from benchmarks.tables import Bar, Table

RECORDS, RUNS = 200_000, 3

BASE = "orjson.loads alone"
CPU = Bar(most=1.5)
MEMORY = Bar(most=16)


@frozen
class Reading:
    """What it took: records, CPU seconds, and bytes beyond what was there before."""

    records: int
    cpu: float
    memory: int


async def streamed(url: str, form: str) -> Reading:
    """Ours: records while they arrive over HTTP, dropped after use; with the transport."""
    async with EnrollmentClient(f"{url}/{form}", "token") as client:
        before, since = peak(), time.process_time()
        count = len([None async for _ in client.enrollments()])
        return Reading(count, time.process_time() - since, peak() - before)


async def parsed(url: str, finish: Callable[[Any], Any]) -> Reading:
    """The whole body to dictionaries, without the transport; then something with them."""
    before = peak()
    async with aiohttp.ClientSession() as session, session.get(f"{url}/array") as response:
        body = await response.read()
    since = time.process_time()
    count = len(finish(orjson.loads(body)))
    return Reading(count, time.process_time() - since, peak() - before)


def as_they_are(values: Any) -> Any:
    """Dictionaries, nothing checked: the limit."""
    return values


def structured(values: Any) -> list[Enrollment]:
    """Models by cattrs: what a user would write."""
    converter = Converter()
    converter.register_structure_hook(datetime, lambda text, _: datetime.fromisoformat(text))
    return converter.structure(values, list[Enrollment])


Read = Callable[[str], Awaitable[Reading]]

READERS: dict[str, Read] = {
    BASE: partial(parsed, finish=as_they_are),
    "orjson.loads, then cattrs": partial(parsed, finish=structured),
    **{f"async_enroll, {form}": partial(streamed, form=form) for form in echo.FORMS},
}


async def measure(url: str, read: Read, records: int) -> Reading:
    """Read in a process of its own.

    Raises:
        RuntimeError: if records were lost.

    """
    found = await alone(read, url)
    if found.records != records:
        raise RuntimeError(f"{found.records} of {records} records")
    return found


SHORT: dict[str, Any] = {"records": 2_000, "runs": 1}


async def run(records: int = RECORDS, runs: int = RUNS) -> AsyncIterator[Table]:
    """The table."""
    async with serving("benchmarks.echo", records) as server:
        figures = [
            {name: await measure(server.greeting, read, records) for name, read in READERS.items()}
            for _ in range(runs)
        ]
    size = len(echo.listing(records))
    table = Table(
        f"A listing of {records:,} records, {size / 2**20:.0f} MiB, median of {runs} runs",
        ("reader", "CPU µs a record", f"of {BASE}", "bar", "MiB at the peak", "bar"),
    )
    for name in READERS:
        cpu = statistics.median(found[name].cpu for found in figures)
        ratio = statistics.median(found[name].cpu / found[BASE].cpu for found in figures)
        memory = statistics.median(found[name].memory for found in figures) / 2**20
        ours = name.startswith("async_enroll")
        table.add(
            name,
            f"{cpu / records * 1e6:.2f}",
            f"{ratio:.2f}",
            CPU.judge(ratio) if ours else "",
            f"{memory:.1f}",
            MEMORY.judge(memory) if ours else "",
        )
    yield table
