"""The journal's file: an SQLite database in WAL mode. Everything here blocks.

Lists of identifiers, course keys and cohorts are joined by commas, which none of them can
hold: the platform splits them there as well.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import orjson
from attrs import asdict, frozen

from async_enroll.batching import Place
from async_enroll.errors import ConfigurationError, JournalError
from async_enroll.events import (
    BatchAnswered,
    BatchSent,
    BatchSettled,
    Continued,
    Event,
    JobDone,
    JobStarted,
    Throttled,
)
from async_enroll.fates import Block, Fate
from async_enroll.intake import Scope, Work
from async_enroll.journal.recovery import Sending
from async_enroll.journal.results import decode, encode, positions
from async_enroll.models import Action, Batch, Outcome
from async_enroll.outcomes import Pair
from async_enroll.verdict import Meaning

_VERSION = 1
_OURS = int.from_bytes(b"aenj")
_PAGE = 100

THROTTLED = "throttled"
"""The reason of a pause that the throttle has made."""

_SCHEMA = """
CREATE TABLE job (description TEXT NOT NULL);
-- Pairs that could not be sent, with their results.
CREATE TABLE unsent (results BLOB NOT NULL);
-- The batches as planned: together, every pair that can be sent, once.
CREATE TABLE planned (
    number INTEGER PRIMARY KEY, action TEXT NOT NULL, courses TEXT NOT NULL, cohorts TEXT,
    identifiers TEXT NOT NULL, pairs INTEGER NOT NULL
);
-- The calls that were about to be sent; their courses and identifiers if not all of the
-- planned batch; and how they failed, if it is known that they did.
CREATE TABLE sent (
    call INTEGER PRIMARY KEY, planned INTEGER NOT NULL, at REAL NOT NULL, email INTEGER NOT NULL,
    courses TEXT, identifiers TEXT, failed TEXT
);
CREATE INDEX sent_planned ON sent (planned);
-- What became of pairs, for good.
CREATE TABLE settled (
    id INTEGER PRIMARY KEY, planned INTEGER NOT NULL, at REAL NOT NULL, pairs INTEGER NOT NULL,
    results BLOB NOT NULL
);
CREATE INDEX settled_planned ON settled (planned, pairs);
-- When nothing was sent, and for how many seconds.
CREATE TABLE pause (at REAL NOT NULL, seconds REAL NOT NULL, reason TEXT NOT NULL);
-- When the job was at work: `ended` is missing where it was killed.
CREATE TABLE run (started REAL NOT NULL, ended REAL, error TEXT);
"""


@frozen
class Description:
    """What a journal is the journal of.

    `digest` tells rosters and options apart; `skipped` has the rows of the roster that were
    left out, in words.
    """

    site: str
    roster: str
    pairs: int
    auto_enroll: bool
    email_students: bool
    digest: str
    created: str
    skipped: tuple[str, ...] = ()
    reason: str | None = None


@frozen
class Pause:
    """For `seconds` from `at` on, nothing was sent."""

    at: float
    seconds: float
    reason: str


@frozen
class Run:
    """When the job was at work; `ended` is None while it is, or where it was killed."""

    started: float
    ended: float | None
    error: str | None


@frozen
class Unfinished:
    """A planned batch of which pairs are not settled, and all that is known of it."""

    number: int
    batch: Batch
    sendings: list[Sending]
    settled: set[Pair]


@frozen
class Record:
    """An event to be kept; `batch` is the planned one that results are of."""

    event: Event
    batch: Batch | None = None


class Store:
    """An open journal. Use it from one thread at a time."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise ConfigurationError(f"journal {path}: there is no such file")
        with ExitStack() as opened:
            try:
                self._database = sqlite3.connect(
                    path, isolation_level=None, check_same_thread=False
                )
                opened.callback(self.close)
                self._check_version(path)
                self.description: Description = self._set_up()
            except sqlite3.DatabaseError as error:
                raise ConfigurationError(f"journal {path}: {error}") from None
            opened.pop_all()  # nothing has failed: it stays open

    def _set_up(self) -> Description:
        self._database.execute("PRAGMA journal_mode = WAL")
        # Survives a power loss: what is recorded is on the disk before a call is sent.
        self._database.execute("PRAGMA synchronous = FULL")
        # Rewrites the file more seldom than by default: less work for many small writes.
        self._database.execute("PRAGMA wal_autocheckpoint = 10000")
        (description,) = self._database.execute("SELECT description FROM job").fetchone()
        told = orjson.loads(description)
        return Description(**{**told, "skipped": tuple(told["skipped"])})

    def _check_version(self, path: Path) -> None:
        (ours,) = self._database.execute("PRAGMA application_id").fetchone()
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if ours != _OURS:
            raise ConfigurationError(f"journal {path}: a database, but no journal")
        if version != _VERSION:
            raise ConfigurationError(
                f"journal {path}: found version {version} of its format, expected {_VERSION}; "
                "use the release of async_enroll that has written it"
            )

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, records: Iterable[Record]) -> None:
        """Keep events for good, all of them or none."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            for record in records:
                self._write(record)
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    def _write(self, record: Record) -> None:
        execute = self._database.execute
        match record.event:
            case BatchSent() as event:
                batch, whole = event.batch, record.batch
                same = whole is not None and batch.courses == whole.courses
                courses = None if same else ",".join(batch.courses)
                same = whole is not None and batch.identifiers == whole.identifiers
                identifiers = None if same else ",".join(batch.identifiers)
                execute(
                    "INSERT INTO sent VALUES (?, ?, ?, ?, ?, ?, NULL)",
                    (event.call, event.planned, event.at, event.email, courses, identifiers),
                )
            case BatchAnswered(meaning=Meaning() as meaning) as event:
                # What else was answered is seen by what is settled.
                execute("UPDATE sent SET failed = ? WHERE call = ?", (meaning.value, event.call))
            case BatchSettled() as event if record.batch is not None:
                data = encode(record.batch, event.blocks)
                execute(
                    "INSERT INTO settled (planned, at, pairs, results) VALUES (?, ?, ?, ?)",
                    (event.planned, event.at, event.pairs, data),
                )
            case Throttled(seconds=float() as seconds) as event:
                execute("INSERT INTO pause VALUES (?, ?, ?)", (event.at, seconds, THROTTLED))
            case Continued() as event:
                since = event.at - event.seconds
                down = "the platform did not answer"
                execute("INSERT INTO pause VALUES (?, ?, ?)", (since, event.seconds, down))
            case JobStarted() as event:
                execute("INSERT INTO run VALUES (?, NULL, NULL)", (event.at,))
            case JobDone() as event:
                execute(
                    "UPDATE run SET ended = ?, error = ?"
                    " WHERE rowid = (SELECT max(rowid) FROM run)",
                    (event.at, event.error),
                )

    def calls(self) -> int:
        """How many calls were sent so far."""
        (calls,) = self._database.execute("SELECT coalesce(max(call), 0) FROM sent").fetchone()
        return int(calls)

    def pending(self) -> int:
        """How many pairs are not settled yet."""
        (pairs,) = self._database.execute(
            "SELECT (SELECT coalesce(sum(pairs), 0) FROM planned)"
            " - (SELECT coalesce(sum(pairs), 0) FROM settled)"
        ).fetchone()
        return int(pairs)

    def finished(self) -> datetime:
        """When the last result became known, of a job that has them all."""
        (at,) = self._database.execute("SELECT max(at) FROM settled").fetchone()
        if at is None:  # nothing could be sent
            return datetime.fromisoformat(self.description.created)
        return datetime.fromtimestamp(at, UTC)

    def scope(self) -> Scope:
        """Where the batches lead that are not finished."""
        rows = self._database.execute(
            f"SELECT DISTINCT courses, cohorts FROM planned WHERE {_UNFINISHED}"  # noqa: S608  # ours
        )
        found: dict[Place, None] = {}
        for courses, cohorts in rows:
            keys = courses.split(",")
            names = cohorts.split(",") if cohorts is not None else [None] * len(keys)
            found.update(dict.fromkeys(map(Place, keys, names)))
        return Scope(tuple(found))

    def unfinished(self, after: int) -> list[Unfinished]:
        """The next batches that are not finished, of those numbered above `after`."""
        rows = self._database.execute(
            "SELECT number, action, courses, cohorts, identifiers FROM planned"  # noqa: S608  # ours
            f" WHERE number > ? AND {_UNFINISHED} ORDER BY number LIMIT ?",
            (after, _PAGE),
        ).fetchall()
        found = []
        for number, *columns in rows:
            batch = _batch(*columns)
            sendings = [
                Sending(
                    _part(batch, courses, identifiers),
                    bool(email),
                    None if failed is None else Meaning(failed),
                )
                for email, courses, identifiers, failed in self._database.execute(
                    "SELECT email, courses, identifiers, failed FROM sent"
                    " WHERE planned = ? ORDER BY call",
                    (number,),
                )
            ]
            settled = {
                _pair(batch, position)
                for (data,) in self._database.execute(
                    "SELECT results FROM settled WHERE planned = ?", (number,)
                )
                for position in positions(data)
            }
            found.append(Unfinished(number, batch, sendings, settled))
        return found

    def unsent(self) -> list[Block]:
        """The results of the pairs that could not be sent."""
        return [
            Block(key, Action(action), [who], [Fate(Outcome(outcome), error=error, attempts=0)])
            for (data,) in self._database.execute("SELECT results FROM unsent")
            for who, key, action, outcome, error in orjson.loads(data)
        ]

    def settled(self) -> Iterator[tuple[float, Batch, list[Block]]]:
        """The results of the pairs that were sent, batch by batch, and when they were known."""
        rows = self._database.execute(
            "SELECT number, action, courses, cohorts, identifiers, at, results"
            " FROM settled JOIN planned ON number = planned ORDER BY planned"
        )
        number, batch = None, None
        for planned, action, courses, cohorts, identifiers, at, data in rows:
            if batch is None or planned != number:
                number, batch = planned, _batch(action, courses, cohorts, identifiers)
            yield at, batch, decode(batch, data)

    def pauses(self) -> list[Pause]:
        """When nothing was sent, and why."""
        rows = self._database.execute("SELECT at, seconds, reason FROM pause ORDER BY at")
        return [Pause(*row) for row in rows]

    def runs(self) -> list[Run]:
        """When the job was at work."""
        rows = self._database.execute("SELECT started, ended, error FROM run ORDER BY rowid")
        return [Run(*row) for row in rows]


_UNFINISHED = (
    "pairs > (SELECT coalesce(sum(settled.pairs), 0) FROM settled WHERE settled.planned = number)"
)


def create(path: Path, description: Description, work: Iterable[Work]) -> None:
    """Write a new journal: whole, or not at all.

    Raises:
        JournalError: where it cannot be written.

    """
    draft = path.with_name(f".{path.name}.new")
    try:
        draft.unlink(missing_ok=True)  # of a process that was killed meanwhile
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with closing(sqlite3.connect(draft, isolation_level=None)) as database:
            _fill(database, description, work)
        draft.rename(path)
        _sync(path.parent)
    except (sqlite3.Error, OSError) as error:
        raise JournalError(f"the journal {path} cannot be written: {error}") from None
    finally:
        for leftover in (draft, draft.with_name(f"{draft.name}-journal")):
            leftover.unlink(missing_ok=True)


def _fill(database: sqlite3.Connection, description: Description, work: Iterable[Work]) -> None:
    database.execute(f"PRAGMA application_id = {_OURS}")
    database.execute(f"PRAGMA user_version = {_VERSION}")
    database.executescript(_SCHEMA)
    database.execute("BEGIN")
    database.execute("INSERT INTO job VALUES (?)", (orjson.dumps(asdict(description)).decode(),))
    for item in work:
        match item:
            case Block():
                told = [
                    (one.identifier, one.course_id, one.action.value, one.outcome.value, one.error)
                    for one in item
                ]
                database.execute("INSERT INTO unsent VALUES (?)", (orjson.dumps(told),))
            case Batch():
                database.execute(
                    "INSERT INTO planned (action, courses, cohorts, identifiers, pairs)"
                    " VALUES (?, ?, ?, ?, ?)",
                    (
                        item.action.value,
                        ",".join(item.courses),
                        None if item.cohorts is None else ",".join(item.cohorts),
                        ",".join(item.identifiers),
                        item.pairs,
                    ),
                )
    database.execute("COMMIT")


def _sync(directory: Path) -> None:
    """Make sure that a new name in a directory outlives a power loss."""
    number = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def now() -> str:
    """The time, for a description."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _batch(action: str, courses: str, cohorts: str | None, identifiers: str) -> Batch:
    return Batch(
        Action(action),
        tuple(courses.split(",")),
        tuple(identifiers.split(",")),
        None if cohorts is None else tuple(cohorts.split(",")),
    )


def _part(whole: Batch, courses: str | None, identifiers: str | None) -> Batch:
    return Batch(
        whole.action,
        whole.courses if courses is None else tuple(courses.split(",")),
        whole.identifiers if identifiers is None else tuple(identifiers.split(",")),
    )


def _pair(batch: Batch, position: int) -> Pair:
    course, identifier = divmod(position, len(batch.identifiers))
    return batch.identifiers[identifier], batch.courses[course]
