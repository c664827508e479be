"""A job with mail that is cancelled at one moment after the other.

Whatever the moment: nobody is told of twice, whoever was mailed or enrolled is told of, nothing
is left running, and a job with a journal is gone on with until all is done, and nobody mailed
twice.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from async_enroll import (
    BatchLimits,
    EnrollmentClient,
    EnrollmentResult,
    JournalReport,
    Outcome,
    RosterEntry,
)
from async_enroll.models import EmailStudents
from async_enroll.sandbox import Fault, Faults, Platform
from tests.account import address

COURSES = ["course-v1:Org+C0+2026", "course-v1:Org+C1+2026"]
LEARNERS = [
    *(f"learner{number}" for number in range(6)),
    *(f"new{number}@example.org" for number in range(6)),
    "not valid",
    "nobody",
]
PAIRS = [(who, course_id) for who in LEARNERS for course_id in COURSES]
ROSTER = [RosterEntry(*pair) for pair in PAIRS]

FAULTS = {
    "none": {},
    "lost": {
        2: Fault.RESET_AFTER,
        4: Fault.RESET_BEFORE,
        6: Fault.MISSING_RESULTS,
        8: Fault.GARBLED,
        10: Fault.BAD_GATEWAY_BEFORE,
    },
    "undone": {2: Fault.SERVER_ERROR, 4: Fault.SERVER_ERROR},
}


def site(faults: str) -> Platform:
    platform = Platform(window=None, faults=Faults.schedule(FAULTS[faults]))
    for course_id in COURSES:
        platform.add_course(course_id)
    for number in range(6):
        platform.add_user(f"learner{number}", f"learner{number}@example.org")
    return platform


def client_of(platform: Platform) -> EnrollmentClient:
    return EnrollmentClient(
        platform.url,
        platform.token,
        batch=BatchLimits(identifiers=3, pairs=6),
        concurrency=4,
        timeout=5.0,
        settle=0.02,
        patience=5.0,
    )


def others() -> set[asyncio.Task[object]]:
    """All tasks but this one, and those that accept and serve the platform's connections."""
    return {
        task
        for task in asyncio.all_tasks() - {asyncio.current_task()}
        if not re.search("sandbox|RequestHandler|_accept_connection", repr(task))
    }


async def cancelled_at(
    moment: int, client: EnrollmentClient, journal: Path | None, mail: EmailStudents = True
) -> tuple[bool, list[EnrollmentResult]]:
    """Cancel a job once so many callbacks were scheduled; whether it was done before, its results.

    So every moment is one at which something has happened; turns in which the loop has nothing
    to do but to wait are not counted.
    """
    job = asyncio.create_task(client.apply(ROSTER, email_students=mail, journal=journal))
    loop = asyncio.get_running_loop()
    with pytest.MonkeyPatch.context() as patch:
        call_soon, left = loop.call_soon, moment

        def counted(*arguments: Any, **options: Any) -> asyncio.Handle:
            nonlocal left
            left -= 1
            if left == 0:
                call_soon(job.cancel)
            return call_soon(*arguments, **options)

        patch.setattr(loop, "call_soon", counted)
        await asyncio.wait([job])
    if not job.cancelled():
        return True, list(job.result())
    with pytest.raises(asyncio.CancelledError) as raised:
        await job
    return False, list(getattr(raised.value, "report", ()))


def assert_told(results: Iterable[EnrollmentResult], platform: Platform) -> None:
    """Each pair at most once, everybody whom anything was done for, and only what is so."""
    told = list(results)
    result_of = {(one.identifier, one.course_id): one for one in told}
    assert len(result_of) == len(told)
    mails = Counter((mail.to.lower(), mail.course_id) for mail in platform.outbox)
    assert not [mail for mail, count in mails.items() if count > 1]
    for pair in PAIRS:
        result = result_of.get(pair)
        is_in = platform.is_enrolled(*pair) or platform.is_allowed(*pair)
        mailed = mails[address(pair[0]), pair[1]]
        if result is None:
            assert not is_in
            assert not mailed
            continue
        assert is_in or not result.outcome.ok
        assert not is_in or result.outcome.ok or result.outcome is Outcome.UNCONFIRMED
        assert result.notified is None or mailed == result.notified


@pytest.mark.parametrize(
    ("faults", "step"),
    [
        ("none", 5),
        ("lost", 23),
        ("undone", 7),
    ],
)
@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("mail", [True, "changed"])
async def test_cancelled_it_has_told_of_everybody(
    tmp_path: Path, faults: str, step: int, kept: bool, mail: EmailStudents
) -> None:
    for moment in range(1, 5000, step * (3 if kept or mail == "changed" else 1)):
        async with site(faults) as platform:
            before = others()
            async with client_of(platform) as client:
                journal = tmp_path / f"{moment}.db" if kept else None
                done, results = await cancelled_at(moment, client, journal, mail)
                assert others() <= before, moment
                # What a call that was cut off does, it does in a moment.
                await asyncio.sleep(0.01)
                assert_told(results, platform)
        if done:
            assert len(results) == len(PAIRS)
            return
    pytest.fail("the job was never done")


@pytest.mark.parametrize(
    ("faults", "step"),
    [
        ("none", 29),
        ("lost", 101),
        ("undone", 43),
    ],
)
@pytest.mark.parametrize("mail", [True, "changed"])
async def test_cancelled_it_is_gone_on_with(
    tmp_path: Path, faults: str, step: int, mail: EmailStudents
) -> None:
    for moment in range(1, 5000, step):
        journal = tmp_path / f"{moment}.db"
        async with site(faults) as platform, client_of(platform) as client:
            done, _ = await cancelled_at(moment, client, journal, mail)
            report = await client.apply(ROSTER, email_students=mail, journal=journal)
            assert len(report.results) == len(PAIRS)
            assert_told(report.results, platform)
            assert {one.identifier for one in report.failures} == {"not valid", "nobody"}
            with JournalReport(journal) as kept:
                assert not kept.pending
                assert_told(kept.results(), platform)
        if done:
            return
    pytest.fail("the job was never done")
