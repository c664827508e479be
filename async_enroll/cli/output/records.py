"""Formats for lists of enrollments: CSV, JSON Lines, a table."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

import msgspec
from rich import box
from rich.table import Table

from async_enroll.cli.console import OUT, note, printable
from async_enroll.files import safe_cell
from async_enroll.models import Enrollment
from async_enroll.reports.summary import counted

Write = Callable[[Sequence[Enrollment]], None]
"""Takes the next enrollments to write."""

_COLUMNS = ("username", "email", "course_id", "is_active", "mode", "created")
_LONGEST_TABLE = 1000


@contextmanager
def csv_records(file: IO[str]) -> Iterator[Write]:
    """CSV with a header. Cells that look like formulas are prefixed with an apostrophe."""
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(_COLUMNS)

    def write(records: Sequence[Enrollment]) -> None:
        rows.writerows(_csv_row(record) for record in records)

    yield write


@contextmanager
def json_lines(file: IO[str]) -> Iterator[Write]:
    """One JSON object per line."""

    def write(records: Sequence[Enrollment]) -> None:
        file.writelines(f"{msgspec.json.encode(_object(record)).decode()}\n" for record in records)

    yield write


@contextmanager
def table(_: IO[str]) -> Iterator[Write]:
    """A table of the first thousand enrollments, printed once all have arrived."""
    shown: list[Enrollment] = []
    count = 0

    def write(records: Sequence[Enrollment]) -> None:
        nonlocal count
        count += len(records)
        shown.extend(records[: _LONGEST_TABLE - len(shown)])

    yield write
    OUT.print(_table(shown))
    if count > len(shown):
        note(f"… and {count - len(shown):,} more; use --format csv to list all {count:,}")
    else:
        note(counted(count, "enrollment"))


def _object(record: Enrollment) -> dict[str, Any]:
    return {
        "username": record.username,
        "email": record.email,
        "course_id": record.course_id,
        "is_active": record.is_active,
        "mode": record.mode,
        "created": record.created and record.created.isoformat(),
    }


def _csv_row(record: Enrollment) -> list[str]:
    cells = (
        record.username,
        record.email or "",
        record.course_id,
        str(record.is_active).lower(),
        record.mode,
        record.created.isoformat() if record.created else "",
    )
    return [safe_cell(cell) for cell in cells]


def _table(records: Sequence[Enrollment]) -> Table:
    rows = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in ("username", "e-mail", "course", "active", "mode", "created"):
        rows.add_column(heading, overflow="fold")
    for record in records:
        rows.add_row(
            printable(record.username),
            printable(record.email or "-"),
            printable(record.course_id),
            "yes" if record.is_active else "no",
            printable(record.mode),
            f"{record.created:%Y-%m-%d}" if record.created else "-",
            style=None if record.is_active else "dim",
        )
    return rows
