"""Finds the header of a table among its first rows.

Takes rows from `roster.reading`; uses `roster.columns` to see which fields a row names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from attrs import frozen

from async_enroll.models import Action
from async_enroll.roster.cells import (
    Cell,
    Kind,
    action_of,
    course_key_of,
    edged,
    identifier_of,
    is_blank,
)
from async_enroll.roster.columns import Choice, Columns, columns_of

Row = tuple[int, Sequence[Cell]]
"""The line number of a row, and its cells."""

_FIRST = 20
"""The number of rows in which a header is looked for."""

_LONGEST_NAME = 80


@frozen
class Header:
    """A header: its line, its cells, the rows above it, and the columns it defines.

    If the row is no valid header, `columns.problems` says why.
    """

    line: int
    cells: Sequence[Cell]
    above: Sequence[Row]
    columns: Columns

    @property
    def is_whole(self) -> bool:
        """Whether it names all required fields."""
        return not self.columns.problems


def first_rows(rows: Iterator[Row]) -> list[Row]:
    """Return the first rows that are not blank."""
    return list(islice((row for row in rows if not all(map(is_blank, row[1]))), _FIRST))


def find_header(head: Sequence[Row], choice: Choice) -> Header:
    """Find the header among the first rows of a table; `head` is not empty.

    It is the first row that names all required fields, preferably by their exact names. If no row
    does, the row that names most fields is returned, and its problems say what is missing.
    """
    if not choice.header:
        return _numbered(head, choice)
    found = [_tried(row, choice) for row in head]
    whole = [at for at, columns in enumerate(found) if columns.has_all(choice.given)]
    exact = [at for at in whole if found[at].exact]
    if whole:
        at = (exact or whole)[0]
    else:
        at = max(range(len(found)), key=lambda at: (len(found[at].at), -at))
        if _is_data(head[0][1]):
            found[at].problems = [
                f"found {_first(head[0][1])} where the names of columns were expected; has the "
                "file no header? Then say --no-header"
            ]
    line, cells = head[at]
    return Header(line, cells, head[:at], found[at])


def _tried(row: Row, choice: Choice) -> Columns:
    # An address, a course key or a sentence is not the name of a column.
    names = [cell if _may_be_name(cell) else "" for cell in row[1]]
    return columns_of(names, choice)


def _may_be_name(cell: Cell) -> bool:
    if not isinstance(cell, str) or "@" in cell or len(edged(cell)) > _LONGEST_NAME:
        return False
    return not _is_key(cell)


def is_data(cells: Sequence[Cell], columns: Columns) -> bool:
    """Whether a row above the header looks like an entry."""
    who, where = (columns.at.get(name, len(cells)) for name in ("identifier", "course_id"))
    return any(map(_is_identifier, cells[who : who + 1])) or any(
        map(_is_key, cells[where : where + 1])
    )


def _is_data(cells: Sequence[Cell]) -> bool:
    return any(map(_is_identifier, cells)) or any(map(_is_key, cells))


def _first(cells: Sequence[Cell]) -> str:
    return ", ".join(repr(edged(cell)[:40]) for cell in cells if isinstance(cell, str))


def _numbered(head: Sequence[Row], choice: Choice) -> Header:
    """Return the columns of a file without a header, recognized by what they hold."""
    width = max(len(cells) for _, cells in head)
    names = [f"#{number}" for number in range(1, width + 1)]
    mapped = dict(choice.mapped)
    tests = {"identifier": _is_identifier, "course_id": _is_key, "action": _is_action}
    for field_, is_one in tests.items():
        if field_ in mapped or field_ in choice.given:
            continue
        columns = [
            [cells[at] for _, cells in head if at < len(cells) and not is_blank(cells[at])]
            for at in range(width)
        ]
        fitting = [
            at
            for at, cells in enumerate(columns)
            if cells and all(map(is_one, cells)) and names[at] not in mapped.values()
        ]
        if len(fitting) == 1:
            mapped[field_] = names[fitting[0]]
    if width == 1 and not mapped:
        mapped["identifier"] = names[0]
    told = Choice(mapped, choice.given, choice.where, choice.ignored, header=False)
    columns_ = columns_of(names, told)
    columns_.kind = Kind.ANY
    return Header(0, names, (), columns_)


def _is_identifier(cell: Cell) -> bool:
    found = identifier_of(cell, Kind.ADDRESS)
    return isinstance(found, str) and bool(found)


def _is_key(cell: Cell) -> bool:
    found = course_key_of(cell)
    return isinstance(found, str) and bool(found)


def _is_action(cell: Cell) -> bool:
    return isinstance(action_of(cell), Action)
