"""Calls that go wrong, each way alone: nothing is lost, and nobody is mailed twice."""

import asyncio
import math
import socket
from collections import Counter
from typing import Any

import anyio
import pytest

from async_enroll import (
    Action,
    BatchLimits,
    EnrollmentClient,
    EnrollmentReport,
    JobStopped,
    Outcome,
    RequestWindow,
    RosterEntry,
    TransportError,
)
from async_enroll.delivery.attempt import MOST_ATTEMPTS
from async_enroll.platform.bulk_enroll import BULK_ENROLL
from async_enroll.platform.core_listing import CORE_LIST
from async_enroll.platform.so2_listing import REPORTING_LIST
from async_enroll.sandbox import Fault, Faults, ListingForm, Platform
from tests.account import assert_account
from tests.waiting import until

C0, C1, C2 = COURSES = [f"course-v1:Org+C{number}+2026" for number in range(3)]
LEARNERS = [f"learner{number}" for number in range(20)]
ADDRESSES = [f"learner{number}@example.org" for number in range(20, 40)]
NEWCOMERS = [f"new{number}@example.org" for number in range(10)]
EVERYBODY = LEARNERS + ADDRESSES + NEWCOMERS
PAIRS = [(who, course_id) for who in EVERYBODY for course_id in COURSES]
RIGHT_AT_ONCE = (
    Fault.THROTTLED,
    Fault.THROTTLED_DATE,
    Fault.THROTTLED_SILENT,
    Fault.TOO_LARGE,
)
SITES: dict[str, dict[str, Any]] = {
    "moocit": {},
    "plain": {"listing": None},
    "unlisted": {"listing": None, "core_listing": False},
}
IN_PIECES = (Fault.TOO_LARGE, Fault.SERVER_ERROR)


class Renewable:
    """A token source that has another token each time; all of them are good."""

    def __init__(self, platform: Platform) -> None:
        self._token = platform.token
        self.renewals = 0

    async def authorization(self) -> str:
        return f"Bearer {self._token}"

    async def renew(self) -> bool:
        self.renewals += 1
        return True


def site(faults: Faults | None = None, **settings: object) -> Platform:
    platform = Platform(window=None, faults=faults, **settings)  # type: ignore[arg-type]  # any
    for course_id in COURSES:
        platform.add_course(course_id, cohorts=["red"])
    for number in range(40):
        platform.add_user(f"learner{number}", f"learner{number}@example.org")
    return platform


def client_of(platform: Platform, **settings: object) -> EnrollmentClient:
    return EnrollmentClient(
        platform.url,
        Renewable(platform),
        **{  # type: ignore[arg-type]  # any of them
            "window": RequestWindow(1000, 0.5),
            "timeout": 1.0,
            "settle": 0.6,
            "patience": 3.0,
            **settings,
        },
    )


@pytest.mark.parametrize("mail", [False, True], ids=["silent", "mail"])
@pytest.mark.parametrize("fault", Fault)
async def test_each_fault_alone(fault: Fault, mail: bool) -> None:
    async with site(Faults.schedule({1: fault})) as platform:  # behind the preflight
        async with client_of(platform) as client:
            report = await client.bulk_enroll(EVERYBODY, COURSES, email_students=mail)
        assert platform.faults_made == [(1, fault)]
        assert_account(report, platform, PAIRS)
        assert report.ok
        never_known = {result.before is None for result in report.results}
        silent = fault is Fault.MAIL_FAILS and not mail  # there is no mail to fail
        if fault not in (*RIGHT_AT_ONCE, Fault.UNAUTHORIZED, Fault.SERVER_ERROR) and not silent:
            assert max(result.attempts for result in report.results) > 1
        if fault.name.endswith("_AFTER"):
            assert never_known == {True}


@pytest.mark.parametrize("fault", [Fault.RESET_AFTER, Fault.RESET_BEFORE])
async def test_a_lost_call_that_names_cohorts_mails_nobody_twice(fault: Fault) -> None:
    """Being enrolled does not tell whether it was this call that did it."""
    async with site(Faults.schedule({1: fault})) as platform:
        async with client_of(platform) as client:
            report = await client.bulk_enroll(
                EVERYBODY, COURSES, cohorts=dict.fromkeys(COURSES, "red"), email_students=True
            )
        assert_account(report, platform, PAIRS)
        assert all(platform.cohort_of(who, C0) == "red" for who in LEARNERS)


@pytest.mark.parametrize("mail", [False, True], ids=["silent", "mail"])
@pytest.mark.parametrize("fault", Fault)
async def test_each_fault_alone_unenrolling(fault: Fault, mail: bool) -> None:
    platform = site(Faults.schedule({1: fault}))
    for who in LEARNERS:
        platform.enroll(who, C0)
    async with platform, client_of(platform) as client:
        report = await client.bulk_unenroll(LEARNERS + NEWCOMERS, [C0], email_students=mail)
        pairs = [(who, C0) for who in LEARNERS + NEWCOMERS]
        assert_account(report, platform, pairs, Action.UNENROLL)
        assert report.ok


@pytest.mark.parametrize("mail", [False, True], ids=["silent", "mail"])
@pytest.mark.parametrize("fault", [Fault.RESET_BEFORE, Fault.RESET_AFTER, Fault.STALL_AFTER])
async def test_a_lost_call_on_a_site_without_a_listing(fault: Fault, mail: bool) -> None:
    async with site(Faults.schedule({1: fault}), listing=None, core_listing=False) as platform:
        async with client_of(platform) as client:
            report = await client.bulk_enroll(EVERYBODY, COURSES, email_students=mail)
        assert_account(report, platform, PAIRS)
        assert report.ok
        if mail:
            assert {result.notified for result in report.results} == {None}


@pytest.mark.parametrize(
    ("fault", "mail"),
    [(Fault.RESET_BEFORE, True), (Fault.RESET_AFTER, True), (Fault.RESET_AFTER, False)],
)
async def test_a_lost_call_on_plain_open_edx(fault: Fault, mail: bool) -> None:
    async with site(Faults.schedule({1: fault}), listing=None) as platform:
        async with client_of(platform, settle=0.3) as client:
            report = await client.bulk_enroll(EVERYBODY, COURSES, email_students=mail)
        assert_account(report, platform, PAIRS)
        assert report.ok


@pytest.mark.parametrize("fault", [Fault.RESET_BEFORE, Fault.RESET_AFTER])
async def test_a_lost_unenrollment_on_plain_open_edx(fault: Fault) -> None:
    async with site(Faults.schedule({1: fault}), listing=None) as platform:
        for who in LEARNERS + ADDRESSES:
            platform.enroll(who, C0)
        async with client_of(platform, settle=0.3) as client:
            report = await client.bulk_unenroll(EVERYBODY, [C0], email_students=True)
        assert_account(report, platform, [(who, C0) for who in EVERYBODY], Action.UNENROLL)
        assert report.ok


@pytest.mark.parametrize(("kind", "path"), [("moocit", REPORTING_LIST), ("plain", CORE_LIST)])
async def test_a_lost_call_is_found_done_by_addresses_and_usernames(kind: str, path: str) -> None:
    async with site(Faults.schedule({1: Fault.RESET_AFTER}), **SITES[kind]) as platform:
        async with client_of(platform, settle=4.0) as client:
            report = await client.bulk_enroll(LEARNERS + ADDRESSES, COURSES, email_students=True)
        assert_account(report, platform, [pair for pair in PAIRS if pair[0] not in NEWCOMERS])
        assert {result.notified for result in report.results} == {None}
        calls = [logged.path for logged in platform.requests]
        assert calls.count(f"/{BULK_ENROLL}") == 2  # the preflight, and the one that was lost
        assert calls.count(f"/{path}") == len(COURSES)  # the first look is enough


async def test_a_lost_call_is_repeated_without_mail_whatever_became_of_it() -> None:
    """Nobody can tell whether it never arrived, or was undone after it had mailed."""
    async with site(Faults.schedule({1: Fault.RESET_BEFORE})) as platform:
        async with client_of(platform) as client:
            report = await client.bulk_enroll(EVERYBODY, [C0], email_students=True)
        assert report.ok
        assert {result.notified for result in report.results} == {None}
        assert not platform.outbox


async def test_one_look_serves_all_that_wait() -> None:
    lost = dict.fromkeys(range(1, 6), Fault.RESET_AFTER)
    async with site(Faults.schedule(lost)) as platform:
        async with client_of(platform, batch=BatchLimits(identifiers=10), patience=60) as client:
            report = await client.bulk_enroll(LEARNERS + ADDRESSES, [C0])
        assert report.ok
        looks = [request for request in platform.requests if request.method == "GET"]
        assert len(looks) <= 2


@pytest.mark.parametrize(
    ("kind", "mail"),
    [("moocit", False), ("moocit", True), ("plain", True), ("unlisted", True)],
)
async def test_a_gateway_that_gives_up_while_the_platform_works_on(kind: str, mail: bool) -> None:
    async with site(gateway_timeout=0.1, seconds_per_pair=0.004, **SITES[kind]) as platform:
        async with client_of(platform, timeout=5.0, settle=0.8, patience=30) as client:
            report = await client.bulk_enroll(EVERYBODY, COURSES, email_students=mail)
        assert 504 in {request.status for request in platform.requests}
        assert_account(report, platform, PAIRS)
    assert report.ok


async def test_a_fate_that_stays_unknown_is_unconfirmed() -> None:
    faults = Faults.schedule(dict.fromkeys(range(1, 1000), Fault.RESET_BEFORE))
    async with site(faults) as platform:
        async with client_of(platform, settle=0.02, patience=0.5) as client:
            with pytest.raises(TransportError, match=r"not answered for 0\.5 s") as raised:
                await client.bulk_enroll(["learner1"], [C0])
        report = raised.value.report
    assert report is not None
    assert report.counts == {Outcome.UNCONFIRMED: 1}
    assert 1 <= report.results[0].attempts <= MOST_ATTEMPTS


async def test_nobody_is_sent_to_a_course_that_cannot_be_asked_about() -> None:
    always = Faults.chance(1.0, 0, among=[Fault.RESET_BEFORE])
    async with site(always) as platform:
        async with client_of(platform, settle=0.02, patience=0.5) as client:
            with pytest.raises(TransportError, match=r"not answered for 0\.5 s") as raised:
                await client.bulk_enroll(["learner1"], [C0])
        report = raised.value.report
    assert report is not None
    assert report.counts == {Outcome.REJECTED: 1}
    assert report.results[0].attempts == 0


@pytest.mark.parametrize("mail", [False, True], ids=["silent", "mail"])
async def test_a_poisonous_learner_among_five_hundred_in_ten_courses(mail: bool) -> None:
    platform = Platform(window=None)
    courses = [f"course-v1:Org+D{number}+2026" for number in range(10)]
    for course_id in courses:
        platform.add_course(course_id)
    platform.add_user("poison", "poison@example.org", poisonous=True)
    identifiers = [f"new{number}@example.org" for number in range(499)]
    identifiers.insert(307, "poison")
    async with platform, client_of(platform, batch=BatchLimits(500, 5000), timeout=5) as client:
        roster = [RosterEntry(who, key) for who in identifiers for key in courses]
        report = await client.apply(roster, email_students=mail)
        assert_account(report, platform, [(who, key) for who in identifiers for key in courses])
        assert len(platform.requests) <= 2 + 2 * math.ceil(math.log2(5000))
    assert {result.identifier for result in report.failures} == {"poison"}
    assert report.counts == {Outcome.ALLOWED: 4990, Outcome.REJECTED: 10}
    assert "fails on this learner" in (report.failures[0].error or "")
    if mail:
        unknown = {(entry.identifier, entry.course_id) for entry in report.notification_unknown}
        assert unknown == {(who, key) for who in identifiers if who != "poison" for key in courses}


@pytest.mark.parametrize("kind", ["missing", "forbidden"])
async def test_a_bad_course_among_ten_costs_few_calls(kind: str) -> None:
    platform = Platform(window=None)
    courses = [f"course-v1:Org+D{number}+2026" for number in range(10)]
    for number, course_id in enumerate(courses):
        if number != 6:
            platform.add_course(course_id)
        elif kind == "forbidden":
            platform.add_course(course_id, forbidden=True)
    identifiers = [f"new{number}@example.org" for number in range(500)]
    async with platform, client_of(platform, batch=BatchLimits(500, 5000), timeout=5) as client:
        report = await client.bulk_enroll(identifiers, courses)
        pairs = [(who, key) for who in identifiers for key in courses]
        assert_account(report, platform, pairs)
        assert len(platform.requests) <= 2 + 2 * math.ceil(math.log2(5000))
    assert report.counts == {Outcome.ALLOWED: 4500, Outcome.REJECTED: 500}
    assert {result.course_id for result in report.failures} == {courses[6]}


async def test_a_preflight_finds_bad_places_before_anybody_is_touched() -> None:
    platform = site()
    platform.add_course("course-v1:Org+Forbidden+2026", forbidden=True)
    bad = ["course-v1:Org+Forbidden+2026", "course-v1:Org+Missing+2026", "no course key"[3:9]]
    async with platform, client_of(platform) as client:
        report = await client.bulk_enroll(
            EVERYBODY, [*COURSES, *bad], cohorts={C1: "red", C2: "green"}, email_students=True
        )
        assert {result.course_id for result in report.failures} == {*bad, C2}
        assert report.counts[Outcome.REJECTED] == 4 * len(EVERYBODY)
        assert len(platform.outbox) == 2 * len(EVERYBODY)
        assert {result.notified for result in report.failures} == {False}
        reasons = {result.course_id: result.error for result in report.failures}
    assert "does not exist" in (reasons[bad[1]] or "")
    assert "does not look like course-v1:" in (reasons[bad[2]] or "")
    assert "cohort green not found" in (reasons[C2] or "")


@pytest.mark.parametrize(
    ("preflight", "identifiers", "calls"),
    [(None, 1, 2), (None, 201, 3), (True, 1, 2), (False, 201, 3)],
)
async def test_when_there_is_a_preflight(
    preflight: bool | None, identifiers: int, calls: int
) -> None:
    async with site() as platform, client_of(platform) as client:
        roster = [RosterEntry(f"new{number}@example.org", C0) for number in range(identifiers)]
        await client.apply(roster, preflight=preflight)
        assert len(platform.requests) == calls


async def test_a_body_that_is_too_large_is_halved_and_its_size_remembered() -> None:
    async with site(body_limit=3000) as platform, client_of(platform) as client:
        identifiers = [f"new{number}@example.org" for number in range(1000)]
        report = await client.bulk_enroll(identifiers, [C0])
        assert_account(report, platform, [(who, C0) for who in identifiers])
        refused = [request for request in platform.requests if request.status == 413]
    assert report.ok
    assert len(refused) <= 5  # those that were in flight together


async def test_a_token_is_renewed_once_for_all() -> None:
    platform = site()
    async with platform:
        source = Renewable(platform)

        class Expired(Renewable):
            async def authorization(self) -> str:
                return await source.authorization() if self.renewals else "Bearer old"

        expired = Expired(platform)
        async with EnrollmentClient(
            platform.url, expired, batch=BatchLimits(identifiers=5)
        ) as client:
            report = await client.bulk_enroll(EVERYBODY, COURSES)
            assert report.ok
            assert [record async for record in client.enrollments(course_id=C0)]
        assert expired.renewals == 1
        assert {result.attempts for result in report.results} == {1}


async def test_a_platform_that_restarts_is_waited_for() -> None:
    platform = site(seconds_per_call=0.05)
    async with platform, client_of(platform, batch=BatchLimits(identifiers=5)) as client:
        async with anyio.create_task_group() as tasks:

            async def interrupt() -> None:
                await until(lambda: len(platform.requests) > 5)
                await platform.crash()
                await anyio.sleep(0.3)
                await platform.restart()

            tasks.start_soon(interrupt)
            report = await client.apply([RosterEntry(*pair) for pair in PAIRS])
        assert_account(report, platform, PAIRS)
        assert report.ok


def test_notification_unknown_is_a_roster() -> None:
    assert list(EnrollmentReport({}).notification_unknown) == []


async def test_notification_unknown_keeps_the_cohort() -> None:
    faults = Faults.schedule({1: Fault.RESET_AFTER})
    async with site(faults) as platform, client_of(platform) as client:
        report = await client.bulk_enroll(
            ["learner1"], [C0], cohorts={C0: "red"}, email_students=True
        )
    assert report.notification_unknown == (
        RosterEntry("learner1", C0, Action.ENROLL, cohort="red"),
    )


@pytest.mark.parametrize("mail", [False, True], ids=["silent", "mail"])
async def test_a_lost_call_that_names_a_cohort_is_not_found_by_being_enrolled(mail: bool) -> None:
    platform = site(Faults.schedule({1: Fault.RESET_BEFORE}))
    platform.enroll("learner1", C0)
    async with platform, client_of(platform) as client:
        report = await client.bulk_enroll(
            ["learner1"], [C0], cohorts={C0: "red"}, email_students=mail
        )
        assert report.ok
        assert platform.cohort_of("learner1", C0) == "red"


async def test_a_job_cancelled_while_it_asks_accounts_for_all_that_was_sent() -> None:
    faults = Faults.schedule({1: Fault.RESET_AFTER, 2: Fault.STALL})
    async with site(faults) as platform, client_of(platform, timeout=5.0, settle=0.2) as client:
        job = asyncio.ensure_future(client.bulk_enroll(NEWCOMERS, [C0], email_students=True))
        await until(lambda: len(platform.faults_made) == 2)
        await anyio.sleep(0.05)
        job.cancel()
        with pytest.raises(asyncio.CancelledError) as raised:
            await job
        report = getattr(raised.value, "report", None)
        assert isinstance(report, EnrollmentReport)
        assert report.counts == {Outcome.UNCONFIRMED: len(NEWCOMERS)}
        assert {one.notified for one in report.results} == {None}


async def test_a_job_that_is_stopped_says_nothing_of_the_platform() -> None:
    """Another job on a host that was never reached fails at once, and is not made to wait."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    roster = [RosterEntry("jane", C0)]
    async with EnrollmentClient(url, "token", patience=30) as client:
        client._throttle.hold(0.3)
        stop = anyio.Event()
        stop.set()
        with pytest.raises(JobStopped):
            await client.apply(roster, stop=stop)
        start = anyio.current_time()
        with pytest.raises(TransportError, match="no connection"):
            await client.apply(roster)
        assert anyio.current_time() - start < 5


async def test_a_job_cancelled_while_it_asks_for_what_an_answer_lacks_accounts_for_it() -> None:
    roster = [RosterEntry(f"learner{number}", key) for number in range(40) for key in COURSES]
    faults = Faults.schedule({1: Fault.MISSING_RESULTS, 2: Fault.STALL})
    async with site(faults) as platform, client_of(platform, timeout=20.0) as client:
        job = asyncio.create_task(client.apply(roster, preflight=False, email_students=True))
        await asyncio.sleep(0.5)
        job.cancel()
        with pytest.raises(asyncio.CancelledError) as cancelled:
            await job
        report = cancelled.value.report  # type: ignore[attr-defined]  # documented
    told = Counter((result.identifier, result.course_id) for result in report)
    assert told == Counter((entry.identifier, entry.course_id) for entry in roster)
    assert report.counts[Outcome.UNCONFIRMED] > 0


@pytest.mark.parametrize("listing", [ListingForm.ARRAY, None])
async def test_a_lost_call_that_was_undone_after_it_mailed(listing: ListingForm | None) -> None:
    """Its answer would have told; sending again, without mail, finds the culprit as well."""
    platform = site(Faults.schedule({1: Fault.STALL_AFTER}), listing=listing)
    platform.add_user("poison", "poison@example.org", poisonous=True)
    async with platform, client_of(platform) as client:
        roster = [RosterEntry(who, C0) for who in ("learner0", "learner1", "poison")]
        report = await client.apply(roster, email_students=True)
    mails = Counter(mail.to for mail in platform.outbox)
    assert mails["learner0@example.org"] == mails["learner1@example.org"] == 1
    told = {result.identifier: (result.outcome, result.notified) for result in report}
    assert told["learner0"] == told["learner1"] == (Outcome.ENROLLED, None)
    assert told["poison"] == (Outcome.UNCONFIRMED, None)


LOST_AND_DONE = (Fault.RESET_AFTER, Fault.BAD_GATEWAY_AFTER, Fault.GARBLED)


@pytest.mark.parametrize("preflights", [True, False], ids=["good course", "course fails, too"])
@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("fault", LOST_AND_DONE)
async def test_a_lost_call_may_have_done_what_the_platform_then_fails_on(
    fault: Fault, action: Action, preflights: bool
) -> None:
    failing = (2, 4, 5) if preflights else range(2, 9)  # the third is a preflight
    faults = Faults.schedule({1: fault, **dict.fromkeys(failing, Fault.SERVER_ERROR)})
    async with site(faults, listing=None, core_listing=False) as platform:
        platform.enroll("learner0", C1)
        roster = [RosterEntry("learner0", C0 if action is Action.ENROLL else C1, action)]
        async with client_of(platform) as client:
            report = await client.apply(roster, email_students=True)
        assert platform.is_enrolled("learner0", C0) == (action is Action.ENROLL)
        assert platform.is_enrolled("learner0", C1) == (action is Action.ENROLL)
    (result,) = report
    assert (result.outcome, result.notified) == (Outcome.UNCONFIRMED, None)
    assert "the platform fails on this" in (result.error or "")


@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.UNDONE_RESET])
async def test_mail_may_have_gone_before_a_course_fails_for_good(fault: Fault) -> None:
    faults = {1: fault, **dict.fromkeys(range(2, 9), Fault.SERVER_ERROR)}
    async with site(Faults.schedule(faults)) as platform, client_of(platform) as client:
        report = await client.bulk_enroll(["learner0", "learner1"], [C0], email_students=True)
        assert [mail.to for mail in platform.outbox] == ["learner0@example.org"]
    assert {result.notified for result in report} == {None}
