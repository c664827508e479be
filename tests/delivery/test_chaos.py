"""Everything going wrong at once: the account is right all the same."""

import random
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_enroll import Action, BatchLimits, EnrollmentClient, RequestWindow, RosterEntry
from async_enroll.models import EmailStudents
from async_enroll.reports.report import ReportBuilder
from async_enroll.sandbox import Fault, Faults, Platform
from tests.account import assert_account, assert_mailed_if_changed
from tests.blocks import block_of
from tests.delivery.test_delivery import Renewable
from tests.waiting import run

COURSES = [f"course-v1:Org+C{number}+2026" for number in range(4)]
RELEASES = ("moocit", "2020", "2022", "2025", "2026")
SEEDS = 20
STOPPING = {
    # Two in a row would rightly stop the job: a new token that is refused as well.
    Fault.UNAUTHORIZED,
    # So would these at the start: nothing has shown yet that the platform is behind them.
    Fault.FIREWALL_PAGE,
    Fault.FIREWALL_PAGE_200,
    Fault.LOGIN_REDIRECT,
    Fault.GATEWAY_JSON,
}
PASSING = [fault for fault in Fault if fault not in STOPPING]
ONCE = [*PASSING, Fault.UNAUTHORIZED]
LEARNERS = 1000
AT_ONCE = 5
"""How many seeds share an event loop: most of their time is waiting."""


def client_of(platform: Platform, **arguments: Any) -> EnrollmentClient:
    return EnrollmentClient(
        platform.url,
        Renewable(platform),
        **{
            "window": RequestWindow(1000, 0.5),
            "timeout": 3.0,
            "settle": 3.2,
            "patience": 30.0,
            **arguments,
        },
    )


async def many_pairs(seed: int) -> None:
    """A thousand learners in four courses, a fifth of the calls going wrong.

    A third each mails nobody, everybody, those who are new; each of five is on another release.
    """
    chance = random.Random(seed)
    mail: EmailStudents = (False, True, "changed")[seed % 3]
    were_in: set[tuple[str, str]] = set()
    platform = Platform(
        window=None,
        release=RELEASES[seed % len(RELEASES)],
        faults=Faults.chance(0.2, seed, among=PASSING),
    )
    for course_id in COURSES:
        platform.add_course(course_id)
    identifiers = []
    for number in range(LEARNERS):
        match chance.random():
            case part if part < 0.2:
                identifiers.append(f"new{number}@example.org")
            case part:
                platform.add_user(f"learner{number}", f"learner{number}@example.org")
                name = f"learner{number}"
                identifiers.append(name if part < 0.5 else f"{name}@example.org")
                if part > 0.95:
                    platform.enroll(name, COURSES[0])
                    were_in.add((identifiers[-1], COURSES[0]))
    limits = BatchLimits(identifiers=40, pairs=160)
    async with platform, client_of(platform, batch=limits) as client:
        report = await client.bulk_enroll(identifiers, COURSES, email_students=mail)
    pairs = [(who, course_id) for who in identifiers for course_id in COURSES]
    assert_account(report, platform, pairs)
    if mail == "changed":
        assert_mailed_if_changed(report, platform, were_in)
    assert report.ok


@pytest.mark.parametrize("first", range(0, SEEDS, AT_ONCE))
async def test_all_faults_mixed(first: int) -> None:
    async with anyio.create_task_group() as runs:
        for seed in range(first, first + AT_ONCE):
            runs.start_soon(many_pairs, seed)


@st.composite
def jobs(draw: st.DrawFn) -> tuple[Any, ...]:
    """A roster, what is wrong with its learners and courses, the limits, the faults."""
    learners = [f"learner{number}" for number in range(draw(st.integers(1, 12)))]
    poisonous = draw(st.sets(st.sampled_from(learners), max_size=2))
    bad = draw(st.dictionaries(st.sampled_from(COURSES), st.sampled_from(["missing", "forbidden"])))
    action = draw(st.sampled_from(Action))
    pairs = draw(
        st.sets(st.tuples(st.sampled_from(learners), st.sampled_from(COURSES)), max_size=30)
    )
    enrolled = draw(st.sets(st.sampled_from(learners)))
    limits = BatchLimits(draw(st.integers(1, 6)), draw(st.integers(1, 12)))
    # Failures that pass look like lasting ones when they come three in a row, so these are few.
    faults = draw(st.dictionaries(st.integers(0, 20), st.sampled_from(ONCE), max_size=4))
    return learners, poisonous, bad, action, sorted(pairs), enrolled, limits, faults


@settings(max_examples=30, deadline=None)
@given(
    jobs(),
    st.sampled_from([False, True, "changed"]),
    st.sampled_from([None, True, False]),
    st.sampled_from(RELEASES),
)
def test_any_job_with_any_faults(
    job: tuple[Any, ...], mail: EmailStudents, preflight: bool | None, release: str
) -> None:
    learners, poisonous, bad, action, pairs, enrolled, limits, faults = job

    async def work() -> None:
        platform = Platform(
            window=None, release=release, faults=Faults.schedule(faults, linger=0.05)
        )
        for course_id in COURSES:
            if bad.get(course_id) != "missing":
                platform.add_course(course_id, forbidden=course_id in bad)
        for learner in learners:
            platform.add_user(learner, f"{learner}@example.org", poisonous=learner in poisonous)
            for course_id in COURSES:
                if learner in enrolled and bad.get(course_id) != "missing":
                    platform.enroll(learner, course_id)
        async with (
            platform,
            client_of(platform, batch=limits, timeout=0.3, settle=0.3, patience=5.0) as client,
        ):
            report = await client.apply(
                [RosterEntry(who, course_id, action) for who, course_id in pairs],
                email_students=mail,
                preflight=preflight,
            )
        told = {(result.identifier, result.course_id): result for result in report.results}
        assert set(told) == set(pairs)
        for (who, course_id), result in told.items():
            # Since 2025 global staff may enter every course.
            closed = bad.get(course_id) == "missing" or (
                bad.get(course_id) == "forbidden" and release not in ("2025", "2026")
            )
            doable = who not in poisonous and not closed
            # What is lost, and found as it was to be, may have been so all along.
            stood = (who in enrolled) == (action is Action.ENROLL) and result.attempts > 1
            assert result.outcome.ok == doable or (stood and result.outcome.ok), result
        good = [result for result in report.results if result.outcome.ok]
        builder = ReportBuilder(auto_enroll=True, email_students=mail)
        builder.add(map(block_of, good))
        found = [(result.identifier, result.course_id) for result in good]
        assert_account(builder.report(), platform, found, action)
        if mail == "changed" and action is Action.ENROLL:
            assert_mailed_if_changed(
                report, platform, {(who, course_id) for who in enrolled for course_id in COURSES}
            )

    run(work())
