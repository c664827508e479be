"""The client: what it takes, and what comes of it."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import assert_type

import aiohttp
import anyio

from async_enroll import (
    Auth,
    BatchLimits,
    BearerToken,
    EnrollError,
    Enrollment,
    EnrollmentClient,
    EnrollmentQuery,
    EnrollmentReport,
    EnrollmentResult,
    LeftAlone,
    Plan,
    RequestWindow,
    Roster,
    RosterEntry,
    UndoPlan,
    Verified,
)
from async_enroll.events import Event

SITE = "https://courses.example.org"


class Renewed:
    """A source of tokens that knows nothing of us."""

    async def authorization(self) -> str:
        return "JWT token"

    async def renew(self) -> bool:
        return True


class Unfinished:
    async def authorization(self) -> str:
        return "JWT token"


async def make(session: aiohttp.ClientSession, events: list[Event]) -> None:
    source: Auth = Renewed()
    async with EnrollmentClient(SITE, source) as client:
        assert_type(client, EnrollmentClient)
    EnrollmentClient(
        SITE,
        BearerToken("token"),
        window=RequestWindow(calls=40, seconds=60),
        concurrency=4,
        batch=BatchLimits(identifiers=100, pairs=200, bytes=100_000),
        timeout=30,
        settle=30.0,
        patience=60,
        on_event=events.append,
        session=session,
        allow_http=True,
    )
    EnrollmentClient(SITE, "token", on_event=print)
    EnrollmentClient(SITE)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    EnrollmentClient(SITE, "token", 40)  # type: ignore[call-arg, arg-type]  # pyright: ignore[reportCallIssue]
    EnrollmentClient(SITE, Unfinished())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def queries(client: EnrollmentClient) -> None:
    listed = client.enrollments(course_id="course-v1:Org+C1+2026", username="jane", days=7)
    assert_type(listed, AsyncGenerator[Enrollment, None])
    async for enrollment in listed:
        assert_type(enrollment, Enrollment)
        assert_type(enrollment.email, str | None)
    async for enrollment in client.enrollments_for([EnrollmentQuery(days=1)]):
        assert_type(enrollment, Enrollment)
    client.enrollments("course")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def addresses() -> AsyncIterator[str]:
    yield "jane@example.org"


async def bulk(client: EnrollmentClient) -> None:
    report = await client.bulk_enroll(
        addresses(),
        {"course-v1:Org+C1+2026"},
        cohorts={"course-v1:Org+C1+2026": "red"},
        auto_enroll=False,
        email_students=True,
        reason="the autumn term",
    )
    assert_type(report, EnrollmentReport)
    report = await client.bulk_enroll([], [], email_students="changed")
    report = await client.bulk_unenroll((who for who in ["jane"]), addresses(), reason=None)
    assert_type(report, EnrollmentReport)
    await client.bulk_enroll([], [], reason=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await client.bulk_enroll([], [], email_students="new")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await client.bulk_enroll([1], ["course"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


async def notebooks() -> None:
    client = await EnrollmentClient("https://courses.example.org", "token").open()
    assert_type(client, EnrollmentClient)
    await client.aclose()


async def rosters(client: EnrollmentClient, journal: os.PathLike[str]) -> None:
    roster = Roster.read(Path("roster.csv"))
    plan = Plan.of(roster.desired, BatchLimits(), source=roster.source)
    for work in (roster, plan, iter([RosterEntry("jane", "course")])):
        report = await client.apply(work, preflight=True, journal=journal, stop=anyio.Event())
        assert_type(report, EnrollmentReport)
    await client.apply([], reason="the autumn term")
    results = client.stream(plan, reason="the autumn term", journal="job.db", stop=asyncio.Event())
    assert_type(results, AsyncGenerator[EnrollmentResult, None])
    async for result in client.resume(journal):
        assert_type(result, EnrollmentResult)
    made = await client.plan_undo(journal)
    assert_type(made, UndoPlan)
    for identifier, _, why in made:
        assert_type(identifier, str)
        assert_type(why, LeftAlone)
    undone = await client.undo(
        journal, undo_journal="mine.db", reason="a mistake", stop=anyio.Event()
    )
    assert_type(undone, EnrollmentReport)
    async for pair in client.verify(journal):
        assert_type(pair, Verified)
        assert_type(pair.holds, bool | None)
    for place, error in (await client.preflight(plan)).items():
        assert_type(place.course_id, str)
        assert_type(error, EnrollError)
    await client.apply(["jane"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    await client.resume(journal)  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
