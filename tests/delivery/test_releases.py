"""On every release of the platform: the report is what the database has, and no mail goes twice."""

from collections import Counter

import pytest

from async_enroll import (
    Action,
    ClientCredentials,
    EnrollmentClient,
    Outcome,
    RequestWindow,
    RosterEntry,
)
from async_enroll.sandbox import Fault, Faults, Platform
from tests.account import assert_account

RELEASES = ("moocit", "2020", "2022", "2025", "2026")
GOOD = ["course-v1:Org+C1+2026", "course-v1:Org+C2+2026"]
MISSING = "course-v1:Org+Missing+2026"
COURSES = [*GOOD, MISSING]
LEARNERS = [f"learner{number}" for number in range(20)]
ADDRESSES = [f"learner{number}@example.org" for number in range(20, 30)]
NEWCOMERS = [f"new{number}@example.org" for number in range(10)]
EVERYBODY = LEARNERS + NEWCOMERS + ADDRESSES
PAIRS = [(who, course_id) for who in EVERYBODY for course_id in COURSES]
WHAT_MAY_HAPPEN = [
    None,
    Fault.SERVER_ERROR,
    Fault.RESET_BEFORE,
    Fault.BAD_GATEWAY_AFTER,
    Fault.UNDONE_RESET,
    Fault.UNDONE_BAD_GATEWAY,
    Fault.DATABASE_ERROR,
    Fault.DATABASE_ERROR_LAST,
    Fault.MAIL_FAILS,
]


def site(release: str, fault: Fault | None = None, **settings: object) -> Platform:
    # The preflight is the first call, and its two halves the next ones; the path costs none.
    faults = Faults.schedule({} if fault is None else dict.fromkeys(FIRST_WITH_LEARNERS, fault))
    platform = Platform(release=release, window=None, faults=faults, **settings)  # type: ignore[arg-type]  # any
    for course_id in GOOD:
        platform.add_course(course_id)
    for number in range(30):
        platform.add_user(f"learner{number}", f"learner{number}@example.org")
    return platform


CURSED_SINCE_2026 = (
    "the platform failed on this identifier (general_error: Something went wrong while "
    "processing this learner. Please try again or contact support.)"
)
FIRST_WITH_LEARNERS = [2]
"""The number of the first call that carries learners: the missing course is named at once."""


def client_of(platform: Platform, auth: str | ClientCredentials) -> EnrollmentClient:
    return EnrollmentClient(
        platform.url,
        auth,
        window=RequestWindow(1000, 0.5),
        timeout=5.0,
        settle=0.6,
        patience=5.0,
    )


@pytest.mark.parametrize("mail", [False, True], ids=["silent", "mail"])
@pytest.mark.parametrize("fault", WHAT_MAY_HAPPEN)
@pytest.mark.parametrize("release", RELEASES)
async def test_forty_learners_in_two_good_courses_and_a_missing_one(
    release: str, fault: Fault | None, mail: bool
) -> None:
    async with site(release, fault) as platform:
        application = ClientCredentials(*platform.add_application())
        async with client_of(platform, application) as client:
            report = await client.bulk_enroll(EVERYBODY, COURSES, email_students=mail)
        assert_account(report, platform, PAIRS)
        assert {one.course_id for one in report.failures} >= {MISSING}
        for one in report.failures:
            assert one.outcome is (
                Outcome.REJECTED if one.course_id == MISSING else Outcome.ERROR
            ), one
        assert not [one for one in platform.enrollments if one.course_id == MISSING]
        assert not [one for one in platform.outbox if one.course_id == MISSING]
        # Whoever the report leaves open was asked to be mailed; nobody else is.
        told = {one.notified for one in report if one.course_id == MISSING}
        assert told == {False}
        if fault is None:
            assert platform.faults_made == []
            assert {one.notified for one in report if one.outcome.ok} == {mail}


@pytest.mark.parametrize("mail", [False, True], ids=["silent", "mail"])
@pytest.mark.parametrize("fault", WHAT_MAY_HAPPEN)
@pytest.mark.parametrize("release", RELEASES)
async def test_unenrolling_likewise(release: str, fault: Fault | None, mail: bool) -> None:
    async with site(release, fault) as platform:
        for who in LEARNERS:
            platform.enroll(who, GOOD[0])
        async with client_of(platform, platform.token) as client:
            report = await client.bulk_unenroll(EVERYBODY, COURSES, email_students=mail)
        assert_account(report, platform, PAIRS, Action.UNENROLL)
        failures = {one.course_id for one in report.failures if one.outcome is Outcome.REJECTED}
        assert failures == {MISSING}


@pytest.mark.parametrize("preflight", [None, True, False])
@pytest.mark.parametrize("release", RELEASES)
async def test_nobody_is_enrolled_in_a_missing_course_however_small_the_job(
    release: str, preflight: bool | None
) -> None:
    async with site(release) as platform:
        async with client_of(platform, platform.token) as client:
            report = await client.apply([RosterEntry("learner1", MISSING)], preflight=preflight)
        assert report.counts == {Outcome.REJECTED: 1}
        assert "does not exist" in (report.results[0].error or "")
        assert platform.enrollments == []


@pytest.mark.parametrize("release", RELEASES)
async def test_a_bot_pays_for_a_preflight_once_a_course(release: str) -> None:
    async with site(release) as platform:
        async with client_of(platform, platform.token) as client:
            for who in LEARNERS:
                assert (await client.bulk_enroll([who], [GOOD[0]])).ok
        calls = Counter(request.status for request in platform.requests)
        assert calls[200] == 1 + len(LEARNERS)


@pytest.mark.parametrize("release", RELEASES)
async def test_a_database_that_always_fails_on_one_learner(release: str) -> None:
    async with site(release) as platform:
        platform.add_user("cursed", "cursed@example.org", database_fails=True)
        for identifiers in (["learner1", "learner2", "cursed"], ["cursed", "learner3"], ["cursed"]):
            async with client_of(platform, platform.token) as client:
                report = await client.bulk_enroll(identifiers, GOOD, email_students=True)
            assert_account(report, platform, [(who, key) for who in identifiers for key in GOOD])
            assert {one.identifier for one in report.failures} == {"cursed"}
            assert {one.outcome for one in report.failures} <= {Outcome.ERROR, Outcome.REJECTED}
            if release == "2026":
                assert {one.error for one in report.failures} == {CURSED_SINCE_2026}


@pytest.mark.parametrize("release", RELEASES)
async def test_mail_that_always_fails_for_one_learner(release: str) -> None:
    async with site(release) as platform:
        platform.add_user("unheard", "unheard@example.org", mail_fails=True)
        identifiers = ["learner1", "unheard", "learner2"]
        async with client_of(platform, platform.token) as client:
            report = await client.bulk_enroll(identifiers, [GOOD[0]], email_students=True)
        assert_account(report, platform, [(who, GOOD[0]) for who in identifiers])
        told = {one.identifier: one for one in report}
        assert told["learner1"].notified is told["learner2"].notified is True
        # Enrolled by the first call, or since 2026 by the second, which mails nobody.
        assert (told["unheard"].outcome, told["unheard"].notified) == (Outcome.ENROLLED, None)
