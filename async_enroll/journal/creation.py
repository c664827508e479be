"""Creates the file of a new journal, completely or not at all.

Takes a job's description and planned work from `journal.journal`; `journal.store` writes the rest.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from attrs import asdict

from async_enroll.errors import JournalError
from async_enroll.journal.database import OURS, SCHEMA, VERSION
from async_enroll.journal.results import encode_lines
from async_enroll.journal.rows import pack
from async_enroll.journal.store import BATCH, Description, LeftAlonePairs
from async_enroll.models import Batch
from async_enroll.planning.desired import Desired, Lines
from async_enroll.planning.validation import Work
from async_enroll.results import Block


def create(
    path: Path,
    description: Description,
    work: Iterable[Work],
    lines: Lines | None = None,
    rows: Desired | None = None,
    left_alone: Iterable[LeftAlonePairs] = (),
) -> None:
    """Write a new journal, completely or not at all.

    `lines` tells where in the roster's file the pairs stand; `rows` is the roster of a sync;
    `left_alone`, whom an undo leaves so.

    Raises:
        JournalError: if it cannot be written.

    """
    draft = path.with_name(f".{path.name}.new")
    try:
        draft.unlink(missing_ok=True)  # left by a process that was killed
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with closing(sqlite3.connect(draft, isolation_level=None)) as database:
            _fill(database, description, work, lines, rows, left_alone)
        draft.rename(path)
        _sync(path.parent)
    except (sqlite3.Error, OSError) as error:
        raise JournalError(f"the journal {path} cannot be written: {error}") from None
    finally:
        for leftover in (draft, draft.with_name(f"{draft.name}-journal")):
            leftover.unlink(missing_ok=True)


def _fill(
    database: sqlite3.Connection,
    description: Description,
    work: Iterable[Work],
    lines: Lines | None,
    rows: Desired | None,
    left_alone: Iterable[LeftAlonePairs],
) -> None:
    database.execute("PRAGMA journal_mode = OFF")  # if this fails, there is nothing to go back to
    database.executescript(
        f"BEGIN; PRAGMA application_id = {OURS}; PRAGMA user_version = {VERSION}; {SCHEMA}"
    )
    database.execute("INSERT INTO job VALUES (?)", (json.dumps(asdict(description)),))
    database.executemany("INSERT INTO synced VALUES (?, ?)", pack(rows) if rows else ())
    database.executemany("INSERT INTO left_alone VALUES (?, ?, ?)", left_alone)
    for item in work:
        match item:
            case Block():
                values = [
                    (
                        one.identifier,
                        one.course_id,
                        one.action.value,
                        one.outcome.value,
                        one.error,
                        one.cohort,
                    )
                    for one in item
                ]
                database.execute("INSERT INTO unsent VALUES (?)", (json.dumps(values),))
            case Batch():
                database.execute(
                    f"INSERT INTO planned ({BATCH}, pairs, lines)"  # noqa: S608  # ours
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        item.action.value,
                        ",".join(item.courses),
                        None if item.cohorts is None else ",".join(item.cohorts),
                        item.auto_enroll,
                        ",".join(item.identifiers),
                        item.pairs,
                        encode_lines(item, lines) if lines else None,
                    ),
                )
    database.execute("COMMIT")


def _sync(directory: Path) -> None:
    """Make a new name in a directory survive a power loss."""
    number = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
