"""How cost grows: with the work of one job, and with callers that share one client."""

from __future__ import annotations

import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from operator import truediv
from typing import Any, TypeVar

import aiohttp
import anyio
import msgspec
from attrs import evolve, frozen

from async_enroll import EnrollmentClient, EnrollmentReport, RosterEntry
from async_enroll.models import Action, Batch
from async_enroll.platform.json import bulk_body
from benchmarks.cost import COURSES, WINDOW, check, identifiers
from benchmarks.processes import alone, peak, serving
from benchmarks.rivals import IN_FLIGHT
from benchmarks.tables import Bar, Table

PAIRS = (10_000, 100_000, 1_000_000)
CALLERS = (1, 10, 100, 1_000)
"""Tasks at once, each with a call of one pair at a time."""
CALLS = 2_000
"""Calls of all callers together."""
TURNS = {1: 1_000, 50: 20}
"""Calls in a row by each who makes some, in turns, and how many rounds of them.

A program makes one call, then does something else: the bar is for calls that take turns. Those in
a row find the processor's caches full of their own code.
"""

SINGLE = Bar(most=2)


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


T = TypeVar("T")
Call = Callable[[str], Awaitable[T]]
"""Enrolls one learner."""


async def share(call: Call[T], callers: int, calls: int) -> tuple[Sharing, list[T]]:
    """Let so many tasks make the same number of calls each, one after the other.

    Returns what they took, and their answers.
    """
    learners = identifiers(calls)
    took: list[float] = []
    answers: list[T] = []

    async def caller(some: list[str]) -> None:
        began = time.perf_counter()
        answers.extend([await call(learner) for learner in some])
        took.append(time.perf_counter() - began)

    await call(learners[0])  # what is loaded but once
    since, cpu = time.perf_counter(), time.process_time()
    async with anyio.create_task_group() as group:
        for number in range(callers):
            group.start_soon(caller, learners[number::callers])
    return Sharing(time.perf_counter() - since, time.process_time() - cpu, took), answers


def ours(client: EnrollmentClient, *, email_students: bool = False) -> Call[EnrollmentReport]:
    """A call of one pair by `bulk_enroll`."""

    async def call(learner: str) -> EnrollmentReport:
        return await client.bulk_enroll([learner], COURSES[:1], email_students=email_students)

    return call


def bare(session: aiohttp.ClientSession, url: str) -> Call[None]:
    """The limit: aiohttp alone, and nothing but JSON made of the answer."""
    batch = Batch(Action.ENROLL, tuple(COURSES[:1]), ())

    async def call(learner: str) -> None:
        one = evolve(batch, identifiers=(learner,))
        body = bulk_body(one, auto_enroll=True, email_students=False)
        async with session.post(url, data=body) as answer:
            msgspec.json.decode(await answer.read())

    return call


def new_connections() -> aiohttp.ClientSession:
    """A session that opens a connection for each call, as ours that mail do."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True))


async def sharing(url: str, callers: int, calls: int) -> Sharing:
    """Ours: one client for all."""
    async with EnrollmentClient(url, "token", window=WINDOW, concurrency=IN_FLIGHT) as client:
        took, reports = await share(ours(client), callers, calls)
        for report in reports:
            check(report, pairs=1)
        return took


async def sharing_bare(url: str, callers: int, calls: int) -> Sharing:
    """The limit, as many calls in flight."""
    in_flight = anyio.Semaphore(IN_FLIGHT)
    async with aiohttp.ClientSession() as session:
        post = bare(session, url)

        async def call(learner: str) -> None:
            async with in_flight:
                await post(learner)

        took, _ = await share(call, callers, calls)
        return took


NEW, KEPT = "aiohttp, a new connection", "aiohttp, the same connection"
LIKE = {"bulk_enroll": KEPT, "bulk_enroll with mail": NEW}
"""Ours, each with the POST on the same kind of connection."""


async def single(url: str, row: int, rounds: int) -> dict[str, list[float]]:
    """CPU seconds of a call of one pair on a warm client, by who makes it; one after the other."""
    learners = identifiers(row)
    async with (
        EnrollmentClient(url, "token", window=WINDOW) as client,
        new_connections() as session,
        aiohttp.ClientSession() as keeping,
    ):
        calls: dict[str, Call[object]] = {
            NEW: bare(session, url),
            KEPT: bare(keeping, url),
            "bulk_enroll": ours(client),
            "bulk_enroll with mail": ours(client, email_students=True),
        }
        took: dict[str, list[float]] = {name: [] for name in calls}
        for number in range(rounds + 1):
            for name, call in calls.items():
                since = time.process_time()
                answers = [await call(learner) for learner in learners]
                cpu = time.process_time() - since
                if number:  # what is loaded but once is in the first
                    took[name].append(cpu / row)
                for answer in answers:
                    if isinstance(answer, EnrollmentReport):
                        check(answer, pairs=1)
    return took


SHORT: dict[str, Any] = {"pairs": [100], "callers": [2], "calls": 10, "turns": {1: 2, 2: 1}}


async def run(
    pairs: Sequence[int] = PAIRS,
    callers: Sequence[int] = CALLERS,
    calls: int = CALLS,
    turns: Mapping[int, int] = TURNS,
) -> AsyncIterator[Table]:
    """Jobs, then callers, then single calls."""
    async with serving("benchmarks.echo") as server:
        table = Table(
            "One job, from roster entries to its report",
            ("pairs", "seconds", "CPU µs a pair", "of the smallest", "peak bytes a pair"),
        )
        jobs = [await alone(job, server.greeting, some) for some in pairs]
        least = jobs[0].cpu / pairs[0]
        for some, took in zip(pairs, jobs, strict=True):
            table.add(
                f"{some:,}",
                f"{took.seconds:.2f}",
                f"{took.cpu / some * 1e6:.2f}",
                f"{took.cpu / some / least:.2f}",
                f"{took.memory / some:.0f}",
            )
        yield table
        table = Table(
            f"{calls:,} calls of one pair by callers that share a client, {IN_FLIGHT} in flight",
            ("callers", "seconds", "CPU µs a call", "of aiohttp", "slowest of median caller"),
        )
        for number in callers:
            shared = await alone(sharing, server.greeting, number, calls)
            least_possible = await alone(sharing_bare, server.greeting, number, calls)
            table.add(
                f"{number:,}",
                f"{shared.seconds:.2f}",
                f"{shared.cpu / calls * 1e6:.0f}",
                f"{shared.cpu / least_possible.cpu:.2f}",
                f"{shared.fairness:.2f}",
            )
        yield table
        for row, rounds in turns.items():
            costs = await alone(single, server.greeting, row, rounds)
            table = Table(
                f"A call of one pair on a warm client, {row} in a row: median of {rounds:,} rounds",
                (
                    "call",
                    "CPU µs",
                    f"of {NEW}",
                    f"of {KEPT}",
                    "bar, on the same kind of connection",
                ),
            )
            for name, each in costs.items():
                of = {
                    base: statistics.median(map(truediv, each, costs[base])) for base in (NEW, KEPT)
                }
                bar = SINGLE.judge(of[LIKE[name]]) if name in LIKE and row == 1 else ""
                cpu = statistics.median(each) * 1e6
                table.add(name, f"{cpu:.0f}", f"{of[NEW]:.2f}", f"{of[KEPT]:.2f}", bar)
            yield table
