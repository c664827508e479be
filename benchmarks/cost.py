"""What a pair costs: CPU beside parsing the same answers and nothing else, and memory.

The whole way counts: batching, encoding, sending, decoding, checking, merging; with a
journal also what it takes to plan and to record.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from async_enroll import BatchLimits, EnrollmentClient, EnrollmentReport, RequestWindow
from async_enroll.models import Action, Batch
from async_enroll.planning.desired import Desired
from async_enroll.planning.plan import Plan
from async_enroll.platform.json import bulk_body
from benchmarks import echo
from benchmarks.processes import alone, peak, serving
from benchmarks.tables import Bar, Table

PAIRS, RUNS = 100_000, 9
KEPT = 1_000_000
"""Results that are kept in memory."""

COURSES = [f"course-v1:Org+C{number}+2026" for number in range(5)]
WINDOW = RequestWindow(1_000_000, 1)
"""No bound at all."""

BARS = {"bulk_enroll": Bar(most=3), "apply": Bar(most=3), "apply with a journal": Bar(most=4)}
MEMORY = Bar(most=250)


def identifiers(count: int) -> list[str]:
    """So many learners."""
    return [f"learner{number:06}@example.org" for number in range(count)]


def desired(learners: list[str]) -> Desired:
    """All of them in all courses."""
    found = Desired()
    for learner in learners:
        for course in COURSES:
            found.add(learner, course, Action.ENROLL)
    return found


def parsing(learners: list[str]) -> float:
    """CPU seconds of `orjson.loads` on the answers to all calls."""
    work = Plan.of(desired(learners), BatchLimits(), source="benchmark").work
    answers = [
        echo.bulk_answer(bulk_body(batch, auto_enroll=True, email_students=False))
        for batch in work
        if isinstance(batch, Batch)
    ]
    # Otherwise it is chance whether Python goes through all that was made before, once: a third of
    # the time again.
    gc.collect()
    gc.freeze()
    since = time.process_time()
    for answer in answers:
        orjson.loads(answer)
    taken = time.process_time() - since
    gc.unfreeze()
    return taken


async def ways(url: str, pairs: int) -> dict[str, float]:
    """CPU seconds of each way through the client, and of parsing alone."""
    await _ways(url, len(COURSES))  # what is loaded but once
    return await _ways(url, pairs)


async def _ways(url: str, pairs: int) -> dict[str, float]:
    learners = identifiers(pairs // len(COURSES))
    took = {"orjson.loads alone": parsing(learners)}
    with TemporaryDirectory() as directory:
        async with EnrollmentClient(url, "token", window=WINDOW) as client:
            for name, journal in (("apply", None), ("apply with a journal", "job.db")):
                roster = desired(learners)
                gc.collect()  # what came before is not its own
                since = time.process_time()
                plan = Plan.of(roster, BatchLimits(), source="benchmark")
                report = await client.apply(plan, journal=journal and Path(directory, journal))
                took[name] = time.process_time() - since
                check(report, pairs=pairs)
            gc.collect()
            since = time.process_time()
            report = await client.bulk_enroll(learners, COURSES)
            took["bulk_enroll"] = time.process_time() - since
            check(report, pairs=pairs)
    return took


async def kept(url: str, results: int) -> float:
    """Bytes that a result takes beyond its identifier: the peak, so what is kept is less."""
    learners = identifiers(results // len(COURSES))
    async with EnrollmentClient(url, "token", window=WINDOW) as client:
        await client.bulk_enroll(learners[:1], COURSES)  # what is loaded but once
        before = peak()
        report = await client.bulk_enroll(learners, COURSES)
        taken = peak() - before
    check(report, pairs=results)
    return taken / results


def check(report: EnrollmentReport, *, pairs: int) -> None:
    """Raise RuntimeError unless so many pairs are as asked."""
    if not report.ok or len(report.results) != pairs:
        raise RuntimeError(str(report))


SHORT: dict[str, Any] = {"pairs": 100, "runs": 1, "results": 100}


async def run(pairs: int = PAIRS, runs: int = RUNS, results: int = KEPT) -> AsyncIterator[Table]:
    """CPU, then memory."""
    async with serving("benchmarks.echo") as server:
        found = [await alone(ways, server.greeting, pairs) for _ in range(runs)]
        table = Table(
            f"CPU of {pairs:,} pairs beside parsing their answers",
            ("way", "µs a pair", "of orjson.loads", "bar"),
        )
        for name in ("orjson.loads alone", *BARS):
            seconds = statistics.median(took[name] for took in found)
            ratio = statistics.median(took[name] / took["orjson.loads alone"] for took in found)
            bar = BARS.get(name, Bar()).judge(ratio)
            table.add(name, f"{seconds / pairs * 1e6:.2f}", f"{ratio:.2f}", bar)
        yield table
        size = await alone(kept, server.greeting, results)
        table = Table(
            f"Memory of a process that keeps {results:,} results in a report",
            ("", "bytes a result", "bar"),
        )
        table.add("the peak, beyond the identifiers", f"{size:.0f}", MEMORY.judge(size))
        yield table
