"""Enrollments counted by course, in each of the forms of `records`."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import IO

import msgspec
from rich import box
from rich.table import Table

from async_enroll.cli.console import OUT, note, printable
from async_enroll.cli.output.records import Write
from async_enroll.files import safe_cell
from async_enroll.models import Enrollment
from async_enroll.reports.summary import counted

_COLUMNS = ("course_id", "enrollments", "active")


def counting(
    form: str, courses: Sequence[str]
) -> Callable[[IO[str]], AbstractContextManager[Write]]:
    """A writer of one line per course: of those with enrollments, and in any case of `courses`.

    `form` is "csv", "jsonl" or "table".
    """

    @contextmanager
    def writer(file: IO[str]) -> Iterator[Write]:
        every: Counter[str] = Counter(dict.fromkeys(courses, 0))
        active: Counter[str] = Counter()

        def write(records: Sequence[Enrollment]) -> None:
            every.update(record.course_id for record in records)
            active.update(record.course_id for record in records if record.is_active)

        yield write
        rows = [(key, number, active[key]) for key, number in sorted(every.items())]
        match form:
            case "csv":
                lines = csv.writer(file, lineterminator="\n")
                lines.writerow(_COLUMNS)
                lines.writerows((safe_cell(key), *numbers) for key, *numbers in rows)
            case "jsonl":
                for row in rows:
                    told = msgspec.json.encode(dict(zip(_COLUMNS, row, strict=True)))
                    file.write(f"{told.decode()}\n")
            case _:
                _print(rows)

    return writer


def _print(rows: Sequence[tuple[str, int, int]]) -> None:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("course", overflow="fold")
    table.add_column("enrollments", justify="right")
    table.add_column("active", justify="right")
    for key, number, active in rows:
        table.add_row(printable(key), f"{number:,}", f"{active:,}")
    OUT.print(table)
    total = sum(number for _, number, _ in rows)
    note(f"{counted(total, 'enrollment')} in {counted(len(rows), 'course')}")
