"""The journal's file: an SQLite database that is complete in one file unless it is being written.

A copy made during a transaction, or the file of a writer that was killed, may hold some pages of
before the transaction and some of after it. SQLite repairs that with the `-journal` file beside
it, but without it calls that were sent could be missing. So the file is verified on opening: rows
are only ever added, each transaction counts them, and the count must match. Before a job writes,
SQLite's integrity check runs as well.

`journal.store` reads and writes through it. Everything here blocks.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from async_enroll.errors import ConfigurationError, EnrollError, JournalError

VERSION = 4
OURS = int.from_bytes(b"aenj")
_BUSY_TIMEOUT = 60.0
"""How many seconds to wait for another reader or writer; each takes milliseconds."""

_UNLOCKABLE = ("SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_PROTOCOL", "SQLITE_NOLFS")
"""How SQLite names its failure to lock a file, or to look for the one beside it."""

SCHEMA = """
-- The number of rows in all tables that are written while the job runs.
CREATE TABLE total (records INTEGER NOT NULL);
INSERT INTO total VALUES (0);
CREATE TABLE job (description TEXT NOT NULL);
-- The results of pairs that could not be sent.
CREATE TABLE unsent (results TEXT NOT NULL);
-- The rows to enroll of a synced roster, by course: a packed list of identifiers.
CREATE TABLE synced (course TEXT NOT NULL, identifiers BLOB NOT NULL);
-- The pairs that an undo leaves alone, and why; identifiers are a JSON list.
CREATE TABLE left_alone (reason TEXT NOT NULL, course TEXT NOT NULL, identifiers TEXT NOT NULL);
-- The planned batches. Together they hold every pair that can be sent, once.
CREATE TABLE planned (
    number INTEGER PRIMARY KEY, action TEXT NOT NULL, courses TEXT NOT NULL, cohorts TEXT,
    -- NULL for that of the job.
    auto_enroll INTEGER,
    identifiers TEXT NOT NULL, pairs INTEGER NOT NULL,
    -- In which lines of the roster its pairs stand, course by course, packed; if that is known.
    lines BLOB
);
-- The calls that were about to be sent, with their pairs of a planned batch: a call that only mails
-- may have pairs of several. Courses and identifiers are NULL if they are those of the batch.
CREATE TABLE sent (
    call INTEGER NOT NULL, planned INTEGER NOT NULL, at REAL NOT NULL, email INTEGER NOT NULL,
    courses TEXT, identifiers TEXT, PRIMARY KEY (call, planned)
);
CREATE INDEX sent_planned ON sent (planned);
-- The failure kinds of the calls that are known to have failed.
CREATE TABLE failed (call INTEGER PRIMARY KEY, meaning TEXT NOT NULL);
-- The results of pairs that calls without mail have changed, and whose learners are mailed next.
CREATE TABLE changed (planned INTEGER NOT NULL, results TEXT NOT NULL);
CREATE INDEX changed_planned ON changed (planned);
-- The final results of pairs.
CREATE TABLE settled (
    id INTEGER PRIMARY KEY, planned INTEGER NOT NULL, at REAL NOT NULL, pairs INTEGER NOT NULL,
    results TEXT NOT NULL
);
CREATE INDEX settled_planned ON settled (planned, pairs);
-- When sending paused, and for how many seconds.
CREATE TABLE pause (at REAL NOT NULL, seconds REAL NOT NULL, reason TEXT NOT NULL);
-- When the job ran. `ended` is NULL if it was killed.
CREATE TABLE run (started REAL NOT NULL, ended REAL, error TEXT);
"""

_RECORDS = """
SELECT records, (SELECT count(*) FROM sent) + (SELECT count(*) FROM failed)
    + (SELECT count(*) FROM changed) + (SELECT count(*) FROM settled)
    + (SELECT count(*) FROM pause) + (SELECT count(*) FROM run)
FROM total
"""


def path_of(journal: str | os.PathLike[str]) -> Path:
    """Return the path of a journal's file.

    Raises:
        ConfigurationError: if it cannot be the path of a file.

    """
    try:
        path = Path(journal)
        fits = path.name != "" and b"\0" not in os.fsencode(path)
    except (TypeError, UnicodeEncodeError):
        fits = False
    if not fits:
        raise ConfigurationError(f"journal is {journal!r}; expected the path of a file")
    return path


class Database:
    """An open journal file. Use it from one thread at a time.

    Raises:
        ConfigurationError: on opening, if the file is not a journal, or not complete.
        JournalError: on any later failure. Both name the file.

    """

    def __init__(self, path: Path, *, writable: bool) -> None:
        if not path.is_file():
            raise ConfigurationError(f"journal {path}: there is no such file")
        self.path = path
        self._writable = writable
        self._added = 0
        with ExitStack() as opened:
            with self.reading(ConfigurationError):
                self._connection = self._connected("mode=rw")  # read-only where the file is
                opened.callback(lambda: self._connection.close())
                try:
                    self._check_version()
                except sqlite3.OperationalError as error:
                    if not self._is_unlockable(error):
                        raise
                    self._connection.close()
                    self._connection = self._connected("mode=ro&immutable=1")
                    self._check_version()
                self._set_up()
                self._check_whole()
            opened.pop_all()  # nothing has failed: it stays open

    def _connected(self, how: str) -> sqlite3.Connection:
        return sqlite3.connect(
            f"{self.path.absolute().as_uri()}?{how}",
            uri=True,
            timeout=_BUSY_TIMEOUT,
            isolation_level=None,
            check_same_thread=False,
        )

    def _is_unlockable(self, error: sqlite3.Error) -> bool:
        """Whether the file is to be read, and is where nothing can be locked, as on some media.

        Not after a write that was interrupted: without its `-journal` file, it is not whole.
        """
        name = getattr(error, "sqlite_errorname", "")
        interrupted = self.path.with_name(f"{self.path.name}-journal").exists()
        return not self._writable and not interrupted and name.startswith(_UNLOCKABLE)

    def _check_version(self) -> None:
        (ours,) = self._connection.execute("PRAGMA application_id").fetchone()
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if ours != OURS:
            raise ConfigurationError(f"journal {self.path}: a database, but no journal")
        if version != VERSION:
            raise ConfigurationError(
                f"journal {self.path}: found version {version} of its format, expected {VERSION}; "
                "use the release of async_enroll that has written it"
            )

    def _set_up(self) -> None:
        if not self._writable:
            self._connection.execute("PRAGMA query_only = ON")
            return
        # Between transactions, the journal is a single file that can be copied, and the one that
        # SQLite keeps beside it is empty: no void copy of personal data lies about.
        self._connection.execute("PRAGMA journal_mode = TRUNCATE")
        # What is recorded must survive a power loss: it is on disk before a call is sent.
        self._connection.execute("PRAGMA synchronous = FULL")

    def _check_whole(self) -> None:
        expected, records = self._connection.execute(_RECORDS).fetchone()
        if records != expected:
            words = f"found {records} records, expected {expected}"
            raise self._damaged(ConfigurationError, words)
        if self._writable:
            (found,) = self._connection.execute("PRAGMA integrity_check(1)").fetchone()
            if found != "ok":
                raise self._damaged(ConfigurationError, found)

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return all rows at once, so that a writer waits no longer than reading them takes."""
        return self._connection.execute(query, values).fetchall()

    @contextmanager
    def reading(self, kind: type[EnrollError] = JournalError) -> Iterator[None]:
        """Raise `kind` where the body fails to read or to decode what it has read."""
        try:
            yield
        except sqlite3.Error as error:
            raise self._unreadable(kind, error) from None
        except (ValueError, TypeError, LookupError) as error:
            # The file holds something else than this version writes.
            raise self._damaged(kind, f"{type(error).__name__} on reading it") from None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the body in a transaction: all that it adds is durable afterwards, or nothing."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._added = 0
                yield
                self._connection.execute("UPDATE total SET records = records + ?", (self._added,))
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise JournalError(f"the journal {self.path} cannot be written: {error}") from None

    def add(self, table: str, *values: object) -> None:
        """Add a row, within a transaction."""
        marks = ", ".join("?" * len(values))
        self._connection.execute(f"INSERT INTO {table} VALUES ({marks})", values)  # noqa: S608  # ours
        self._added += 1

    def execute(self, statement: str, *values: object) -> None:
        """Change rows, within a transaction."""
        self._connection.execute(statement, values)

    def close(self) -> None:
        """Close the file and remove SQLite's files beside it."""
        with suppress(sqlite3.Error):
            if self._writable:
                self._connection.execute("PRAGMA journal_mode = DELETE")
        self._connection.close()

    def _unreadable(self, kind: type[EnrollError], error: sqlite3.Error) -> EnrollError:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith("SQLITE_CORRUPT"):
            return self._damaged(kind, str(error))
        if name == "SQLITE_NOTADB":
            return kind(
                f"journal {self.path}: is not the journal of a job, or is damaged ({error})"
            )
        if name == "SQLITE_READONLY_ROLLBACK":
            return kind(
                f"journal {self.path}: was interrupted in a write, and is read-only; copy it and "
                f"{self.path.name}-journal to where they can be written, and read it there"
            )
        return kind(f"journal {self.path}: {error}")

    def _damaged(self, kind: type[EnrollError], words: str) -> EnrollError:
        return kind(
            f"journal {self.path}: damaged, or not all of it is here ({words}); take it once more "
            f"from where it was written, with {self.path.name}-journal if there is such a file; "
            "without a whole journal, find out who is enrolled before anybody is mailed again"
        )
