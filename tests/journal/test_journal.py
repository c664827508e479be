"""Jobs with a journal: gone on with, guarded, and stopped before they lose anything."""

import asyncio
import sqlite3
import time
from collections.abc import Iterable
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import evolve

from async_enroll import (
    Action,
    AuthenticationError,
    BatchLimits,
    ConfigurationError,
    EnrollError,
    EnrollmentClient,
    EnrollmentResult,
    JobStopped,
    JournalError,
    JournalReport,
    Outcome,
    RequestWindow,
    RosterEntry,
)
from async_enroll.events import BatchAnswered, BatchSent, Event, JobDone
from async_enroll.journal import creation
from async_enroll.journal.database import VERSION, Database
from async_enroll.journal.store import Record, Store
from async_enroll.sandbox import Fault, Faults, Platform
from tests.account import assert_account

C0, C1 = "course-v1:Org+C0+2026", "course-v1:Org+C1+2026"
LEARNERS = [f"learner{number}@example.org" for number in range(40)]
ROSTER = [RosterEntry(who, course_id) for who in LEARNERS for course_id in (C0, C1)]
PAIRS = [(entry.identifier, entry.course_id) for entry in ROSTER]


def site(faults: Faults | None = None) -> Platform:
    platform = Platform(window=None, faults=faults)
    for course_id in (C0, C1):
        platform.add_course(course_id, cohorts=["red, or not", "red"])
    for number in range(40):
        platform.add_user(f"learner{number}", f"learner{number}@example.org")
    return platform


def client_of(platform: Platform, token: str | None = None) -> EnrollmentClient:
    limits = BatchLimits(identifiers=4, pairs=8)
    return EnrollmentClient(
        platform.url,
        token or platform.token,
        window=RequestWindow(1000, 0.5),
        batch=limits,
        concurrency=2,
        timeout=1,
        settle=0.3,
    )


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "job.db"


async def begun(client: EnrollmentClient, journal: Path, pairs: int) -> list[EnrollmentResult]:
    """The first results of a job that is stopped after so many pairs."""
    stop = anyio.Event()
    results = []
    try:
        async for result in client.stream(ROSTER, journal=journal, stop=stop):
            results.append(result)
            if len(results) == pairs:
                stop.set()
    except JobStopped:
        return results
    pytest.fail("the job was not stopped")


async def test_a_job_goes_on_where_it_was_stopped(journal: Path) -> None:
    async with site() as platform:
        async with client_of(platform) as client:
            first = await begun(client, journal, 20)
        assert 20 <= len(first) < len(PAIRS)
        assert all(result.outcome is Outcome.ENROLLED for result in first)
        async with client_of(platform) as client:
            rest = [result async for result in client.resume(journal)]
        told = [(result.identifier, result.course_id) for result in first + rest]
        assert sorted(told) == sorted(PAIRS)
        assert {result.outcome for result in rest} == {Outcome.ENROLLED}


async def test_nothing_is_written_for_the_answer_to_a_call_that_succeeded(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It shows in the results, which are written next."""
    written: list[Event] = []
    write = Store.write

    def noted(store: Store, records: Iterable[Record]) -> None:
        records = list(records)
        written.extend(record.event for record in records)
        write(store, records)

    monkeypatch.setattr(Store, "write", noted)
    async with (
        site(Faults.schedule({3: Fault.BAD_GATEWAY_AFTER})) as platform,
        client_of(platform) as client,
    ):
        await client.apply(ROSTER, journal=journal)
    answered = [event for event in written if isinstance(event, BatchAnswered)]
    assert answered
    assert all(event.failure for event in answered)


async def test_applying_the_same_roster_goes_on_and_reports_all(journal: Path) -> None:
    async with site() as platform:
        async with client_of(platform) as client:
            await begun(client, journal, 20)
            report = await client.apply(ROSTER, journal=journal)
        assert_account(report, platform, PAIRS)
        assert set(report.counts) == {Outcome.ENROLLED}


async def test_a_finished_journal_sends_nothing_and_its_report_says_so(journal: Path) -> None:
    async with site() as platform, client_of(platform) as client:
        since = datetime.now(UTC)
        first = await client.apply([*ROSTER, RosterEntry("a b", C0)], journal=journal)
        until = datetime.now(UTC)
        calls = len(platform.requests)
        again = await client.apply([*ROSTER, RosterEntry("a b", C0)], journal=journal)
        assert [result async for result in client.resume(journal)] == []
        assert len(platform.requests) == calls
        assert sorted(again.results, key=repr) == sorted(first.results, key=repr)
        assert len(first.results) == len(PAIRS) + 1
        assert first.finished_earlier is None
        assert again.finished_earlier
        assert since <= again.finished_earlier <= until
        told = f"this job finished on {again.finished_earlier:%Y-%m-%d %H:%M} UTC; nothing was sent"
        assert str(again) == f"{told}\n{first}"


async def test_a_job_that_could_send_nothing_is_finished_too(journal: Path) -> None:
    async with site() as platform, client_of(platform) as client:
        first = await client.apply([RosterEntry("a b", C0)], journal=journal)
        again = await client.apply([RosterEntry("a b", C0)], journal=journal)
    assert first.finished_earlier is None
    assert again.finished_earlier
    assert again.results == first.results
    assert platform.requests == []


async def test_what_stops_a_job_is_gone_on_with(journal: Path) -> None:
    """A bad token rejects nobody for good."""
    async with site() as platform:
        async with client_of(platform, "wrong") as client:
            with pytest.raises(AuthenticationError) as raised:
                await client.apply(ROSTER, journal=journal, preflight=False)
        assert raised.value.report
        assert not raised.value.report.results
        async with client_of(platform) as client:
            report = await client.apply(ROSTER, journal=journal)
        assert_account(report, platform, PAIRS)
        assert report.ok


@pytest.mark.parametrize("fault", Fault)
async def test_a_job_cut_off_in_the_middle_of_a_fault(journal: Path, fault: Fault) -> None:
    """Cancelled while a call with mail goes wrong, and gone on with: nobody is mailed twice."""
    async with site(Faults.schedule({2: fault, 3: fault})) as platform:
        async with client_of(platform) as client:
            with anyio.move_on_after(0.25), suppress(EnrollError):
                await client.apply(ROSTER, journal=journal, email_students=True)
        async with client_of(platform) as client:
            for _ in range(2):
                with suppress(EnrollError):  # some stop the job, as a login at a client's start
                    await client.apply(ROSTER, journal=journal, email_students=True)
            report = await client.apply(ROSTER, journal=journal, email_students=True)
        assert_account(report, platform, PAIRS)
        assert report.ok


async def test_places_and_cohorts_come_back(journal: Path) -> None:
    roster = [
        RosterEntry("learner0", C0, cohort="red"),
        RosterEntry("learner1", C0),
        RosterEntry("learner2", C1, Action.UNENROLL),
        RosterEntry("learner3", C1, cohort="unknown"),
    ]
    async with site() as platform, client_of(platform) as client:
        platform.enroll("learner2", C1)
        stop = anyio.Event()
        stop.set()
        with pytest.raises(JobStopped):
            await client.apply(roster, journal=journal, stop=stop)
        assert not platform.requests
        report = await client.apply(roster, journal=journal)
        assert platform.cohort_of("learner0", C0) == "red"
        outcomes = {result.identifier: result.outcome for result in report.results}
        assert outcomes == {
            "learner0": Outcome.ENROLLED,
            "learner1": Outcome.ENROLLED,
            "learner2": Outcome.UNENROLLED,
            "learner3": Outcome.REJECTED,
        }


async def test_another_roster_or_option_is_refused(journal: Path) -> None:
    async with site() as platform, client_of(platform) as client:
        await client.apply(ROSTER, journal=journal)
        with pytest.raises(ConfigurationError, match="belongs to another job, of entries on http"):
            await client.apply(ROSTER[1:], journal=journal)
        fewer = f"the roster had {len(ROSTER)} enrollments, and has {len(ROSTER) - 1}; use the"
        with pytest.raises(ConfigurationError, match=fewer):
            await client.apply(ROSTER[1:], journal=journal)
        changed = [evolve(ROSTER[0], identifier="other"), *ROSTER[1:]]
        with pytest.raises(ConfigurationError, match=": the roster has changed; use the same"):
            await client.apply(changed, journal=journal)
        with pytest.raises(ConfigurationError, match=": e-mail to learners was off, and is on; us"):
            await client.apply(ROSTER, journal=journal, email_students=True)
        with pytest.raises(ConfigurationError, match=": it was no sync, and is one; use the same"):
            await client.sync(ROSTER, journal=journal)
        with pytest.raises(ConfigurationError, match="registration was on, and is off; the reason"):
            await client.apply(ROSTER, journal=journal, auto_enroll=False, reason="why")
        async with site() as moved, client_of(moved) as stranger:
            with pytest.raises(ConfigurationError, match=f"the site was {platform.url}/?, and is "):
                await stranger.apply(ROSTER, journal=journal)
        async with site() as other, client_of(other) as stranger:
            with pytest.raises(ConfigurationError, match="the journal is of http"):
                [result async for result in stranger.resume(journal)]


async def test_one_process_at_a_time(journal: Path) -> None:
    async with site() as platform, client_of(platform) as client:
        async with aclosing(client.stream(ROSTER, journal=journal)) as results:
            await anext(results)
            with pytest.raises(ConfigurationError, match="another process is at work on it"):
                [result async for result in client.resume(journal)]
        [_ async for _ in client.resume(journal)]


async def test_files_are_private(journal: Path) -> None:
    async with site() as platform, client_of(platform) as client:
        async with aclosing(client.stream(ROSTER, journal=journal)) as results:
            await anext(results)
            modes = {path.name: path.stat().st_mode & 0o777 for path in journal.parent.iterdir()}
        assert set(modes) >= {"job.db", "job.db-journal"}
        assert set(modes.values()) == {0o600}


async def test_half_a_character_is_kept_as_it_is_reported(journal: Path) -> None:
    """Python has such texts of names that are not in its encoding; no other software takes them."""
    roster = [
        RosterEntry("learner0", C0),
        RosterEntry("jane\ud800", C0),
        RosterEntry("learner1", "course-v1:Org+\udfff+2026"),
        RosterEntry("learner2", C0, cohort="red\ud800"),
    ]
    async with site() as platform, client_of(platform) as client:
        without = await client.apply(roster)
        kept = await client.apply(roster, journal=journal)
        again = await client.apply(roster, journal=journal)
    unsent = {Outcome.INVALID_IDENTIFIER: 1, Outcome.REJECTED: 2}
    assert without.counts == {**unsent, Outcome.ENROLLED: 1}
    assert kept.counts == again.counts == {**unsent, Outcome.ALREADY_ENROLLED: 1}
    with JournalReport(journal) as report:
        assert sorted(report.results(), key=repr) == sorted(kept.results, key=repr)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("job.db.lock", r"cannot lock .*job\.db\.lock: Too many levels of symbolic links"),
        ("job.db-journal", r"journal .*job\.db: unable to open database file"),
        (".job.db.new", None),  # replaced
    ],
)
async def test_a_link_that_somebody_has_planted_is_not_followed(
    journal: Path, name: str, words: str | None
) -> None:
    """Who may write there as well could have us empty another file of ours."""
    other = anyio.Path(journal.with_name("other"))
    await other.write_text("precious")
    await anyio.Path(journal.with_name(name)).symlink_to(other)
    async with site() as platform, client_of(platform) as client:
        if words:
            with pytest.raises(ConfigurationError, match=words):
                await client.apply(ROSTER, journal=journal)
            assert not platform.requests
        else:
            assert (await client.apply(ROSTER, journal=journal)).ok
    assert await other.read_text() == "precious"


async def test_no_token_is_in_it(journal: Path) -> None:
    async with site() as platform, client_of(platform) as client:
        await client.apply(ROSTER, journal=journal)
        for path in journal.parent.iterdir():
            assert platform.token.encode() not in path.read_bytes()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "there is no such file"),
        (b"", "a database, but no journal"),
        (b"identifier,course_id\n" * 100, "is not the journal of a job"),
    ],
)
async def test_what_is_no_journal(journal: Path, content: bytes | None, words: str) -> None:
    if content is not None:
        await anyio.Path(journal).write_bytes(content)
    async with site() as platform, client_of(platform) as client:
        with pytest.raises(ConfigurationError, match=words):
            [result async for result in client.resume(journal)]
    assert content is None or await anyio.Path(journal).read_bytes() == content


async def test_a_newer_format_is_left_alone(journal: Path) -> None:
    async with site() as platform, client_of(platform) as client:
        await client.apply(ROSTER, journal=journal)
        with sqlite3.connect(journal) as database:
            database.execute(f"PRAGMA user_version = {VERSION + 1}")
        database.close()
        words = f"found version {VERSION + 1} of its format, expected {VERSION}"
        with pytest.raises(ConfigurationError, match=words):
            await client.apply(ROSTER, journal=journal)


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No journal can grow by more than a few pages once it is open."""
    opened = Database.__init__

    def open_on_full_disk(self: Database, path: Path, *, writable: bool) -> None:
        opened(self, path, writable=writable)
        ((pages,),) = self.rows("PRAGMA page_count")
        self.rows(f"PRAGMA max_page_count = {pages + 1}")

    monkeypatch.setattr(Database, "__init__", open_on_full_disk)


async def test_a_full_disk_stops_the_job_before_it_sends_more(
    journal: Path, full_disk: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Event] = []
    everybody = [f"{'x' * 240}{number}@example.org" for number in range(500)]
    roster = [RosterEntry(who, C0) for who in everybody]
    async with site() as platform:
        async with EnrollmentClient(
            platform.url,
            platform.token,
            batch=BatchLimits(identifiers=4),
            on_event=sent.append,
            settle=0.2,
        ) as client:
            with pytest.raises(JournalError, match="database or disk is full"):
                await client.apply(roster, journal=journal, preflight=False)
        assert isinstance(sent[-1], JobDone)
        recorded = [event for event in sent if isinstance(event, BatchSent)]
        assert len(platform.requests) - 1 == len(recorded) < 100  # but for the preflight
        monkeypatch.undo()  # somebody has made room
        async with client_of(platform) as client:
            report = await client.apply(roster, journal=journal)
        assert_account(report, platform, [(who, C0) for who in everybody])
        assert report.ok


async def test_a_journal_that_cannot_be_made(tmp_path: Path) -> None:
    async with site() as platform, client_of(platform) as client:
        with pytest.raises(ConfigurationError, match=r"there is no .*nowhere"):
            await client.apply(ROSTER, journal=tmp_path / "nowhere" / "job.db")
        assert not platform.requests


async def test_writes_are_grouped(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    write = Store.write

    def counted(self: Store, records: object) -> None:
        written.append(len(list(records)))  # type: ignore[call-overload]  # a list
        write(self, records)  # type: ignore[arg-type]  # as above

    monkeypatch.setattr(Store, "write", counted)
    async with site() as platform:
        async with EnrollmentClient(
            platform.url, platform.token, batch=BatchLimits(identifiers=1), concurrency=8
        ) as client:
            await client.apply(ROSTER, journal=journal)
    assert sum(written) / len(written) > 1.5


@pytest.mark.parametrize("moment", [0.02, 0.1])
async def test_cancelled_while_it_is_made_it_can_be_made_again(
    journal: Path, monkeypatch: pytest.MonkeyPatch, moment: float
) -> None:
    fill = creation._fill

    def slowly(*arguments: Any) -> None:
        fill(*arguments)
        time.sleep(0.2)  # as a large roster takes

    monkeypatch.setattr(creation, "_fill", slowly)
    async with site() as platform, client_of(platform) as client:
        job = asyncio.create_task(client.apply(ROSTER, journal=journal))
        await asyncio.sleep(moment)
        job.cancel()  # by asyncio's own means, as a web server does
        with pytest.raises(asyncio.CancelledError):
            await job
        report = await client.apply(ROSTER, journal=journal)
        assert_account(report, platform, PAIRS)


async def test_cancelled_while_an_answer_is_kept_its_pairs_are_in_the_report(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Store.write

    def slowly(self: Store, records: Any) -> None:
        time.sleep(0.1)
        write(self, records)

    def cancel(event: Event) -> None:
        if isinstance(event, BatchAnswered):
            asyncio.get_running_loop().call_later(0.05, job.cancel)

    monkeypatch.setattr(Store, "write", slowly)
    async with (
        site() as platform,
        EnrollmentClient(platform.url, platform.token, on_event=cancel) as client,
    ):
        roster = [RosterEntry(who, C0) for who in LEARNERS]
        job = asyncio.create_task(client.apply(roster, journal=journal))
        with pytest.raises(asyncio.CancelledError) as cancelled:
            await job
        report = cancelled.value.report  # type: ignore[attr-defined]  # documented
        assert_account(report, platform, [(who, C0) for who in LEARNERS])
