"""The journal's file: one SQLite database, whole by itself whenever nobody writes on it.

A copy, or what is left of a writer that was killed, may hold some pages of before a
transaction and some of after it, where SQLite's `-journal`, which mends that, is not beside
it. Such a file could lack calls that were sent, so it has to add up: rows are only ever added,
in transactions that count them, and before a job goes on the structure is checked as well.

Everything here blocks.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from async_enroll.errors import ConfigurationError, EnrollError, JournalError

VERSION = 3
OURS = int.from_bytes(b"aenj")
_PATIENCE = 60.0
"""For how many seconds to wait for who else reads or writes: each is done in milliseconds."""

SCHEMA = """
-- How many rows the tables have together that are written while the job is at work.
CREATE TABLE total (records INTEGER NOT NULL);
INSERT INTO total VALUES (0);
CREATE TABLE job (description TEXT NOT NULL);
-- Pairs that could not be sent, with their results.
CREATE TABLE unsent (results TEXT NOT NULL);
-- The batches as planned: together, every pair that can be sent, once.
CREATE TABLE planned (
    number INTEGER PRIMARY KEY, action TEXT NOT NULL, courses TEXT NOT NULL, cohorts TEXT,
    identifiers TEXT NOT NULL, pairs INTEGER NOT NULL,
    -- In which lines of the roster its pairs stand, course by course, packed; if that is known.
    lines BLOB
);
-- The calls that were about to be sent; their courses and identifiers if not all of the
-- planned batch.
CREATE TABLE sent (
    call INTEGER PRIMARY KEY, planned INTEGER NOT NULL, at REAL NOT NULL, email INTEGER NOT NULL,
    courses TEXT, identifiers TEXT
);
CREATE INDEX sent_planned ON sent (planned);
-- How calls have failed, of those that are known to have failed.
CREATE TABLE failed (call INTEGER PRIMARY KEY, meaning TEXT NOT NULL);
-- What became of pairs, for good.
CREATE TABLE settled (
    id INTEGER PRIMARY KEY, planned INTEGER NOT NULL, at REAL NOT NULL, pairs INTEGER NOT NULL,
    results TEXT NOT NULL
);
CREATE INDEX settled_planned ON settled (planned, pairs);
-- When nothing was sent, and for how many seconds.
CREATE TABLE pause (at REAL NOT NULL, seconds REAL NOT NULL, reason TEXT NOT NULL);
-- When the job was at work: `ended` is missing where it was killed.
CREATE TABLE run (started REAL NOT NULL, ended REAL, error TEXT);
"""

_RECORDS = """
SELECT records, (SELECT count(*) FROM sent) + (SELECT count(*) FROM failed)
    + (SELECT count(*) FROM settled) + (SELECT count(*) FROM pause) + (SELECT count(*) FROM run)
FROM total
"""


class Database:
    """An open journal file. Use it from one thread at a time.

    Raises:
        ConfigurationError: on opening what is no journal, or not a whole one.
        JournalError: whatever fails later. Both name the file.

    """

    def __init__(self, path: Path, *, writable: bool) -> None:
        if not path.is_file():
            raise ConfigurationError(f"journal {path}: there is no such file")
        self.path = path
        self._writable = writable
        self._added = 0
        with ExitStack() as opened:
            with self.reading(ConfigurationError):
                self._connection = sqlite3.connect(
                    f"{path.absolute().as_uri()}?mode=rw",  # as far as the file lets us
                    uri=True,
                    timeout=_PATIENCE,
                    isolation_level=None,
                    check_same_thread=False,
                )
                opened.callback(self._connection.close)
                self._check_version()
                self._set_up()
                self._check_whole()
            opened.pop_all()  # nothing has failed: it stays open

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
        # One file is all there is of it between two transactions.
        self._connection.execute("PRAGMA journal_mode = TRUNCATE")
        # Survives a power loss: what is recorded is on the disk before a call is sent.
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
        """All rows at once, so that whoever writes waits for no more than the reading of them."""
        return self._connection.execute(query, values).fetchall()

    @contextmanager
    def reading(self, kind: type[EnrollError] = JournalError) -> Iterator[None]:
        """The body reads, and makes something of it; where that fails, an error of `kind`."""
        try:
            yield
        except sqlite3.Error as error:
            raise self._unreadable(kind, error) from None
        except (ValueError, TypeError, LookupError) as error:
            # Something else was written than what is read.
            raise self._damaged(kind, f"{type(error).__name__} on reading it") from None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep for good what the body adds, all of it or nothing."""
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
        """Add a row, in a transaction."""
        marks = ", ".join("?" * len(values))
        self._connection.execute(f"INSERT INTO {table} VALUES ({marks})", values)  # noqa: S608  # ours
        self._added += 1

    def execute(self, statement: str, *values: object) -> None:
        """Change rows, in a transaction."""
        self._connection.execute(statement, values)

    def close(self) -> None:
        """Close the file; leave nothing beside it."""
        with suppress(sqlite3.Error):
            if self._writable:
                self._connection.execute("PRAGMA journal_mode = DELETE")
        self._connection.close()

    def _unreadable(self, kind: type[EnrollError], error: sqlite3.Error) -> EnrollError:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith("SQLITE_CORRUPT"):
            return self._damaged(kind, str(error))
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
