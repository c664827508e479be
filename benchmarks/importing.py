"""What an import costs: CPU time in fresh processes, beside that of aiohttp alone."""

from __future__ import annotations

import os
import resource
import statistics
import sys
from collections.abc import AsyncIterator
from typing import Any

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

_HELP = "async-enroll --help"
PROCESSES = {
    'python -c "import rich"': ("-c", "import rich"),
    'python -c "import rich.console"': ("-c", "import rich.console"),
    'python -c "import cyclopts"': ("-c", "import cyclopts"),
    _HELP: ("-m", "async_enroll.cli", "--help"),
}
HELP = Bar(most=2.5)

# Their bytecode is kept, as it is where a package is installed.
_ENVIRONMENT = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
_SINCE = "import time; since = time.process_time()"


async def _measure(statement: str) -> float:
    code = f"{_SINCE}; {statement}; print(time.process_time() - since)"
    process = await anyio.run_process([sys.executable, "-c", code], env=_ENVIRONMENT, stderr=None)
    return float(process.stdout)


async def _cpu(*command: str) -> float:
    """CPU seconds of a whole process, from its start to its end."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    await anyio.run_process(command, env=_ENVIRONMENT, stderr=None)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


SHORT: dict[str, Any] = {"runs": 1}


async def run(runs: int = RUNS) -> AsyncIterator[Table]:
    """Imports, then whole processes."""
    figures: dict[str, list[float]] = {statement: [] for statement in STATEMENTS}
    await _measure("; ".join(STATEMENTS))  # writes the bytecode
    for _ in range(runs):
        # In turns: what else the machine does falls on all of them.
        for statement, took in figures.items():
            took.append(await _measure(statement))
    base = statistics.median(figures["import aiohttp"])
    table = Table(
        f"Imports, the median of {runs} processes", ("statement", "CPU ms", "of aiohttp's", "bar")
    )
    for statement, took in figures.items():
        seconds = statistics.median(took)
        bar = BARS.get(statement, Bar()).judge(seconds / base)
        table.add(statement, f"{seconds * 1000:.1f}", f"{seconds / base:.2f}", bar)
    yield table
    costs: dict[str, list[float]] = {name: [] for name in PROCESSES}
    for _ in range(runs):
        for name, arguments in PROCESSES.items():
            costs[name].append(await _cpu(sys.executable, *arguments))
    base = statistics.median(next(iter(costs.values())))
    table = Table(
        f"Whole processes, the median of {runs}", ("command", "CPU ms", "of the first", "bar")
    )
    for name, took in costs.items():
        seconds = statistics.median(took)
        bar = HELP.judge(seconds / base) if name == _HELP else ""
        table.add(name, f"{seconds * 1000:.1f}", f"{seconds / base:.2f}", bar)
    yield table
