"""Mail only for those whose enrollment changes: one each, none for anybody else."""

from collections import Counter
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from async_enroll import (
    Action,
    BatchLimits,
    ConfigurationError,
    EnrollmentClient,
    EnrollmentReport,
    EnrollmentResult,
    JobStopped,
    JournalError,
    JournalReport,
    Outcome,
    RequestWindow,
    RosterEntry,
)
from async_enroll.delivery import delivery
from async_enroll.events import BatchAnswered, BatchSent, BatchSettled, Event
from async_enroll.journal import Journal
from async_enroll.models import EmailStudents
from async_enroll.sandbox import Fault, Faults, Platform
from tests.account import address, assert_account
from tests.delivery.test_delivery import Renewable
from tests.waiting import until

C0, C1, C2 = COURSES = [f"course-v1:Org+C{number}+2026" for number in range(3)]
SITES = [
    ("moocit", {}),
    ("moocit", {"listing": None}),
    *((release, {"listing": None}) for release in ("2020", "2022", "2025", "2026")),
]
LEARNERS = [f"learner{number}" for number in range(75)] + [
    f"learner{number}@example.org" for number in range(75, 150)
]
ENROLLED = [*LEARNERS[:50], *LEARNERS[100:]]
ADDRESSES = [f"new{number}@example.org" for number in range(15)]
WAITING = ADDRESSES[:5]
EVERYBODY = LEARNERS + ADDRESSES
NEW = set(EVERYBODY) - {*ENROLLED, *WAITING}
SHORTLY = {"timeout": 5.0, "settle": 0.3, "patience": 5.0}


def site(
    release: str = "moocit",
    faults: dict[int, Fault] | None = None,
    linger: float = 0.2,
    **more: Any,
) -> Platform:
    """A hundred of 150 learners are in the first course, five of 15 addresses wait for it."""
    planned = Faults.schedule(faults or {}, linger=linger)
    platform = Platform(release=release, window=None, faults=planned, **more)
    for course_id in COURSES:
        platform.add_course(course_id, cohorts=["red"])
    for number in range(150):
        platform.add_user(f"learner{number}", f"learner{number}@example.org")
    for who in ENROLLED:
        platform.enroll(who, C0)
    for who in WAITING:
        platform.allow(who, C0)
    return platform


def client_of(platform: Platform, **settings: Any) -> EnrollmentClient:
    settings = {"window": RequestWindow(1000, 0.5), **SHORTLY, **settings}
    return EnrollmentClient(platform.url, Renewable(platform), **settings)


def roster(
    identifiers: Collection[str] = EVERYBODY, *courses: str, cohort: str | None = None
) -> list[RosterEntry]:
    return [RosterEntry(who, key, cohort=cohort) for who in identifiers for key in courses or (C0,)]


def mailed(platform: Platform) -> Counter[str]:
    return Counter(mail.to for mail in platform.outbox)


def told(report: EnrollmentReport) -> dict[str, EnrollmentResult]:
    return {result.identifier: result for result in report}


@pytest.mark.parametrize(("release", "listing"), SITES)
@pytest.mark.parametrize("size", [200, 20])
async def test_whoever_is_new_is_mailed_once_and_nobody_else(
    release: str, listing: dict[str, Any], size: int
) -> None:
    async with site(release, **listing) as platform:
        async with client_of(platform, batch=BatchLimits(identifiers=size)) as client:
            report = await client.bulk_enroll(EVERYBODY, [C0], email_students="changed")
        assert mailed(platform) == Counter(map(address, NEW))
        assert {one.identifier for one in report if one.notified} == NEW
        assert {one.notified for one in report if one.identifier not in NEW} == {False}
        assert report.counts == {
            Outcome.ALREADY_ENROLLED: 100,
            Outcome.ENROLLED: 50,
            Outcome.ALLOWED: 15,
        }
        assert report.notification_unknown == ()
        before = [told(report)[who].before for who in NEW]
        assert not any(state.enrollment or state.allowed for state in before if state)
        assert_account(report, platform, [(who, C0) for who in EVERYBODY])


class Sent:
    """Keeps the calls that are sent, but for preflights."""

    def __init__(self) -> None:
        self.calls: list[BatchSent] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, BatchSent):
            self.calls.append(event)


async def test_the_learners_of_many_calls_are_mailed_in_few() -> None:
    sent = Sent()
    async with site() as platform:
        limits = BatchLimits(identifiers=10)
        async with client_of(platform, batch=limits, on_event=sent) as client:
            report = await client.apply(roster(), email_students="changed")
        assert len(report.results) == 165
    mailing = [event for event in sent.calls if event.email]
    assert len(sent.calls) - len(mailing) == 17
    assert len(mailing) == 6
    assert {len(event.batch.identifiers) for event in mailing} == {10}
    assert all(event.planned is None and event.changed_in for event in mailing)


async def test_cohorts_are_set_by_the_first_call_and_told() -> None:
    sent = Sent()
    async with site() as platform, client_of(platform, on_event=sent) as client:
        entries = [*roster(LEARNERS[:60], C0, cohort="red"), *roster(LEARNERS[:60], C1)]
        report = await client.apply(entries, email_students="changed")
        assert {platform.cohort_of(who, C0) for who in LEARNERS[:60]} == {"red"}
        assert len(platform.outbox) == 10 + 60
        for one in report:
            if one.course_id == C0:
                assert one.after
                assert one.after.cohort == "red"
        # Those who are new in one course or in both do not form a cross product.
        assert [event.email for event in sent.calls] == [False, False, True, True]
        assert {event.batch.cohorts for event in sent.calls if event.email} == {None}


@pytest.mark.parametrize("release", ["moocit", "2026"])
async def test_unenrolling_mails_who_was_in_with_one_call(release: str) -> None:
    async with site(release) as platform:
        async with client_of(platform) as client:
            report = await client.bulk_unenroll(EVERYBODY, [C0], email_students="changed")
            assert sum(request.status == 200 for request in platform.requests) == 2
        assert mailed(platform) == Counter(map(address, [*ENROLLED, *WAITING]))
        assert {one.identifier for one in report if one.notified} == {*ENROLLED, *WAITING}


@pytest.mark.parametrize("release", ["moocit", "2020", "2022", "2025", "2026"])
@pytest.mark.parametrize("size", [200, 1, 7])
async def test_whoever_is_named_both_ways_is_mailed_once(release: str, size: int) -> None:
    """Calls at the same time, too: each would say that it has enrolled them."""
    both = [name for n in range(8) for name in (f"learner{60 + n}", f"learner{60 + n}@example.org")]
    async with site(release, seconds_per_call=0.05, seconds_per_pair=0.01) as platform:
        async with client_of(platform, batch=BatchLimits(identifiers=size)) as client:
            report = await client.bulk_enroll(both, [C0], email_students="changed")
        assert set(mailed(platform).values()) == {1}
        assert len(platform.outbox) == 8
        assert sum(one.notified is True for one in report) == 8
        assert report.ok


@pytest.mark.parametrize("release", ["moocit", "2022", "2026"])
@pytest.mark.parametrize("size", [200, 1, 7])
@pytest.mark.parametrize("mail", [True, "changed"])
async def test_whoever_is_unenrolled_both_ways_is_mailed_once(
    release: str, size: int, mail: EmailStudents
) -> None:
    both = [name for n in range(8) for name in (f"learner{n}", f"learner{n}@example.org")]
    async with site(release, seconds_per_call=0.05, seconds_per_pair=0.01) as platform:
        async with client_of(platform, batch=BatchLimits(identifiers=size)) as client:
            report = await client.bulk_unenroll(both, [C0], email_students=mail)
        assert set(mailed(platform).values()) == {1}
        assert len(platform.outbox) == 8
        assert sum(one.notified is True for one in report) == 8


@pytest.mark.parametrize("release", ["moocit", "2022", "2026"])
@pytest.mark.parametrize("names", [["learner60"] * 2, ["learner60", "learner60@example.org"]])
async def test_whom_two_jobs_enroll_and_unenroll_at_once_is_mailed_once_each(
    release: str, names: list[str]
) -> None:
    """As a web application does for whoever clicks twice."""
    async with site(release, seconds_per_call=0.05, seconds_per_pair=0.05) as platform:
        async with client_of(platform) as client:
            await client.bulk_enroll(["learner50"], [C0])  # the course is known to be good
            for job in (client.bulk_enroll, client.bulk_unenroll):
                async with anyio.create_task_group() as tasks:
                    for name in names:
                        tasks.start_soon(partial(job, [name], [C0], email_students="changed"))
                assert mailed(platform) == {"learner60@example.org": 1}
                platform.outbox.clear()


@pytest.mark.parametrize("release", ["moocit", "2022", "2026"])
@pytest.mark.parametrize("again", [["learner60"], ["learner60@example.org"]])
@pytest.mark.parametrize(
    "fault", [Fault.GATEWAY_TIMEOUT_DURING, Fault.SERVER_ERROR, Fault.UNDONE_RESET]
)
async def test_whoever_is_unenrolled_while_a_call_is_in_doubt_is_mailed_once(
    release: str, again: list[str], fault: Fault
) -> None:
    """It still runs, or was rolled back after mailing."""
    faults = {1: fault}
    async with site(release, faults, seconds_per_call=0.1) as platform:
        platform.enroll("learner60", C0)
        async with client_of(platform, settle=0.5) as client, anyio.create_task_group() as tasks:
            for names in (["learner60"], again):
                tasks.start_soon(partial(client.bulk_unenroll, names, [C0], email_students=True))
        assert mailed(platform) == {"learner60@example.org": 1}
        assert not platform.is_enrolled("learner60", C0)


@pytest.mark.parametrize("concurrency", [1, 2, 8])
async def test_a_call_in_doubt_does_not_wait_for_those_it_excludes(concurrency: int) -> None:
    names = ["learner60", "learner60@example.org", "learner61@example.org"]
    async with site("2022", {1: Fault.UNDONE_RESET}) as platform:
        platform.enroll("learner60", C0)
        async with client_of(
            platform, settle=0.5, concurrency=concurrency, batch=BatchLimits(identifiers=1)
        ) as client:
            report = await client.bulk_unenroll(names, [C0], email_students=True)
        assert mailed(platform) == {"learner60@example.org": 1}
        assert told(report)["learner60"].outcome is Outcome.UNENROLLED
        assert told(report)["learner60@example.org"].outcome is Outcome.NOT_ENROLLED


@pytest.mark.parametrize("release", ["moocit", "2022", "2026"])
async def test_whoever_is_unenrolled_again_after_a_cancelled_job_is_mailed_once(
    release: str,
) -> None:
    """As a web application does for whoever reloads a page that takes long."""
    async with site(release, seconds_per_pair=0.3) as platform:
        platform.enroll("learner60", C0)
        async with client_of(platform, settle=1.0) as client:
            unenroll = partial(client.bulk_unenroll, ["learner60"], [C0], email_students=True)
            await client.bulk_enroll(["learner50"], [C0])  # the course is known to be good
            before = len(platform.requests)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(unenroll)
                await until(lambda: len(platform.requests) > before)
                tasks.cancel_scope.cancel()
            report = await unenroll()
        assert report.counts == {Outcome.NOT_ENROLLED: 1}
        assert mailed(platform) == {"learner60@example.org": 1}


@pytest.mark.parametrize("release", ["moocit", "2026"])
async def test_whoever_a_resumed_job_unenrolls_while_a_call_is_in_doubt_is_mailed_once(
    release: str, tmp_path: Path
) -> None:
    """The job is stopped while the platform still works on a call, and resumed at once."""
    names = ["learner60", "learner60@example.org"]
    journal, stop = tmp_path / "job.db", anyio.Event()
    settings: dict[str, Any] = {"settle": 3.0, "batch": BatchLimits(identifiers=1)}
    work = [RosterEntry(name, C0, Action.UNENROLL) for name in names]
    async with site(release, {1: Fault.GATEWAY_TIMEOUT_DURING}, linger=1.0) as platform:
        platform.enroll("learner60", C0)
        async with client_of(platform, concurrency=1, **settings) as client:
            async with anyio.create_task_group() as tasks:

                async def stopped() -> None:
                    with pytest.raises(JobStopped):
                        await client.apply(work, email_students=True, journal=journal, stop=stop)

                tasks.start_soon(stopped)
                await until(lambda: len(platform.requests) >= 2)
                stop.set()
        async with client_of(platform, **settings) as client:
            report = await client.apply(work, email_students=True, journal=journal)
        assert report.ok
        assert mailed(platform) == {"learner60@example.org": 1}


async def test_whoever_is_unenrolled_after_a_journal_failed_is_mailed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a disk may be full just when a call is lost."""
    record = Journal.record

    async def record_no_loss(self: Journal, event: Event) -> None:
        if isinstance(event, BatchAnswered):
            raise JournalError("the disk is full")
        await record(self, event)

    monkeypatch.setattr(Journal, "record", record_no_loss)
    async with site("2022", {1: Fault.GATEWAY_TIMEOUT_DURING}) as platform:
        platform.enroll("learner60", C0)
        async with client_of(platform, settle=1.0) as client:
            with pytest.raises(JournalError):
                await client.apply(
                    [RosterEntry("learner60", C0, Action.UNENROLL)],
                    email_students=True,
                    journal=tmp_path / "job.db",
                )
            await client.bulk_unenroll(["learner60"], [C0], email_students=True)
        assert mailed(platform) == {"learner60@example.org": 1}


@pytest.mark.parametrize("release", ["moocit", "2022", "2026"])
@pytest.mark.parametrize(
    "spellings", [("zoe", "Zoë"), ("Zoë", "Zoé"), ("zoë@example.org", "zoe@example.org")]
)
async def test_who_is_named_with_other_accents_is_mailed_once(
    release: str, spellings: tuple[str, str]
) -> None:
    """To MySQL they are one; calls at the same time would each say that they have enrolled it."""
    async with site(release, seconds_per_call=0.05, seconds_per_pair=0.1) as platform:
        platform.add_user("Zoë", "zoe@example.org")
        async with client_of(platform, batch=BatchLimits(identifiers=1)) as client:
            await client.bulk_enroll(["learner50"], [C0])  # the course is known to be good
            report = await client.bulk_enroll(spellings, [C0], email_students="changed")
        assert mailed(platform) == {"zoe@example.org": 1}
        assert sum(one.notified is True for one in report) == 1


@pytest.mark.parametrize("fault", [Fault.RESET_AFTER, Fault.BAD_GATEWAY_AFTER, Fault.STALL])
@pytest.mark.parametrize(("release", "listing"), SITES)
async def test_a_first_call_that_is_lost(
    release: str, listing: dict[str, Any], fault: Fault
) -> None:
    """Whoever it may have changed is not mailed, and told of as such."""
    async with site(release, {1: fault}, **listing) as platform:
        async with client_of(platform, timeout=0.5) as client:
            report = await client.bulk_enroll(EVERYBODY, [C0], email_students="changed")
        assert platform.faults_made == [(1, fault)]
        assert report.ok
        assert {mail.to for mail in platform.outbox} <= set(map(address, NEW))
        assert max(mailed(platform).values(), default=0) <= 1
        unnotified = {entry.identifier for entry in report.notification_unknown}
        assert unnotified | {one.identifier for one in report if one.notified} >= NEW
        assert {one.notified for one in report} <= {True, False}
        assert_account(report, platform, [(who, C0) for who in EVERYBODY])


@pytest.mark.parametrize(
    "fault",
    [
        Fault.RESET_BEFORE,
        Fault.RESET_AFTER,
        Fault.BAD_GATEWAY_AFTER,
        Fault.UNDONE_RESET,
        Fault.SERVER_ERROR,
        Fault.MISSING_RESULTS,
        Fault.DATABASE_ERROR,
        Fault.DATABASE_ERROR_LAST,
        Fault.MAIL_FAILS,
    ],
)
@pytest.mark.parametrize("release", ["moocit", "2020", "2022", "2025", "2026"])
async def test_a_mailing_call_that_goes_wrong(release: str, fault: Fault) -> None:
    """They are enrolled all the same; whether they were mailed nobody knows; nothing goes twice."""
    async with site(release, {2: fault}) as platform:
        sent = Sent()
        async with client_of(platform, on_event=sent) as client:
            report = await client.bulk_enroll(EVERYBODY, [C0], email_students="changed")
        assert platform.faults_made == [(2, fault)]
        assert report.ok
        assert [event.email for event in sent.calls] == [False, True]
        results = told(report)
        assert {results[who].outcome for who in NEW} == {Outcome.ENROLLED, Outcome.ALLOWED}
        assert all(results[who].before for who in NEW)
        unknown = {who for who in NEW if results[who].notified is None}
        assert unknown
        assert {entry.identifier for entry in report.notification_unknown} == unknown
        assert_account(report, platform, [(who, C0) for who in EVERYBODY])


async def test_mail_that_cannot_be_sent_is_no_failure() -> None:
    for release in ("moocit", "2020", "2022", "2025", "2026"):
        async with site(release) as platform:
            platform.add_user("unheard", "unheard@example.org", mail_fails=True)
            async with client_of(platform) as client:
                names = ["learner60", "unheard", "learner61"]
                report = await client.bulk_enroll(names, [C0], email_students="changed")
            assert {one.identifier: (one.outcome, one.notified) for one in report} == {
                "learner60": (Outcome.ENROLLED, True),
                "unheard": (Outcome.ENROLLED, None),
                "learner61": (Outcome.ENROLLED, True),
            }


async def test_bad_courses_and_learners_are_rejected_as_ever() -> None:
    missing = "course-v1:Org+Missing+2026"
    async with site() as platform:
        platform.add_user("poison", "poison@example.org", poisonous=True)
        async with client_of(platform) as client:
            names = ["learner60", "poison", "not an address"]
            report = await client.bulk_enroll(names, [C0, missing], email_students="changed")
        assert [(one.identifier, one.course_id) for one in report if one.outcome.ok] == [
            ("learner60", C0)
        ]
        assert mailed(platform) == {"learner60@example.org": 1}
        assert {one.notified for one in report.failures} == {False}


async def test_a_mailing_call_that_is_refused_is_sent_again() -> None:
    async with site("2020", {2: Fault.THROTTLED, 3: Fault.TOO_LARGE}) as platform:
        async with client_of(platform) as client:
            report = await client.bulk_enroll(
                ["learner60", "learner61"], [C0], email_students="changed"
            )
        assert {one.notified for one in report} == {True}
        assert len(platform.outbox) == 2


async def leave(platform: Platform, *identifiers: str) -> None:
    async with client_of(platform) as other:
        assert (await other.bulk_unenroll(identifiers, [C0])).ok


@pytest.mark.parametrize(("release", "listing"), SITES)
async def test_whoever_leaves_before_a_job_is_resumed_is_not_put_back(
    tmp_path: Path, release: str, listing: dict[str, Any]
) -> None:
    journal = tmp_path / "job.db"
    stop = anyio.Event()

    def on_event(event: Event) -> None:
        if isinstance(event, BatchSettled) and event.changed:
            stop.set()

    async with site(release, **listing) as platform:
        async with client_of(platform, on_event=on_event) as client:
            with pytest.raises(JobStopped):
                await client.apply(roster(), email_students="changed", journal=journal, stop=stop)
        assert not platform.outbox
        with JournalReport(journal) as kept:
            assert kept.pending == len(NEW)
        await leave(platform, "learner60", "learner80@example.org")
        async with client_of(platform) as client:
            report = await client.apply(roster(), email_students="changed", journal=journal)
        left = {"learner60", "learner80@example.org"}
        assert mailed(platform) == Counter(map(address, NEW - left))
        assert not any(platform.is_enrolled(who, C0) for who in left)
        assert {told(report)[who].notified for who in left} == {False}
        assert {entry.identifier for entry in report.notification_unknown} == left
        assert {one.identifier for one in report if one.notified} == NEW - left
        with JournalReport(journal) as kept:
            assert {one.identifier for one in kept.unnotified()} == left
            assert len(list(kept.results())) == len(EVERYBODY)


async def test_long_after_the_first_call_it_is_looked_who_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While another call times out, somebody leaves; here that is long."""
    monkeypatch.setattr(delivery, "FRESH", 0.2)
    async with site(faults={2: Fault.STALL}) as platform, anyio.create_task_group() as leaving:

        def on_event(event: Event) -> None:
            if isinstance(event, BatchSettled) and event.changed:
                leaving.start_soon(leave, platform, "learner60")

        limits = BatchLimits(identifiers=100)
        async with client_of(platform, batch=limits, timeout=0.5, on_event=on_event) as client:
            report = await client.bulk_enroll(EVERYBODY, [C0], email_students="changed")
        first = NEW.intersection(EVERYBODY[:100])
        assert {one.identifier for one in report if one.notified} & first == first - {"learner60"}
        assert mailed(platform)["learner60@example.org"] == 0
        assert not platform.is_enrolled("learner60", C0)
        assert max(mailed(platform).values()) == 1


async def test_stopped_between_both_calls_they_are_enrolled_and_not_notified() -> None:
    stop = anyio.Event()

    def on_event(event: Event) -> None:
        if isinstance(event, BatchSettled) and event.changed:
            stop.set()

    async with site() as platform, client_of(platform, on_event=on_event) as client:
        with pytest.raises(JobStopped) as stopped:
            await client.apply(roster(), email_students="changed", stop=stop)
        report = stopped.value.report
        assert report
        assert not platform.outbox
        assert len(report.results) == len(EVERYBODY)
        assert {one.notified for one in report} == {False}
        assert {entry.identifier for entry in report.notification_unknown} == NEW


@pytest.mark.parametrize("value", ["Changed", "true", 1, None, ["changed"]])
async def test_other_values_are_refused(value: Any) -> None:
    async with site() as platform, client_of(platform) as client:
        with pytest.raises(ConfigurationError, match='expected True, False or "changed"'):
            await client.bulk_enroll(["learner1"], [C0], email_students=value)
        assert not platform.requests


async def test_enrolling_and_unenrolling_in_one_roster() -> None:
    async with site() as platform, client_of(platform) as client:
        entries = [
            *roster(LEARNERS[:60]),
            *(RosterEntry(who, C0, Action.UNENROLL) for who in LEARNERS[60:]),
        ]
        report = await client.apply(entries, email_students="changed")
        assert report.ok
        new, gone = LEARNERS[50:60], [who for who in LEARNERS[60:] if who in ENROLLED]
        assert mailed(platform) == Counter(map(address, [*new, *gone]))
        assert report.to_dict()["email_students"] == "changed"
