"""What an import costs: CPU time in fresh processes, beside that of aiohttp alone."""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import AsyncIterator

import anyio

from benchmarks.tables import Bar, Table

RUNS = 15

STATEMENTS = [
    "import aiohttp",
    "import async_enroll",
    "from async_enroll import EnrollmentClient",
    "from async_enroll import *",
    "import pytest",
    "import pytest, async_enroll.pytest_plugin",
    "import async_enroll.sandbox",
    "import async_enroll.cli.app",
]

BARS = {
    "import async_enroll": Bar(most=1.3),
    "from async_enroll import EnrollmentClient": Bar(most=1.3),
}

_SINCE = "import time; since = time.process_time()"


async def _measure(statement: str) -> float:
    code = f"{_SINCE}; {statement}; print(time.process_time() - since)"
    # Their bytecode is kept, as it is where a package is installed.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    process = await anyio.run_process([sys.executable, "-c", code], env=environment, stderr=None)
    return float(process.stdout)


async def run() -> AsyncIterator[Table]:
    """One table."""
    figures: dict[str, list[float]] = {statement: [] for statement in STATEMENTS}
    for number in range(RUNS + 1):
        # In turns: what else the machine does falls on all of them.
        for statement, took in figures.items():
            seconds = await _measure(statement)
            if number:  # the first one has written the bytecode
                took.append(seconds)
    base = statistics.median(figures["import aiohttp"])
    table = Table(
        f"Imports, the median of {RUNS} processes", ("statement", "CPU ms", "of aiohttp's", "bar")
    )
    for statement, took in figures.items():
        seconds = statistics.median(took)
        bar = BARS.get(statement, Bar()).judge(seconds / base)
        table.add(statement, f"{seconds * 1000:.1f}", f"{seconds / base:.2f}", bar)
    yield table
