"""The journal's file: copied at any moment it is whole, or refused, and never a shorter history."""

import os
import random
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from async_enroll import (
    BatchLimits,
    ConfigurationError,
    EnrollmentClient,
    JournalError,
    JournalReport,
    Outcome,
    RosterEntry,
)
from async_enroll.events import BatchAnswered, BatchSent, BatchSettled, Event, JobStarted
from async_enroll.http.failures import FailureKind
from async_enroll.journal import Description, store
from async_enroll.journal.creation import create
from async_enroll.journal.database import VERSION
from async_enroll.journal.store import Record, Store
from async_enroll.models import Action, Batch
from async_enroll.results import Block, ResultDetail
from async_enroll.sandbox import Platform
from tests.account import assert_account

PAGE_SIZE = 4096
COURSE = "course-v1:Org+C0+2026"
JOB = Description("https://example.org", "entries", 6000, True, True, "digest", "2026")
BATCHES = [
    Batch(Action.ENROLL, (COURSE,), tuple(f"{'n' * (one % 30)}{one}.{n}@x.org" for n in range(150)))
    for one in range(1, 41)
]


def records(numbers: range) -> list[list[Record]]:
    """What a job has to keep, in the groups that it is written in: calls, failures, results."""
    chance = random.Random(1)
    call = 0
    groups: list[list[Record]] = [[Record(JobStarted(job=1, pairs=6000, done=0))]]
    for number in numbers:
        whole = BATCHES[number - 1]
        half = Batch(whole.action, whole.courses, whole.identifiers[: chance.randrange(1, 150)])
        events: list[Event] = []
        for batch in (whole, half):
            call += 1
            attempt = 1
            events.append(
                BatchSent(
                    job=1, planned=number, call=call, batch=batch, attempt=attempt, email=True
                )
            )
            if chance.random() < 0.5:
                events.append(
                    BatchAnswered(
                        job=1,
                        planned=number,
                        call=call,
                        batch=batch,
                        seconds=1.0,
                        failure=FailureKind.UNDONE,
                    )
                )
        details = [
            ResultDetail(Outcome.ENROLLED, attempts=n % 7) for n in range(len(half.identifiers))
        ]
        block = Block(COURSE, whole.action, list(half.identifiers), details)
        events.append(BatchSettled(job=1, planned=number, blocks=(block,)))
        for event in events:
            if chance.random() < 0.6:
                groups.append([])
            groups[-1].append(Record(event, whole))
    return groups


def history(path: Path) -> object:
    """All that a job would know of what was sent and what came back."""
    with closing(Store(path, writable=True)) as opened:
        return [
            opened.calls(),
            opened.unfinished(0),
            list(opened.settled()),
            [run.started for run in opened.runs()],
        ]


def refusal(use: Callable[[Path], object], path: Path) -> str | None:
    """How a file is refused, in words; None where it is used."""
    try:
        use(path)
    except (ConfigurationError, JournalError) as error:
        return str(error)
    return None


@contextmanager
def in_the_middle_of_a_commit(opened: Store, groups: list[list[Record]]) -> Iterator[None]:
    """The body finds the files as a writer leaves them that is killed; it is not done then."""
    # With next to no memory, pages are written long before the transaction ends.
    opened._database.rows("PRAGMA cache_size = 1")
    with suppress(KeyboardInterrupt), opened._database.transaction():
        for group in groups:
            for record in group:
                opened._write(record)
        yield
        raise KeyboardInterrupt


def pages(data: bytes) -> list[bytes]:
    return [data[at : at + PAGE_SIZE] for at in range(0, len(data), PAGE_SIZE)]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "job.db"
    create(path, JOB, BATCHES)
    return path


def test_torn_in_any_transaction_it_is_refused(journal: Path, tmp_path: Path) -> None:
    """Some pages are of before a transaction, others of after it, and no `-journal` mends that."""
    chance = random.Random(2)
    torn = tmp_path / "torn.db"
    refused = told = 0
    found: list[object] = []
    with closing(Store(journal, writable=True)) as opened:
        before, known_before = journal.read_bytes(), history_of_copy(journal, torn)
        for group in records(range(1, 41)):
            opened.write(group)
            after, known_after = journal.read_bytes(), history_of_copy(journal, torn)
            assert known_after != known_before
            old, new = pages(before), pages(after)
            changed = [n for n, page in enumerate(new) if n >= len(old) or page != old[n]]
            # A writer that is killed has written the first of them; power loss may leave any.
            mixed = [set(changed[:n]) for n in range(1, len(changed))]
            mixed += [
                {n for n in changed if chance.random() < share} for share in (0.2, 0.5, 0.8) * 2
            ]
            for written in mixed:
                count = max(len(old), *(n + 1 for n in written), 1)
                torn.write_bytes(
                    b"".join(
                        new[n] if n in written else old[n] if n < len(old) else bytes(PAGE_SIZE)
                        for n in range(count)
                    )
                )
                if words := refusal(lambda path: found.append(history(path)), torn):
                    assert words.startswith(f"journal {torn}: damaged, or not all of it is here")
                    refused += 1
                else:
                    assert found.pop() in (known_before, known_after)
                    told += 1
            before, known_before = after, known_after
    assert refused > 200
    assert told > 0


def history_of_copy(journal: Path, copy: Path) -> object:
    shutil.copy(journal, copy)
    return history(copy)


@pytest.mark.parametrize("with_journal", [True, False])
def test_killed_in_the_middle_of_a_commit(
    journal: Path, tmp_path: Path, with_journal: bool
) -> None:
    """With the `-journal` it is as before the transaction; alone it is refused."""
    groups = records(range(1, 41))
    other = tmp_path / "other" / "copy.db"
    other.parent.mkdir()
    with closing(Store(journal, writable=True)) as opened:
        for group in groups[:5]:
            opened.write(group)
        before = history_of_copy(journal, tmp_path / "before.db")
        with in_the_middle_of_a_commit(opened, groups[5:]):
            shutil.copy(journal, other)
            if with_journal:
                shutil.copy(f"{journal}-journal", f"{other}-journal")
    if with_journal:
        with JournalReport(other) as report:  # mends it as well
            assert report.pending
        assert history(other) == before
    else:
        with pytest.raises(ConfigurationError, match="damaged, or not all of it is here"):
            JournalReport(other)
        with pytest.raises(ConfigurationError, match="damaged, or not all of it is here"):
            Store(other, writable=True)
    assert history(journal) == before


async def test_copied_at_any_moment_of_a_job(tmp_path: Path) -> None:
    """The file alone, as by `cp` or a backup, while a job is at work on it."""
    journal = tmp_path / "job.db"
    copies: list[tuple[Path, int]] = []
    sent = 0

    def copy(event: Event) -> None:
        nonlocal sent
        if isinstance(event, BatchSent):
            sent += 1
        copies.append((tmp_path / f"copy{len(copies)}.db", sent))
        shutil.copy(journal, copies[-1][0])

    everybody = [f"learner{number}@example.org" for number in range(200)]
    async with Platform(window=None) as platform:
        platform.add_course(COURSE)
        async with EnrollmentClient(
            platform.url, platform.token, batch=BatchLimits(identifiers=2), on_event=copy
        ) as client:
            roster = [RosterEntry(who, COURSE) for who in everybody]
            report = await client.apply(roster, journal=journal, email_students=True)
        assert_account(report, platform, [(who, COURSE) for who in everybody])
    assert sent >= 100
    usable = 0
    for path, known in copies:
        if words := refusal(history, path):
            assert "damaged, or not all of it is here" in words
            continue
        with closing(Store(path, writable=True)) as opened:
            assert opened.calls() >= known
        usable += 1
    assert usable > len(copies) / 10


def test_one_file_is_left(journal: Path) -> None:
    beside = journal.with_name(f"{journal.name}-journal")
    with closing(Store(journal, writable=True)) as opened:
        for group in records(range(1, 3)):
            opened.write(group)
            assert beside.stat().st_size == 0
    assert [path.name for path in journal.parent.iterdir()] == [journal.name]


def test_an_earlier_format_is_named(journal: Path) -> None:
    with closing(sqlite3.connect(journal)) as database:
        database.execute("PRAGMA user_version = 1")
        database.execute("PRAGMA journal_mode = WAL")
    for use in (lambda: Store(journal, writable=True), lambda: JournalReport(journal)):
        words = f"found version 1 of its format, expected {VERSION}"
        with pytest.raises(ConfigurationError, match=words):
            use()


def test_results_are_read_page_by_page(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of batches, also where pages end among the results of one."""
    groups = records(range(1, 10)) + records(range(1, 10))[1:]
    settled = [[r for r in group if isinstance(r.event, BatchSettled)] for group in groups]
    with closing(Store(journal, writable=True)) as opened:
        for group in settled:
            opened.write(group)
        whole = list(opened.settled())
        assert len(whole) == 18
        assert [batch for _, batch, _ in whole] == [one for one in BATCHES[:9] for _ in range(2)]
        for size in (1, 3, 7):
            monkeypatch.setattr(store, "_PAGE", size)
            assert list(opened.settled()) == whole


def test_who_reads_slowly_holds_nobody_up(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report that is paged through for hours must not keep the job from writing."""
    monkeypatch.setattr(store, "_PAGE", 2)
    groups = records(range(1, 20))
    with closing(Store(journal, writable=True)) as opened:
        for group in groups[:20]:
            opened.write(group)
        with JournalReport(journal) as report:
            there = sum(1 for _ in report.results())
            results = report.results()
            first = next(results)
            for group in groups[20:]:
                opened.write(group)  # waits for a minute, and fails, if the reader holds a lock
            read = [first, *results]
            assert len(read) == there
            assert sum(1 for _ in report.results()) > there


def test_reports_while_a_job_writes(journal: Path) -> None:
    """They wait for each other: no error, and no count that does not add up meanwhile."""
    groups = records(range(1, 41))

    def write() -> None:
        with closing(Store(journal, writable=True)) as opened:
            for group in groups:
                opened.write(group)
                time.sleep(0.003)

    with ThreadPoolExecutor(1) as threads:
        written = threads.submit(write)
        counts = []
        while not written.done():
            with JournalReport(journal) as report:
                counts.append(sum(1 for _ in report.results()))
        written.result()
    assert counts == sorted(counts)
    assert len(set(counts)) > 2


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of root, whom no mode keeps from writing."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="modes are POSIX's")
def test_a_report_from_a_directory_that_is_read_only(journal: Path) -> None:
    with closing(Store(journal, writable=True)) as opened:
        for group in records(range(1, 10)):
            opened.write(group)
    known = history(journal)
    directory = Path(tempfile.mkdtemp())  # pytest's own are closed to others
    try:
        copy = directory / "job.db"
        shutil.copy(journal, copy)
        copy.chmod(0o444)
        directory.chmod(0o555)
        with as_nobody():
            with pytest.raises(PermissionError):
                (directory / "other").touch()
            with JournalReport(copy) as report:
                assert report.description == JOB
                assert sum(1 for _ in report.results()) > 100
                report.account()
        assert [path.name for path in directory.iterdir()] == ["job.db"]
        # Interrupted in a write, it cannot be mended there.
        directory.chmod(0o755)
        journal_of = directory / "job.db-journal"
        with closing(Store(journal, writable=True)) as opened:
            settled = [
                [record for record in group if isinstance(record.event, BatchSettled)]
                for group in records(range(10, 41))
            ]
            with in_the_middle_of_a_commit(opened, settled):
                copy.chmod(0o644)
                shutil.copy(journal, copy)
                shutil.copy(f"{journal}-journal", journal_of)
        copy.chmod(0o444)
        journal_of.chmod(0o444)
        directory.chmod(0o555)
        with (
            as_nobody(),
            pytest.raises(ConfigurationError, match=r"copy it and job\.db-journal to"),
        ):
            JournalReport(copy)
        directory.chmod(0o755)
        copy.chmod(0o644)
        assert history(copy) == known
    finally:
        directory.chmod(0o755)
        shutil.rmtree(directory)


class WithoutLocks(sqlite3.Connection):
    """A connection to a file that cannot be locked, as on some media: SQLite only reads it if it
    is told that nobody changes it."""

    def __init__(self, database: str, **options: Any) -> None:
        self._immutable = "immutable=1" in database
        super().__init__(database, **options)

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        if not self._immutable:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorname = "SQLITE_IOERR_LOCK"
            raise error
        return super().execute(*arguments)


def test_a_report_from_where_nothing_can_be_locked(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Store(journal, writable=True)) as opened:
        for group in records(range(1, 10)):
            opened.write(group)
    with JournalReport(journal) as report:
        known = list(report.results())
    monkeypatch.setattr(sqlite3, "connect", WithoutLocks)
    with JournalReport(journal) as report:
        assert list(report.results()) == known
    assert len(known) > 100
    # Neither a job, nor what was interrupted in a write.
    with pytest.raises(ConfigurationError, match="disk I/O error"):
        Store(journal, writable=True)
    journal.with_name(f"{journal.name}-journal").write_bytes(b"x")
    with pytest.raises(ConfigurationError, match="disk I/O error"):
        JournalReport(journal)


def test_what_is_garbled_is_an_error_that_names_the_file(journal: Path) -> None:
    """Never an exception of SQLite's, or of what is made of its rows."""
    with closing(Store(journal, writable=True)) as opened:
        for group in records(range(1, 41)):
            opened.write(group)
    good = journal.read_bytes()
    chance = random.Random(3)
    garbled = journal.with_name("garbled.db")
    refused = 0
    for _ in range(150):
        data = bytearray(good)
        at = chance.randrange(len(data))
        length = chance.choice((1, 16, 256, PAGE_SIZE))
        data[at : at + length] = chance.randbytes(length)
        end = chance.choice((len(good), len(good), chance.randrange(len(good))))
        garbled.write_bytes(data[:end])
        for use in (history, whole_report):
            if words := refusal(use, garbled):
                assert str(garbled) in words
                refused += 1
    assert refused > 50


def whole_report(path: Path) -> None:
    with JournalReport(path) as report:
        list(report.results())
        report.account()
        assert report.pending is not None
