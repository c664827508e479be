"""A report never says more than is known, in the corners where it is easily said."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from async_enroll import (
    EnrollmentClient,
    JobStopped,
    JournalError,
    Outcome,
    RosterEntry,
)
from async_enroll.delivery.attempt import MOST_ATTEMPTS
from async_enroll.errors import AuthenticationError
from async_enroll.events import BatchAnswered, BatchSent
from async_enroll.journal.store import Record, Store
from async_enroll.sandbox import Fault, Faults, Platform
from tests.delivery.test_delivery import Renewable
from tests.servers import answer, talking, whole_request
from tests.waiting import until

C0, C1 = COURSES = [f"course-v1:Org+C{number}+2026" for number in range(2)]
WELL = answer("200 OK", b'{"courses": {}}')
NO_LISTING = answer("404 Not Found", b"<title>Not Found</title>", kind="text/html")
FAILED = answer("500 Server Error", b"<title>Server Error</title>", kind="text/html")
REFUSED = answer("400 Bad Request", b'{"identifiers": ["no"]}')
PAGE = b"<title>Denied</title>"
TURNED_AWAY = answer("403 Forbidden", PAGE, kind="text/html")
IN_PLACE = answer("200 OK", PAGE, kind="text/html")
LOST = b""


class Script:
    """What a site answers to preflights and to other calls, in turn; in the end, as it should."""

    def __init__(self, calls: Iterable[bytes], preflights: Iterable[bytes] = ()) -> None:
        self.sent: list[dict[str, Any]] = []
        """The bodies of all bulk calls that carried learners."""
        self.preflights = 0
        self._calls, self._preflights = iter(calls), iter(preflights)

    def says(self, head: bytes, body: bytes) -> bytes:
        if head.startswith(b"GET"):
            return NO_LISTING
        if b"preflight@" in body:
            self.preflights += 1
            return next(self._preflights, WELL)
        call = msgspec.json.decode(body)
        self.sent.append(call)
        return next(self._calls, enrolled(call["identifiers"], call["courses"]))


def enrolled(identifiers: str, courses: str) -> bytes:
    state = {"user": True, "enrollment": True, "allowed": False, "auto_enroll": False}
    results = [
        {"identifier": who, "before": {**state, "enrollment": False}, "after": state}
        for who in identifiers.split(",")
    ]
    told = {course_id: {"results": results} for course_id in courses.split(",")}
    return answer("200 OK", msgspec.json.encode({"courses": told}))


@asynccontextmanager
async def client_of(
    script: Script, auth: Any = "token", *, settle: float = 0.05
) -> AsyncIterator[EnrollmentClient]:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while said := script.says(*await whole_request(reader)):
            writer.write(said)
            await writer.drain()

    async with talking(conversation) as url:
        async with EnrollmentClient(url, auth, settle=settle, patience=3) as client:
            yield client


@pytest.mark.parametrize("release", ["moocit", "2026"])
async def test_whoever_waits_for_registration_is_mailed_when_withdrawn(release: str) -> None:
    platform = Platform(release=release, window=None)
    platform.add_course(C0)
    platform.allow("new@example.org", C0)
    async with platform, EnrollmentClient(platform.url, platform.token) as client:
        report = await client.bulk_unenroll(["new@example.org"], [C0], email_students=True)
        assert [(one.outcome, one.notified) for one in report] == [(Outcome.WITHDRAWN, True)]
        assert len(platform.outbox) == 1


class Failing:
    """A source of tokens that fails from the n-th request on."""

    def __init__(self, left: int) -> None:
        self._left = left

    async def authorization(self) -> str:
        self._left -= 1
        if self._left < 0:
            raise RuntimeError
        return "Bearer token"

    async def renew(self) -> bool:
        return False


async def test_a_page_in_place_of_an_answer_is_not_forgotten_when_the_job_stops() -> None:
    """Whether harmless calls fare so, too, cannot be asked any more; the call may be done."""
    async with client_of(Script([IN_PLACE]), Failing(2)) as client:
        with pytest.raises(AuthenticationError) as stopped:
            await client.bulk_enroll(["jane"], [C0], email_students=True)
    report = stopped.value.report
    assert report
    assert [(one.outcome, one.notified) for one in report] == [(Outcome.UNCONFIRMED, None)]


async def test_answers_that_never_tell_of_a_pair_hide_no_other() -> None:
    error = [{"identifier": "jane", "error": True, "success": False}]
    last = answer("200 OK", msgspec.json.encode({"courses": {C0: {"results": error}}}))
    async with client_of(Script([*[WELL] * (MOST_ATTEMPTS - 1), last])) as client:
        report = await client.bulk_enroll(["jane", "joe"], [C0])
    assert {one.identifier: one.outcome for one in report} == {
        "jane": Outcome.ENROLLED,
        "joe": Outcome.UNCONFIRMED,
    }


async def test_a_course_that_a_call_has_found_missing_is_asked_about_by_the_next_job() -> None:
    missing = answer("404 Not Found", msgspec.json.encode({"detail": f"Course not found: {C1}."}))
    script = Script([missing], [WELL, missing])
    async with client_of(script) as client:
        first = await client.bulk_enroll(["jane"], COURSES, email_students=True)
        second = await client.bulk_enroll(["jane"], [C1])
    assert {one.course_id: one.outcome for one in first} == {
        C0: Outcome.ENROLLED,
        C1: Outcome.REJECTED,
    }
    assert [one.outcome for one in second] == [Outcome.REJECTED]
    assert [call["courses"] for call in script.sent] == [",".join(COURSES), C0]


@pytest.mark.parametrize(
    ("calls", "outcome"),
    [([FAILED], Outcome.REJECTED), ([LOST, FAILED], Outcome.UNCONFIRMED)],
    ids=["undone", "lost"],
)
async def test_a_course_that_fails_only_later_on(calls: list[bytes], outcome: Outcome) -> None:
    """The calls before that may have mailed, or done, what was asked."""
    async with client_of(Script(calls, [WELL, *[FAILED] * 3])) as client:
        report = await client.bulk_enroll(["jane"], [C0], email_students=True)
    assert [(one.outcome, one.notified) for one in report] == [(outcome, None)]


async def test_a_learner_who_fails_in_one_way_here_and_in_another_there() -> None:
    async with client_of(Script([REFUSED, REFUSED, FAILED])) as client:
        report = await client.bulk_enroll(["jane"], COURSES, email_students=True)
    assert report.counts == {Outcome.REJECTED: 2}
    assert {one.course_id: one.notified for one in report} == {C0: False, C1: None}


async def test_after_many_culprits_in_a_row_a_whole_call_is_rejected_and_nobody_blamed() -> None:
    class Poisoned(Script):
        def says(self, head: bytes, body: bytes) -> bytes:
            return FAILED if b"poison" in body else super().says(head, body)

    poison, good = [f"poison{number}" for number in range(9)], ["jane", "joe"]
    async with client_of(Poisoned([])) as client:
        report = await client.bulk_enroll([*poison, *good], [C0])
    words = {one.identifier: one.error for one in report.failures}
    assert len(words) == 11
    assert "fails on this learner" in (words["poison0"] or "")
    assert "fails on a learner of this call" in (words["jane"] or "")


async def test_a_firewall_that_shuts_everybody_out_for_a_call_it_rejects() -> None:
    """After each such call, the next one fares likewise, and others after it do not."""

    class Firewall(Script):
        shut = False

        def says(self, head: bytes, body: bytes) -> bytes:
            said = super().says(head, body)
            rejected, self.shut = self.shut, b"joe" in body
            return TURNED_AWAY if rejected or self.shut else said

    script = Firewall([])
    with anyio.fail_after(30):
        async with client_of(script) as client:
            report = await client.bulk_enroll(["jane", "joe"], [C0], email_students=True)
    told = {one.identifier: (one.outcome, one.notified) for one in report}
    assert told == {"jane": (Outcome.ENROLLED, True), "joe": (Outcome.REJECTED, False)}
    assert len(script.sent) < 20


async def test_a_job_that_waits_for_what_another_asks_can_be_stopped() -> None:
    platform = Platform(window=None, faults=Faults.schedule({0: Fault.STALL}))
    platform.add_course(C0)
    async with platform, EnrollmentClient(platform.url, platform.token, timeout=30) as client:
        async with anyio.create_task_group() as jobs:
            jobs.start_soon(client.bulk_enroll, ["jane@example.org"], [C0])
            await until(lambda: platform.faults_made)
            stop = anyio.Event()
            jobs.start_soon(_soon, stop)
            with anyio.fail_after(10), pytest.raises(JobStopped) as stopped:
                await client.apply([RosterEntry("joe@example.org", C0)], stop=stop)
            jobs.cancel_scope.cancel()
    assert stopped.value.report
    assert stopped.value.report.counts == {Outcome.REJECTED: 1}


async def _soon(stop: anyio.Event) -> None:
    await anyio.sleep(0.2)
    stop.set()


async def test_a_journal_that_breaks_before_a_call_is_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Store.write

    def breaking(store: Store, records: Iterable[Record]) -> None:
        records = list(records)
        if any(isinstance(record.event, BatchAnswered) for record in records):
            raise JournalError("the disk is full")
        write(store, records)

    monkeypatch.setattr(Store, "write", breaking)
    platform = Platform(window=None, seconds_per_call=0.2)
    platform.add_course(C0)
    platform.add_user("poison", "poison@example.org", poisonous=True)
    roster = [RosterEntry(who, C0) for who in ("jane@example.org", "poison")]
    async with platform, EnrollmentClient(platform.url, platform.token) as client:
        with pytest.raises(JournalError, match="the disk is full"):
            await client.apply(roster, journal=tmp_path / "job.db")


async def test_a_job_that_stops_while_it_records_a_call_still_mails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, stop, write = asyncio.get_running_loop(), anyio.Event(), Store.write

    def slowly(store: Store, records: Iterable[Record]) -> None:
        records = list(records)
        if any(isinstance(record.event, BatchSent) for record in records):
            loop.call_soon_threadsafe(stop.set)
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0.1), loop).result()
        write(store, records)

    monkeypatch.setattr(Store, "write", slowly)
    platform = Platform(window=None)
    platform.add_course(C0)
    journal = tmp_path / "job.db"
    async with platform, EnrollmentClient(platform.url, Renewable(platform), settle=0.1) as client:
        with pytest.raises(JobStopped):
            await client.apply(
                [RosterEntry("jane@example.org", C0)],
                email_students=True,
                journal=journal,
                stop=stop,
            )
        report = await client.apply(
            [RosterEntry("jane@example.org", C0)], email_students=True, journal=journal
        )
    assert [(one.outcome, one.notified) for one in report] == [(Outcome.ALLOWED, True)]
    assert Counter(mail.to for mail in platform.outbox) == {"jane@example.org": 1}
