"""Rosters in files: read whole and checked whole, before anything is sent.

`Roster.read` chooses the format; `_Entries` checks what any format yields.
"""

from __future__ import annotations

import csv
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Self

from attrs import define, field, frozen

from async_enroll.errors import RosterError
from async_enroll.models import Action, RosterEntry

_IDENTIFIER = ("identifier", "email", "username")
_COLUMNS = (*_IDENTIFIER, "course_id", "action", "cohort")
_ACTIONS = {"": Action.ENROLL, "enroll": Action.ENROLL, "unenroll": Action.UNENROLL}

# What a byte that is not UTF-8 is read as, with errors="surrogateescape".
_UNDECODABLE = re.compile("[\udc80-\udcff]")


@frozen
class Roster:
    """The entries of a file, in their order; `source` is the file's name.

    A sequence to iterate over as often as needed. An entry that repeats another is left
    out, so that the length is the number of pairs.
    """

    source: str
    entries: tuple[RosterEntry, ...] = field(repr=False)

    def __iter__(self) -> Iterator[RosterEntry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Read a roster from a file, or from standard input where `path` is ``-``. Blocks.

        The file is CSV, in UTF-8, with a header. Its columns: one of ``identifier``,
        ``email`` and ``username``; ``course_id``; where wanted ``action`` (``enroll`` or
        ``unenroll``; empty: enroll) and ``cohort``. Other columns and blank lines are
        passed over.

        Raises:
            RosterError: naming everything that is wrong with the file, by line and column.

        """
        source = "standard input" if os.fspath(path) == "-" else os.fspath(path)
        try:
            with _opened(path) as file:
                entries, problems = _read_csv(file)
        except OSError as error:
            raise RosterError(source, [(error.strerror or str(error)).lower()]) from None
        if problems:
            raise RosterError(source, problems)
        return cls(source, entries)


def _opened(path: str | os.PathLike[str]) -> IO[str]:
    # Undecodable bytes are let in, to be found with the number of their line.
    if os.fspath(path) == "-":
        return open(0, encoding="utf-8-sig", errors="surrogateescape", newline="", closefd=False)
    return Path(path).open(encoding="utf-8-sig", errors="surrogateescape", newline="")


@define
class _Entries:
    """Collects entries and, in words, what is wrong with them."""

    problems: list[str] = field(factory=list)
    _entries: list[RosterEntry] = field(factory=list)
    _lines: list[int] = field(factory=list)
    _places: dict[str, dict[str, int]] = field(factory=dict)

    def add(
        self, line: int, column: str, identifier: str, course_id: str, action: str, cohort: str
    ) -> None:
        """Take the cells of one entry, stripped; `column` is what the identifier's is called."""
        wanted = _ACTIONS.get(action.lower())
        before = len(self.problems)
        if not identifier:
            self._expect(line, column, identifier, "an e-mail address or a username")
        if not course_id:
            self._expect(line, "course_id", course_id, "a course key")
        if wanted is None:
            self._expect(line, "action", action, "enroll or unenroll")
        elif cohort and wanted is Action.UNENROLL:
            self._expect(line, "cohort", cohort, "nothing: cohorts go with enroll only")
        if wanted is None or len(self.problems) > before:
            return
        # Few course keys and cohorts stand in millions of rows: equal ones are one object.
        entry = RosterEntry(
            identifier, sys.intern(course_id), wanted, sys.intern(cohort) if cohort else None
        )
        place = self._places.setdefault(entry.course_id, {}).setdefault(
            identifier, len(self._entries)
        )
        if place == len(self._entries):
            self._entries.append(entry)
            self._lines.append(line)
        elif self._entries[place] != entry:
            self.problems.append(
                f"line {line}: {_wish(entry)} contradicts line {self._lines[place]}, "
                f"{_wish(self._entries[place])}, for {_shown(identifier)} in {_shown(course_id)}"
            )

    def result(self) -> tuple[tuple[RosterEntry, ...], list[str]]:
        """The entries, and what is wrong: also that there are none."""
        if not self._entries and not self.problems:
            self.problems.append("no rows below the header")
        return tuple(self._entries), self.problems

    def _expect(self, line: int, column: str, found: str, expected: str) -> None:
        self.problems.append(
            f"line {line}, column {column}: found {_shown(found)}, expected {expected}"
        )


def _shown(text: str) -> str:
    return repr(text) if len(text) <= 80 else f"{text[:80]!r}…"


def _wish(entry: RosterEntry) -> str:
    return entry.action.value + (f" in cohort {_shown(entry.cohort)}" if entry.cohort else "")


def _read_csv(file: IO[str]) -> tuple[tuple[RosterEntry, ...], list[str]]:
    entries = _Entries()
    rows = _rows(file, entries.problems)
    header_line, header = next(rows, (0, []))
    if not header:
        return (), entries.problems or ["empty; expected a header and rows"]
    names = [name.strip().lower() for name in header]
    if wrong := _header_problems(names):
        return (), entries.problems + [f"line {header_line}: {problem}" for problem in wrong]
    column = next(name for name in _IDENTIFIER if name in names)
    identifier, course_id = names.index(column), names.index("course_id")
    # One past the last cell, where `row` gets an empty one for columns that are not there.
    action, cohort = (
        names.index(name) if name in names else len(names) for name in ("action", "cohort")
    )
    for line, row in rows:
        if len(row) != len(names):
            entries.problems.append(f"line {line}, cells: found {len(row)}, expected {len(names)}")
            continue
        row.append("")
        entries.add(
            line,
            column,
            row[identifier].strip(),
            row[course_id].strip(),
            row[action].strip(),
            row[cohort].strip(),
        )
    return entries.result()


def _rows(file: IO[str], problems: list[str]) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, each with the number of the line it starts in."""
    # Strict, lest an unbalanced quote silently swallows the rows that follow.
    reader = csv.reader(_checked(file, problems), strict=True)
    line = 1
    try:
        for row in reader:
            if any(map(str.strip, row)):
                yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        problems.append(f"line {line}: not readable as CSV from here on: {error}")


def _checked(lines: Iterable[str], problems: list[str]) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        if not line.isascii() and (found := _UNDECODABLE.search(line)):
            byte = ord(found[0]) - 0xDC00
            problems.append(f"line {number}: found the byte 0x{byte:02X}, expected UTF-8")
        if "\0" in line:
            problems.append(f"line {number}: found a NUL character, expected text")
        yield line


def _header_problems(names: list[str]) -> list[str]:
    counts = Counter(name for name in names if name in _COLUMNS)
    problems = [
        f"column {name} occurs {count} times, expected once"
        for name, count in counts.items()
        if count > 1
    ]
    found = f"found {', '.join(_shown(name) for name in names if name)}"
    identifiers = [name for name in _IDENTIFIER if name in counts]
    if len(identifiers) != 1:
        problems.append(f"{found}; expected exactly one of {', '.join(_IDENTIFIER)}")
    if "course_id" not in counts:
        problems.append(f"{found}; expected a column course_id")
    return problems
