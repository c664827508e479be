"""Reads and writes a journal: events in, results and unfinished batches out.

`journal.journal` gives it the events of a running job and takes what is left to do;
`journal.report` takes the results. `journal.database` is the file below. Everything here blocks.

Lists of identifiers, course keys and cohorts are joined by commas, which none of them can
contain: the platform splits its arguments at commas as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from attrs import asdict, evolve, frozen

from async_enroll.delivery.outcomes import Pair
from async_enroll.errors import ConfigurationError
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
from async_enroll.http.failures import FailureKind
from async_enroll.journal.database import Database
from async_enroll.journal.recovery import Sending
from async_enroll.journal.results import decode, encode, positions
from async_enroll.journal.rows import unpack
from async_enroll.models import Action, Batch, EmailStudents, Outcome
from async_enroll.planning.batching import Place
from async_enroll.planning.desired import Desired
from async_enroll.planning.sync import SyncTerms
from async_enroll.planning.validation import Scope
from async_enroll.results import Block, ResultDetail

_PAGE = 100

THROTTLED = "throttled"
"""The reason of a pause due to the platform's throttle."""


@frozen
class Description:
    """The job that a journal records.

    `roster` names the source of the roster, `pairs` is the number of pairs in all, `created` an
    ISO 8601 time. `digest` identifies roster and options; `skipped` describes the rows of the
    roster that were left out. `undoes` is the `identity` of the job that this one undoes;
    `undone` is the time since which this job is being undone, or has been. `sync` has the terms
    of a sync, None for another job.
    """

    site: str
    roster: str
    pairs: int
    auto_enroll: bool
    email_students: EmailStudents
    digest: str
    created: str
    skipped: tuple[str, ...] = ()
    reason: str | None = None
    undoes: str | None = None
    undone: str | None = None
    sync: SyncTerms | None = None

    @property
    def identity(self) -> str:
        """What tells this job from all others."""
        return f"{self.digest} {self.created}"

    def check_site(self, site: str) -> None:
        """Check that this is a job on a site.

        Raises:
            ConfigurationError: if it is one on another.

        """
        if self.site != site:
            raise ConfigurationError(f"the journal is of {self.site}; this client is of {site}")


LeftAlonePairs = tuple[str, str, str]
"""Pairs that an undo leaves alone: why, the course key, and a JSON list of their identifiers."""


@frozen
class Pause:
    """A time without calls: `seconds` from `at` (a Unix time) on."""

    at: float
    seconds: float
    reason: str


@frozen
class Run:
    """One run of the job. `ended` is None while it runs, or if it was killed."""

    started: float
    ended: float | None
    error: str | None


@frozen
class Unfinished:
    """A planned batch with pairs that have no result, its calls so far and its settled pairs.

    `changed` has the results of pairs that calls without mail have changed, settled or not.
    """

    number: int
    batch: Batch
    sendings: list[Sending]
    settled: set[Pair]
    changed: list[Block]


@frozen
class Record:
    """An event to record. `batch` is the planned batch that it belongs to, if any."""

    event: Event
    batch: Batch | None = None


class Store:
    """An open journal. Use it from one thread at a time.

    Args:
        path: The journal's file.
        writable: Whether a job runs on it: the file is checked thoroughly, and `write` may be
            called. Only one process may have it open this way.

    Raises:
        ConfigurationError: on opening, if the file is not a journal, or not complete.
        JournalError: if it cannot be read or written later.

    """

    def __init__(self, path: Path, *, writable: bool = False) -> None:
        self._database = Database(path, writable=writable)
        with ExitStack() as opened:
            opened.callback(self.close)
            with self._database.reading(ConfigurationError):
                ((description,),) = self._database.rows("SELECT description FROM job")
                values = json.loads(description)
                terms = values.get("sync")
                self.description: Description = Description(
                    **{
                        **values,
                        "skipped": tuple(values["skipped"]),
                        "sync": None if terms is None else SyncTerms.read(terms),
                    }
                )
            opened.pop_all()  # nothing has failed: it stays open

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def write(self, records: Iterable[Record]) -> None:
        """Record events durably: all of them, or none."""
        with self._database.transaction():
            for record in records:
                self._write(record)

    def _write(self, record: Record) -> None:
        add = self._database.add
        match record.event:
            case BatchSent() as event:
                batch, whole = event.batch, record.batch
                same = whole is not None and batch.courses == whole.courses
                courses = None if same else ",".join(batch.courses)
                same = whole is not None and batch.identifiers == whole.identifiers
                identifiers = None if same else ",".join(batch.identifiers)
                add("sent", event.call, event.planned, event.at, event.email, courses, identifiers)
            case BatchAnswered(failure=FailureKind() as kind) as event:
                # Calls that succeeded show in the results.
                add("failed", event.call, kind.value)
            case BatchSettled() as event if record.batch is not None:
                if event.changed:
                    add("changed", event.planned, encode(record.batch, event.changed))
                if event.blocks:
                    data = encode(record.batch, event.blocks)
                    add("settled", None, event.planned, event.at, event.pairs, data)
            case Throttled(seconds=float() as seconds) as event:
                add("pause", event.at, seconds, THROTTLED)
            case Continued() as event:
                since = event.at - event.seconds
                add("pause", since, event.seconds, "the platform did not answer")
            case JobStarted() as event:
                add("run", event.at, None, None)
            case JobDone() as event:
                self._database.execute(
                    "UPDATE run SET ended = ?, error = ?"
                    " WHERE rowid = (SELECT max(rowid) FROM run)",
                    event.at,
                    event.error and _storable(event.error),
                )

    def calls(self) -> int:
        """Return how many calls were sent so far."""
        return self._number("SELECT coalesce(max(call), 0) FROM sent")

    def last_sent(self) -> float | None:
        """Return when the last call was sent, as a Unix time; None if none was."""
        with self._database.reading():
            ((at,),) = self._database.rows("SELECT max(at) FROM sent")
            return None if at is None else float(at)

    def mark_undone(self) -> None:
        """Mark the job as undone, unless it is marked already."""
        if self.description.undone is None:
            self.description = evolve(self.description, undone=now())
            values = json.dumps(asdict(self.description))
            with self._database.transaction():
                self._database.execute("UPDATE job SET description = ?", values)

    def left_alone(self) -> list[LeftAlonePairs]:
        """Return the pairs that the job, an undo, leaves alone."""
        with self._database.reading():
            return self._database.rows("SELECT reason, course, identifiers FROM left_alone")

    def pending(self) -> int:
        """Return how many pairs have no result yet."""
        return self._number(
            "SELECT (SELECT coalesce(sum(pairs), 0) FROM planned)"
            " - (SELECT coalesce(sum(pairs), 0) FROM settled)"
        )

    def _number(self, query: str) -> int:
        with self._database.reading():
            ((number,),) = self._database.rows(query)
            return int(number)

    def finished(self) -> datetime:
        """Return when the last result was recorded, for a job that has all of them."""
        with self._database.reading():
            ((at,),) = self._database.rows("SELECT max(at) FROM settled")
        if at is None:  # nothing could be sent
            return datetime.fromisoformat(self.description.created)
        return datetime.fromtimestamp(at, UTC)

    def scope(self) -> Scope:
        """Return the courses and cohorts of the unfinished batches."""
        found: dict[Place, None] = {}
        with self._database.reading():
            for courses, cohorts in self._database.rows(
                f"SELECT DISTINCT courses, cohorts FROM planned WHERE {_UNFINISHED}"  # noqa: S608  # ours
            ):
                keys = courses.split(",")
                names = cohorts.split(",") if cohorts is not None else [None] * len(keys)
                found.update(dict.fromkeys(map(Place, keys, names)))
        return Scope(tuple(found))

    def unfinished(self, after: int, *, sent: bool = False) -> list[Unfinished]:
        """Return the next unfinished batches with numbers above `after`; `sent`: with calls."""
        which = f"{_UNFINISHED} AND {_SENT}" if sent else _UNFINISHED
        with self._database.reading():
            return [
                self._unfinished(number, _batch(*columns))
                for number, *columns in self._database.rows(
                    f"SELECT number, {BATCH} FROM planned"  # noqa: S608  # ours
                    f" WHERE number > ? AND {which} ORDER BY number LIMIT ?",
                    after,
                    _PAGE,
                )
            ]

    def _unfinished(self, number: int, batch: Batch) -> Unfinished:
        sendings = [
            Sending(
                _part(batch, courses, identifiers),
                bool(email),
                None if failed is None else FailureKind(failed),
            )
            for email, courses, identifiers, failed in self._database.rows(
                "SELECT email, courses, identifiers, meaning"
                " FROM sent LEFT JOIN failed USING (call) WHERE planned = ? ORDER BY call",
                number,
            )
        ]
        settled = {
            _pair(batch, position)
            for (data,) in self._database.rows(
                "SELECT results FROM settled WHERE planned = ?", number
            )
            for position in positions(data)
        }
        changed = [
            block
            for (data,) in self._database.rows(
                "SELECT results FROM changed WHERE planned = ?", number
            )
            for block in decode(batch, data)
        ]
        return Unfinished(number, batch, sendings, settled, changed)

    def unsent(self) -> list[Block]:
        """Return the results of the pairs that could not be sent."""
        with self._database.reading():
            return [
                Block(
                    key,
                    Action(action),
                    [who],
                    [ResultDetail(Outcome(outcome), error=error, attempts=0)],
                    cohort=next(iter(cohort), None),  # older journals have none
                )
                for (data,) in self._database.rows("SELECT results FROM unsent")
                for who, key, action, outcome, error, *cohort in json.loads(data)
            ]

    def rows(self) -> Desired:
        """Return the rows to enroll of a synced roster."""
        with self._database.reading():
            return unpack(self._database.rows("SELECT course, identifiers FROM synced"))

    def settled(self) -> Iterator[tuple[float, Batch, list[Block]]]:
        """Yield the results of pairs that were sent, each with Unix time and planned batch.

        Covers the results recorded before the first is read. Pages are short, so that a job
        writing meanwhile does not wait.
        """
        last = self._number("SELECT coalesce(max(id), 0) FROM settled")
        number, batch, after = 0, None, 0
        while True:
            found: list[tuple[float, Batch, list[Block]]] = []
            with self._database.reading():
                for one, planned, *columns, at, data, lines in self._database.rows(
                    f"SELECT settled.id, number, {BATCH}, at, results, lines"  # noqa: S608  # ours
                    " FROM settled JOIN planned ON number = settled.planned"
                    " WHERE (settled.planned, settled.id) > (?, ?) AND settled.id <= ?"
                    " ORDER BY settled.planned, settled.id LIMIT ?",
                    number,
                    after,
                    last,
                    _PAGE,
                ):
                    if batch is None or planned != number:
                        number, batch = planned, _batch(*columns)
                    after = one
                    found.append((at, batch, decode(batch, data, lines, at=at)))
            if not found:
                return
            yield from found

    def pauses(self) -> list[Pause]:
        """Return the pauses of the job, in order."""
        with self._database.reading():
            rows = self._database.rows("SELECT at, seconds, reason FROM pause ORDER BY at")
            return [Pause(*row) for row in rows]

    def runs(self) -> list[Run]:
        """Return the runs of the job, in order."""
        with self._database.reading():
            rows = self._database.rows("SELECT started, ended, error FROM run ORDER BY rowid")
            return [Run(*row) for row in rows]


_UNFINISHED = (
    "pairs > (SELECT coalesce(sum(settled.pairs), 0) FROM settled WHERE settled.planned = number)"
)
_SENT = "EXISTS (SELECT 1 FROM sent WHERE sent.planned = number)"


def _storable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


def now() -> str:
    """Return the current time in UTC as ISO 8601, for a description."""
    return datetime.now(UTC).isoformat(timespec="seconds")


BATCH = "action, courses, cohorts, auto_enroll, identifiers"


def _batch(
    action: str, courses: str, cohorts: str | None, auto_enroll: int | None, identifiers: str
) -> Batch:
    return Batch(
        Action(action),
        tuple(courses.split(",")),
        tuple(identifiers.split(",")),
        None if cohorts is None else tuple(cohorts.split(",")),
        None if auto_enroll is None else bool(auto_enroll),
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
