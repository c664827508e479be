"""How cost grows: with the work of one job, and with callers that share one client."""

from __future__ import annotations

import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import anyio
import msgspec
from attrs import evolve, frozen

from async_enroll import EnrollmentClient, RosterEntry
from async_enroll.models import Action, Batch
from async_enroll.platform.json import bulk_body
from benchmarks.cost import COURSES, WINDOW, check, identifiers
from benchmarks.processes import alone, peak, serving
from benchmarks.rivals import IN_FLIGHT
from benchmarks.tables import Table

PAIRS = (10_000, 100_000, 1_000_000)
CALLERS = (1, 10, 100, 1_000)
"""Tasks at once, each with a call of one pair at a time."""
CALLS = 2_000
"""Calls of all callers together."""


@frozen
class Growth:
    """What a job takes: seconds, CPU seconds, and bytes beyond what was there before."""

    seconds: float
    cpu: float
    memory: int


async def job(url: str, pairs: int) -> Growth:
    """Apply a roster; its identifiers are there before, and do not count."""
    learners = identifiers(pairs // len(COURSES))
    async with EnrollmentClient(url, "token", window=WINDOW) as client:
        await client.bulk_enroll(learners[:1], COURSES)  # what is loaded but once
        before, since, cpu = peak(), time.perf_counter(), time.process_time()
        roster = (RosterEntry(learner, course) for learner in learners for course in COURSES)
        report = await client.apply(roster)
        took = Growth(time.perf_counter() - since, time.process_time() - cpu, peak() - before)
    check(report, pairs=pairs)
    return took


@frozen
class Sharing:
    """What calls side by side take: seconds and CPU seconds in all, and seconds of each caller."""

    seconds: float
    cpu: float
    callers: list[float]

    @property
    def fairness(self) -> float:
        """How much longer the slowest caller took than the median one."""
        return max(self.callers) / statistics.median(self.callers)


Call = Callable[[str], Awaitable[object]]
"""Enrolls one learner."""


async def share(call: Call, callers: int) -> Sharing:
    """Let so many tasks make the same number of calls each, one after the other."""
    learners = identifiers(CALLS)
    took: list[float] = []

    async def caller(some: list[str]) -> None:
        began = time.perf_counter()
        for learner in some:
            await call(learner)
        took.append(time.perf_counter() - began)

    await call(learners[0])  # what is loaded but once
    since, cpu = time.perf_counter(), time.process_time()
    async with anyio.create_task_group() as group:
        for number in range(callers):
            group.start_soon(caller, learners[number::callers])
    return Sharing(time.perf_counter() - since, time.process_time() - cpu, took)


async def sharing(url: str, callers: int) -> Sharing:
    """Ours: one client for all."""
    async with EnrollmentClient(url, "token", window=WINDOW, concurrency=IN_FLIGHT) as client:

        async def call(learner: str) -> None:
            check(await client.bulk_enroll([learner], COURSES[:1]), pairs=1)

        return await share(call, callers)


async def bare(url: str, callers: int) -> Sharing:
    """The limit: aiohttp alone, as many calls in flight, and nothing but JSON made of answers."""
    batch = Batch(Action.ENROLL, tuple(COURSES[:1]), ())
    in_flight = anyio.Semaphore(IN_FLIGHT)
    async with aiohttp.ClientSession() as session:

        async def call(learner: str) -> None:
            one = evolve(batch, identifiers=(learner,))
            body = bulk_body(one, auto_enroll=True, email_students=False)
            async with in_flight, session.post(url, data=body) as answer:
                msgspec.json.decode(await answer.read())

        return await share(call, callers)


async def run() -> AsyncIterator[Table]:
    """Jobs, then callers."""
    async with serving("benchmarks.echo") as server:
        table = Table(
            "One job, from roster entries to its report",
            ("pairs", "seconds", "CPU µs a pair", "of the smallest", "peak bytes a pair"),
        )
        jobs = [await alone(job, server.greeting, pairs) for pairs in PAIRS]
        least = jobs[0].cpu / PAIRS[0]
        for pairs, took in zip(PAIRS, jobs, strict=True):
            table.add(
                f"{pairs:,}",
                f"{took.seconds:.2f}",
                f"{took.cpu / pairs * 1e6:.2f}",
                f"{took.cpu / pairs / least:.2f}",
                f"{took.memory / pairs:.0f}",
            )
        yield table
        table = Table(
            f"{CALLS:,} calls of one pair by callers that share a client, {IN_FLIGHT} in flight",
            ("callers", "seconds", "CPU µs a call", "of aiohttp alone", "slowest of median caller"),
        )
        for callers in CALLERS:
            ours = await alone(sharing, server.greeting, callers)
            least_possible = await alone(bare, server.greeting, callers)
            table.add(
                f"{callers:,}",
                f"{ours.seconds:.2f}",
                f"{ours.cpu / CALLS * 1e6:.0f}",
                f"{ours.cpu / least_possible.cpu:.2f}",
                f"{ours.fairness:.2f}",
            )
        yield table
