"""What a job tells of itself."""

import asyncio
import logging
from collections import Counter
from contextlib import aclosing
from pathlib import Path
from typing import get_args

import anyio
import pytest

from async_enroll import BatchLimits, EnrollmentClient, RequestWindow, RosterEntry
from async_enroll.delivery.event_log import EventLog
from async_enroll.events import (
    BatchAnswered,
    BatchSent,
    BatchSettled,
    BatchSplit,
    Continued,
    Event,
    JobDone,
    JobStarted,
    Paused,
    PlacesChecked,
    SharedWindowLost,
    SharedWindowRestored,
    Throttled,
)
from async_enroll.http.failures import FailureKind
from async_enroll.journal import Journal
from async_enroll.models import Action, Batch
from async_enroll.sandbox import Fault, Faults, Platform

COURSE = "course-v1:Org+C0+2026"
LEARNERS = [f"learner{number}" for number in range(40)]
BATCH = Batch(Action.ENROLL, (COURSE,), ("learner1",))
ROSTER = [RosterEntry(who, COURSE) for who in LEARNERS]


def site(faults: Faults | None = None, window: RequestWindow | None = None) -> Platform:
    platform = Platform(window=window, faults=faults)
    platform.add_course(COURSE)
    for who in LEARNERS:
        platform.add_user(who, f"{who}@example.org")
    return platform


async def told_by(
    platform: Platform, *, identifiers: int = 10, patience: float = 5.0
) -> list[Event]:
    """The events of a job, one call after the other; the first is the preflight."""
    events: list[Event] = []
    async with (
        platform,
        EnrollmentClient(
            platform.url,
            platform.token,
            window=RequestWindow(1000, 0.5),
            concurrency=1,
            batch=BatchLimits(identifiers),
            timeout=1,
            settle=0.2,
            patience=patience,
            on_event=events.append,
        ) as client,
    ):
        await client.apply(ROSTER)
    return events


async def test_a_job_without_trouble() -> None:
    events = await told_by(site())
    assert [type(event) for event in events] == [
        JobStarted,
        *[BatchSent, BatchAnswered, BatchSettled] * 4,
        JobDone,
    ]
    assert {event.job for event in events} == {1}
    assert [event.at for event in events] == sorted(event.at for event in events)
    sent = [event for event in events if isinstance(event, BatchSent)]
    assert [(event.planned, event.call, event.attempt) for event in sent] == [
        (number, number + 1, 1) for number in range(1, 5)
    ]
    settled = [result for e in events if isinstance(e, BatchSettled) for result in e.results]
    assert sorted(result.identifier for result in settled) == sorted(LEARNERS)
    answered = [event for event in events if isinstance(event, BatchAnswered)]
    assert all(event.failure is None and event.seconds > 0 for event in answered)
    assert {event.status for event in answered} == {200}


async def test_trouble_is_told() -> None:
    faults = Faults.schedule({1: Fault.THROTTLED_SILENT, 3: Fault.SERVER_ERROR})
    events = await told_by(site(faults))
    kinds = Counter(type(event) for event in events)
    assert kinds[Throttled] == 1
    assert kinds[BatchSplit] >= 1
    answered = [event for event in events if isinstance(event, BatchAnswered)]
    failures = {event.status: event.failure for event in answered}
    assert answered[0].failure is FailureKind.THROTTLED
    assert failures == {429: FailureKind.THROTTLED, 500: FailureKind.UNDONE, 200: None}


@pytest.mark.parametrize(
    ("fault", "status"), [(Fault.GARBLED, 200), (Fault.UNAVAILABLE_AFTER, 503), (Fault.CUT, None)]
)
async def test_the_status_of_a_call_whose_fate_is_unknown(fault: Fault, status: int | None) -> None:
    events = await told_by(site(Faults.schedule({1: fault})), identifiers=40)
    first = next(event for event in events if isinstance(event, BatchAnswered))
    assert (first.failure, first.status) == (FailureKind.UNKNOWN, status)


@pytest.mark.parametrize("journal", [None, "job.db"])
async def test_a_cancelled_job_has_ended(tmp_path: Path, journal: str | None) -> None:
    events: list[Event] = []
    scope = anyio.CancelScope()

    def cancel(event: Event) -> None:
        events.append(event)
        if isinstance(event, BatchSent):
            scope.cancel()

    async with site() as platform:
        async with EnrollmentClient(platform.url, platform.token, on_event=cancel) as client:
            with scope:
                await client.apply(ROSTER, journal=journal and tmp_path / journal)
    assert [type(event) for event in events] == [JobStarted, BatchSent, JobDone]
    assert events[-1] == JobDone(job=1, at=events[-1].at, error="CancelledError")


async def test_a_job_that_is_cancelled_at_its_end_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[Event] = []
    record = Journal.record

    async def cancelled_at_the_end(self: Journal, event: Event) -> None:
        if isinstance(event, JobDone):
            job.cancel()
        await record(self, event)

    monkeypatch.setattr(Journal, "record", cancelled_at_the_end)
    async with site() as platform:
        async with EnrollmentClient(platform.url, platform.token, on_event=events.append) as client:
            job = asyncio.create_task(client.apply(ROSTER, journal=tmp_path / "job.db"))
            with pytest.raises(asyncio.CancelledError):
                await job
    assert [event for event in events if isinstance(event, JobDone)] == events[-1:]


async def test_a_job_whose_consumer_leaves_has_ended() -> None:
    events: list[Event] = []
    async with site() as platform:
        async with EnrollmentClient(
            platform.url, platform.token, batch=BatchLimits(1), on_event=events.append
        ) as client:
            async with aclosing(client.stream(ROSTER)) as results:
                await anext(results)
    assert [type(event) for event in events].count(JobDone) == 1
    assert isinstance(events[-1], JobDone)


async def test_a_platform_that_is_down_is_told() -> None:
    faults = Faults.schedule(dict.fromkeys(range(6), Fault.BAD_GATEWAY_BEFORE))
    events = await told_by(site(faults), identifiers=3)
    paused = [index for index, event in enumerate(events) if isinstance(event, Paused)]
    (continued,) = (event for event in events if isinstance(event, Continued))
    assert len(paused) == 1
    assert events.index(continued) > paused[0]
    assert 0 < continued.seconds < 5


async def test_jobs_of_one_client_are_told_apart() -> None:
    events: list[Event] = []
    async with site() as platform:
        async with (
            EnrollmentClient(platform.url, platform.token, on_event=events.append) as client,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(client.bulk_enroll, LEARNERS[:5], [COURSE])
            tasks.start_soon(client.bulk_enroll, LEARNERS[5:], [COURSE])
    for job in (1, 2):
        assert [type(event) for event in events if event.job == job] == [
            JobStarted,
            BatchSent,
            BatchAnswered,
            BatchSettled,
            JobDone,
        ]


async def test_a_listener_that_fails_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def fail(event: Event) -> None:
        raise ValueError(LEARNERS)

    caplog.set_level(logging.INFO)
    async with site() as platform:
        async with EnrollmentClient(platform.url, platform.token, on_event=fail) as client:
            report = await client.apply(ROSTER)
    assert report.ok
    assert "on_event failed on a BatchSent: ValueError" in caplog.text
    assert LEARNERS[0] not in caplog.text


@pytest.mark.parametrize("kind", [JobStarted, BatchSent, BatchAnswered, BatchSettled, JobDone])
@pytest.mark.parametrize("journal", [None, "job.db"])
async def test_a_listener_that_raises_a_cancellation_ends_nothing(
    tmp_path: Path, kind: type[Event], journal: str | None
) -> None:
    """As one does that asks a future which somebody has cancelled for its result."""

    def fail(event: Event) -> None:
        if isinstance(event, kind):
            raise asyncio.CancelledError

    async with site() as platform:
        async with EnrollmentClient(
            platform.url, platform.token, batch=BatchLimits(5), on_event=fail
        ) as client:
            report = await client.apply(ROSTER, journal=journal and tmp_path / journal)
    assert len(report.results) == len(ROSTER)
    assert report.ok


async def test_a_listener_that_cancels_the_job_has_cancelled_it() -> None:
    def cancel(event: Event) -> None:
        if isinstance(event, BatchSent):
            job.cancel()
            raise asyncio.CancelledError

    async with site() as platform:
        async with EnrollmentClient(platform.url, platform.token, on_event=cancel) as client:
            job = asyncio.create_task(client.apply(ROSTER))
            with pytest.raises(asyncio.CancelledError):
                await job


async def test_logs_tell_of_jobs_and_not_of_people(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "async_enroll")
    async with site() as platform:
        async with EnrollmentClient(platform.url, platform.token) as client:
            await client.apply(ROSTER)
    assert "job 1: done" in caplog.text
    assert not any(who in caplog.text for who in LEARNERS)


async def test_a_preflight_of_many_missing_courses_tells_how_far_it_is() -> None:
    events: list[Event] = []
    missing = [f"course-v1:Org+Missing{number}+2026" for number in range(5)]
    async with (
        site() as platform,
        EnrollmentClient(platform.url, platform.token, on_event=events.append) as client,
    ):
        await client.bulk_enroll(LEARNERS, [COURSE, *missing])
    told = [event for event in events if isinstance(event, PlacesChecked)]
    assert [event.checked for event in told] == sorted(event.checked for event in told)
    assert {event.places for event in told} == {6}
    assert (told[-1].checked, told[-1].refused) == (5, 5)


TOLD: list[Event] = [
    JobStarted(job=1, pairs=2),
    PlacesChecked(job=1, places=3, checked=2, refused=1),
    BatchSent(job=1, planned=1, call=1, batch=BATCH, attempt=1, email=False),
    BatchAnswered(job=1, planned=1, call=1, batch=BATCH, seconds=0.1, status=200),
    BatchAnswered(job=1, planned=1, call=1, batch=BATCH, seconds=0.1, error="no answer"),
    BatchSplit(job=1, planned=1, batch=BATCH),
    BatchSettled(job=1, planned=1, blocks=()),
    Throttled(job=1, call=1, seconds=None),
    Throttled(job=1, call=1, seconds=2.0),
    Paused(job=1),
    Continued(job=1, seconds=3.0),
    SharedWindowLost(job=0, url="redis://cache", reason="no answer"),
    SharedWindowRestored(job=0, url="redis://cache", seconds=3.0),
    JobDone(job=1),
    JobDone(job=1, error="stopped"),
]


@pytest.mark.parametrize("event", TOLD, ids=lambda event: type(event).__name__)
async def test_a_higher_level_of_the_log_hides_what_is_below_it_only(
    event: Event, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "async_enroll")
    await EventLog(1).record(event)
    all_ = [(record.levelno, record.getMessage()) for record in caplog.records]
    assert len(all_) == (not isinstance(event, BatchSent | BatchSettled))
    for level in (logging.INFO, logging.WARNING, logging.ERROR):
        caplog.clear()
        caplog.set_level(level, "async_enroll")
        await EventLog(1).record(event)
        shown = [(record.levelno, record.getMessage()) for record in caplog.records]
        assert shown == [one for one in all_ if one[0] >= level]


def test_each_kind_of_event_is_told() -> None:
    assert {type(event) for event in TOLD} == set(get_args(Event))
