"""What a journal costs: the CPU of a job with one, beside the same job without."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from async_enroll import BatchLimits, EnrollmentClient, RequestWindow
from async_enroll.models import Action
from async_enroll.plan import Plan
from async_enroll.sandbox import Platform
from async_enroll.wanted import Wanted
from benchmarks.tables import Table

LEARNERS, COURSES, RUNS = 40_000, 5, 5

_JOB = "from benchmarks.journal import job; import sys; job(*sys.argv[1:])"


def job(url: str, token: str, journal: str = "") -> None:
    """Do the job, in a process of its own; print its CPU seconds."""
    anyio.run(_job, url, token, journal or None)


async def _job(url: str, token: str, journal: str | None) -> None:
    wanted = Wanted()
    for learner in range(1, LEARNERS + 1):
        for course in range(1, COURSES + 1):
            key = f"course-v1:Demo+C{course:03}+2026"
            wanted.add(f"learner{learner:06}@example.org", key, Action.ENROLL)
    window = RequestWindow(100_000, 1)
    async with EnrollmentClient(url, token, window=window) as client:
        since = time.process_time()
        plan = Plan.of(wanted, BatchLimits(), source="benchmark")
        async for _ in client.stream(plan, journal=journal):
            pass
        print(time.process_time() - since)


async def _measure(platform: Platform, journal: Path | None) -> float:
    arguments = [platform.url, platform.token, *([str(journal)] if journal else [])]
    process = await anyio.run_process(
        [sys.executable, "-c", _JOB, *arguments], env={**os.environ}, stderr=None
    )
    return float(process.stdout)


async def run() -> AsyncIterator[Table]:
    """The table."""
    without, with_one = [], []
    async with Platform(window=None) as platform:
        platform.seed(LEARNERS, COURSES)
        with TemporaryDirectory() as directory:
            for number in range(RUNS):
                without.append(await _measure(platform, None))
                with_one.append(await _measure(platform, Path(directory, f"{number}.db")))
    pairs = LEARNERS * COURSES
    table = Table(f"{pairs:,} pairs", ("job", "CPU µs a pair", "of that without"))
    base = statistics.median(without)
    for name, figures in (("without a journal", without), ("with a journal", with_one)):
        took = statistics.median(figures)
        table.add(name, f"{took / pairs * 1e6:.2f}", f"{took / base:.3f}")
    yield table
