"""A CancelledError that is not the job's own is an error, and never an early end in silence."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import anyio
import pytest

from async_enroll import (
    BatchLimits,
    EnrollError,
    EnrollmentClient,
    EnrollmentQuery,
    EnrollmentReport,
    EnrollmentResult,
    Outcome,
    RosterEntry,
)
from async_enroll.sandbox import Fault, Faults, Platform
from tests.waiting import until

COURSE = "course-v1:Org+C0+2026"
LEARNERS = [f"new{number}@example.org" for number in range(40)]
ROSTER = [RosterEntry(who, COURSE) for who in LEARNERS]


async def somebody_elses_future() -> NoReturn:
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future
    raise AssertionError


class Shared:
    """One request for a token for all who ask; somebody's hang-up has cancelled the n-th."""

    def __init__(self, token: str, bad: int) -> None:
        self._token = token
        self._left = bad

    async def authorization(self) -> str:
        self._left -= 1
        if self._left == 0:
            await somebody_elses_future()
        return f"Bearer {self._token}"

    async def renew(self) -> bool:
        return False


def assert_whole(report: EnrollmentReport | None, platform: Platform) -> None:
    """Every pair is told once, and as it is."""
    assert report is not None
    assert Counter(one.identifier for one in report) == Counter(LEARNERS)
    for one in report:
        waits = platform.is_allowed(one.identifier, COURSE)
        if one.outcome is not Outcome.UNCONFIRMED:
            assert one.outcome.ok == waits


@pytest.mark.parametrize("bad", [1, 2, 4, 6, 9])
async def test_a_source_of_tokens_that_is_cancelled(bad: int) -> None:
    async with Platform(window=None) as platform:
        platform.add_course(COURSE)
        source = Shared(platform.token, bad)
        limits = BatchLimits(identifiers=5)
        async with EnrollmentClient(platform.url, source, batch=limits, settle=0.2) as client:
            with pytest.raises(EnrollError, match="cancelled") as raised:
                await client.apply(ROSTER, email_students=True)
        assert_whole(raised.value.report, platform)


async def test_a_stream_whose_source_of_tokens_is_cancelled() -> None:
    results: list[EnrollmentResult] = []
    async with Platform(window=None) as platform:
        platform.add_course(COURSE)
        source = Shared(platform.token, 4)
        limits = BatchLimits(identifiers=5)
        async with EnrollmentClient(platform.url, source, batch=limits, settle=0.2) as client:
            with pytest.raises(EnrollError, match="cancelled"):  # noqa: PT012  # at its end
                async for result in client.stream(ROSTER):
                    results.append(result)  # noqa: PERF401  # also what came before
        told = {one.identifier for one in results}
        assert {who for who in LEARNERS if platform.is_allowed(who, COURSE)} <= told


async def test_a_journal_goes_on_where_a_cancelled_source_has_stopped_it(tmp_path: Path) -> None:
    journal = tmp_path / "job.db"
    async with Platform(window=None) as platform:
        platform.add_course(COURSE)
        for source in (Shared(platform.token, 5), platform.token):
            limits = BatchLimits(identifiers=5)
            async with EnrollmentClient(platform.url, source, batch=limits, settle=0.2) as client:
                with suppress(EnrollError):  # the first one's
                    report = await client.apply(ROSTER, journal=journal, email_students=True)
        assert report.ok
        assert_whole(report, platform)
        assert max(Counter(mail.to for mail in platform.outbox).values()) == 1


async def test_a_roster_that_is_cancelled(platform: Platform, client: EnrollmentClient) -> None:
    async def identifiers() -> AsyncIterator[str]:
        for number in range(450):
            yield f"new{number}@example.org"
        await somebody_elses_future()

    async def roster() -> AsyncIterator[RosterEntry]:
        yield ROSTER[0]
        await somebody_elses_future()

    async def queries() -> AsyncIterator[EnrollmentQuery]:
        yield EnrollmentQuery(COURSE)
        await somebody_elses_future()

    with pytest.raises(EnrollError, match="the source of the identifiers was cancelled") as raised:
        await client.bulk_enroll(identifiers(), [COURSE])
    assert raised.value.report is not None
    assert raised.value.report.counts == {Outcome.ALLOWED: 400}
    with pytest.raises(EnrollError, match="the source of the roster was cancelled"):
        await client.apply(roster())
    with pytest.raises(EnrollError, match="the source of the roster was cancelled"):
        _ = [one async for one in client.stream(roster())]
    with pytest.raises(EnrollError, match="the source of the queries was cancelled"):
        _ = [one async for one in client.enrollments_for(queries())]


@pytest.mark.parametrize("answered", [2, 3, 4])
async def test_who_may_have_been_mailed_is_told_whenever_the_job_is_cancelled(
    answered: int,
) -> None:
    """Also while the courses of a call that was undone are asked about again."""
    faults = Faults.schedule({1: Fault.SERVER_ERROR})
    async with Platform(faults=faults, seconds_per_call=0.1) as platform:
        platform.add_course(COURSE)
        async with EnrollmentClient(platform.url, platform.token, settle=0.2) as client:
            job = asyncio.ensure_future(client.apply(ROSTER, email_students=True))
            await until(lambda: len(platform.requests) >= answered)
            await anyio.sleep(0.05)
            job.cancel()
            with pytest.raises(asyncio.CancelledError) as raised:
                await job
        report = raised.value.report  # type: ignore[attr-defined]  # documented
        mailed = {mail.to for mail in platform.outbox}
    assert mailed
    assert mailed <= {one.identifier for one in report if one.notified is not False}
