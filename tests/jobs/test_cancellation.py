"""Cancelled at any moment: no task and no socket is left, and the client goes on working."""

import asyncio
import gc
import random
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from async_enroll import (
    BatchLimits,
    EnrollmentClient,
    EnrollmentQuery,
    EnrollmentReport,
    Outcome,
    RequestWindow,
    RosterEntry,
)
from async_enroll.events import Event, JobDone, JobStarted
from async_enroll.sandbox import Platform
from tests.waiting import until

COURSE = "course-v1:Org+C0+2026"


def open_sockets() -> int:
    return sum(
        path.readlink().name.startswith("socket:")
        for path in Path("/proc/self/fd").iterdir()
        if path.is_symlink()
    )


def tasks_of_the_client() -> set[asyncio.Task[object]]:
    """All tasks but those in which the platform serves its connections."""
    return {
        task
        for task in asyncio.all_tasks()
        if "sandbox" not in repr(task) and "RequestHandler" not in repr(task)
    }


async def calmed_down(tasks: set[asyncio.Task[object]], sockets: int) -> bool:
    """Whether, within a moment, only these tasks and so many sockets are left."""
    gc.collect()
    for _ in range(200):
        await asyncio.sleep(0.01)
        if tasks_of_the_client() <= tasks and open_sockets() <= sockets:
            return True
    return False


@pytest.fixture
async def slow_platform() -> AsyncIterator[Platform]:
    async with Platform(window=RequestWindow(40, 0.5), seconds_per_call=0.01) as platform:
        platform.add_course(COURSE)
        for number in range(200):
            platform.add_user(f"learner{number}", f"learner{number}@example.org")
            platform.enroll(f"learner{number}", COURSE)
        yield platform


@pytest.mark.parametrize("seed", range(3))
async def test_fifty_tasks_cancelled_at_random_moments(slow_platform: Platform, seed: int) -> None:
    chance = random.Random(seed)
    tasks = tasks_of_the_client()
    sockets = open_sockets()
    async with EnrollmentClient(
        slow_platform.url,
        slow_platform.token,
        window=RequestWindow(40, 0.5),
        batch=BatchLimits(identifiers=20),
    ) as client:

        async def use(number: int) -> None:
            learners = [f"learner{n}" for n in range(number, number + 50)]
            await anyio.sleep(chance.random() * 0.1)
            with anyio.move_on_after(chance.random() * 0.8):
                match number % 5:
                    case 0:
                        await client.bulk_enroll(learners, [COURSE])
                    case 1:
                        await client.bulk_unenroll(learners, [COURSE])
                    case 2:
                        async for _ in client.stream(RosterEntry(n, COURSE) for n in learners):
                            await anyio.lowlevel.checkpoint()
                    case 3:
                        async for _ in client.enrollments(course_id=COURSE):
                            await anyio.sleep(chance.random() * 0.01)
                    case 4:
                        queries = [EnrollmentQuery(username=name) for name in learners]
                        async for _ in client.enrollments_for(queries):
                            break

        async with anyio.create_task_group() as users:
            for number in range(50):
                users.start_soon(use, number)

        # Idle connections may be kept; what the platform holds of them counts as well.
        assert await calmed_down(tasks, sockets + 2 * 16)
        report = await client.bulk_enroll(["learner1"], [COURSE])
        assert report.results[0].outcome in {Outcome.ENROLLED, Outcome.ALREADY_ENROLLED}
        assert len([one async for one in client.enrollments(username="learner1")]) == 1
    assert await calmed_down(tasks, sockets)


async def test_a_client_that_is_left_ends_what_it_has_under_way(slow_platform: Platform) -> None:
    tasks = tasks_of_the_client()
    sockets = open_sockets()
    async with EnrollmentClient(slow_platform.url, slow_platform.token) as client:
        results = client.stream(RosterEntry(f"learner{n}", COURSE) for n in range(200))
        records = client.enrollments_for([EnrollmentQuery(course_id=COURSE)])
        await anext(results)
        await anext(records)
    assert await calmed_down(tasks, sockets)


async def test_a_cancelled_call_closes_its_connection_before_it_returns() -> None:
    async with Platform(seconds_per_call=60) as platform:
        platform.add_course(COURSE)
        async with EnrollmentClient(platform.url, platform.token) as client:
            sockets = open_sockets()
            tasks = tasks_of_the_client()
            with anyio.move_on_after(0.1):
                await client.bulk_enroll(["learner1"], [COURSE])
            await asyncio.sleep(0)
            assert open_sockets() <= sockets + 1  # the platform's end of it
            assert tasks_of_the_client() <= tasks


async def test_a_job_that_its_listener_cancels_sends_nothing_more() -> None:
    async with Platform() as platform:
        platform.add_course(COURSE)
        scope = anyio.CancelScope()
        events: list[Event] = []

        def cancel_the_second(event: Event) -> None:
            events.append(event)
            if event.job == 2:
                scope.cancel()

        async with EnrollmentClient(
            platform.url, platform.token, on_event=cancel_the_second
        ) as client:
            await client.bulk_enroll(["jane@example.org"], [COURSE])  # the course is known now
            with scope:
                await client.bulk_enroll(["joe@example.org"], [COURSE])
        assert scope.cancelled_caught
    assert [type(event) for event in events if event.job == 2] == [JobStarted, JobDone]


async def test_a_cancelled_job_leaves_its_report_so_far() -> None:
    async with Platform(seconds_per_call=0.1, workers=2) as platform:
        platform.add_course(COURSE)
        async with EnrollmentClient(
            platform.url, platform.token, batch=BatchLimits(identifiers=1), concurrency=2
        ) as client:
            roster = [RosterEntry(f"new{number}@example.org", COURSE) for number in range(50)]
            job = asyncio.ensure_future(client.apply(roster, email_students=True))
            await until(lambda: len(platform.requests) >= 8)
            await asyncio.sleep(0.05)
            job.cancel()
            with pytest.raises(asyncio.CancelledError) as raised:
                await job
    report = getattr(raised.value, "report", None)
    assert isinstance(report, EnrollmentReport)
    assert set(report.counts) == {Outcome.ALLOWED, Outcome.UNCONFIRMED}
    assert report.counts[Outcome.UNCONFIRMED] == 2
    assert {one.notified for one in report.failures} == {None}
    told = [one.identifier for one in report.results]
    assert len(told) == len(set(told))
    # Whoever was mailed is in it.
    assert {mail.to for mail in platform.outbox} <= set(told)


async def test_a_consumer_that_is_cancelled_finds_what_it_was_not_given() -> None:
    async with Platform(seconds_per_call=0.1) as platform:
        platform.add_course(COURSE)
        async with EnrollmentClient(
            platform.url, platform.token, batch=BatchLimits(identifiers=1), concurrency=2
        ) as client:
            roster = [RosterEntry(f"new{number}@example.org", COURSE) for number in range(50)]
            given: list[str] = []

            async def consume() -> None:
                async for result in client.stream(roster):
                    given.append(result.identifier)  # noqa: PERF401  # as they come

            consumer = asyncio.ensure_future(consume())
            await until(lambda: len(given) >= 4)
            await asyncio.sleep(0.05)
            consumer.cancel()
            with pytest.raises(asyncio.CancelledError) as raised:
                await consumer
        results = getattr(raised.value, "results", ())
        assert {result.outcome for result in results} == {Outcome.UNCONFIRMED}
        assert len(results) == 2
        assert not set(given) & {result.identifier for result in results}
        told = {*given, *(result.identifier for result in results)}
        for entry in roster:
            if platform.is_allowed(entry.identifier, COURSE):
                assert entry.identifier in told


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_a_consumer_that_is_cancelled_again_has_let_go_of_the_journal(
    tmp_path: Path, times: int
) -> None:
    """As by a time-out and a shutdown at once, or a second Ctrl-C."""
    roster = [RosterEntry(f"new{number}@example.org", COURSE) for number in range(50)]
    journal = tmp_path / "job.db"
    async with Platform(seconds_per_call=0.02) as platform:
        platform.add_course(COURSE)
        async with EnrollmentClient(
            platform.url,
            platform.token,
            batch=BatchLimits(identifiers=1),
            concurrency=2,
            settle=0.2,
        ) as client:
            given: list[str] = []

            async def consume() -> None:
                async for result in client.stream(roster, journal=journal):
                    given.append(result.identifier)  # noqa: PERF401  # as they come

            tasks = tasks_of_the_client()
            consumer = asyncio.create_task(consume())
            await until(lambda: len(given) >= 4)
            for _ in range(times):
                consumer.cancel()
                await asyncio.sleep(0)
            with pytest.raises(asyncio.CancelledError):
                await consumer
            assert tasks_of_the_client() <= tasks
            report = await client.apply(roster, journal=journal)
            assert report.ok
            assert len(report.results) == len(roster)
