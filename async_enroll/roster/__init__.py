"""Reads rosters from files, and checks them whole before anything is sent.

It takes CSV, JSON Lines, Excel and Parquet, and gives desired pairs to `planning`.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Self

from attrs import field, frozen

from async_enroll.errors import ConfigurationError, RosterError
from async_enroll.models import Action, RosterEntry
from async_enroll.planning.desired import Desired
from async_enroll.roster.checks import Entries, Problems
from async_enroll.roster.columns import FIELDS, Columns, columns_of
from async_enroll.roster.encoding import FALLBACK, encoding_of
from async_enroll.roster.tables import excel_rows, parquet_rows
from async_enroll.roster.text import Row, csv_rows, is_json_lines, json_rows, opened

# What some files begin with that are no text.
_KINDS = {b"PAR1": parquet_rows, b"PK\x03\x04": excel_rows}
_UNREADABLE = {
    b"\xd0\xcf\x11\xe0": "an Excel file of the old kind; save it as .xlsx or CSV",
    b"\x1f\x8b": "a compressed file; unpack it first",
    b"%PDF": "a PDF file; expected a table",
}


@frozen
class Roster:
    """What a file wants of whom; `source` is the file's name.

    Iterates as entries, learner by learner, as often as needed; an entry that repeats
    another is left out, so that the length is the number of pairs. `skipped` has the bad
    rows that were left out, the first ten thousand, in words; `warnings` what is worth
    knowing before it is applied.
    """

    source: str
    desired: Desired = field(repr=False)
    skipped: tuple[str, ...] = field(default=(), repr=False)
    warnings: tuple[str, ...] = field(default=(), repr=False)

    def __iter__(self) -> Iterator[RosterEntry]:
        return iter(self.desired)

    def __len__(self) -> int:
        return len(self.desired)

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str],
        *,
        columns: Mapping[str, str] | None = None,
        course_id: str | None = None,
        action: Action | None = None,
        cohort: str | None = None,
        skip_bad_rows: bool = False,
    ) -> Self:
        """Read a roster from a file, or from standard input where `path` is ``-``. Blocks.

        The file is CSV (its delimiter a comma, a semicolon, a tab or a bar; its encoding
        UTF-8, UTF-16 or Windows-1252), JSON Lines or, with the extra ``files``, Parquet or
        the first sheet of an Excel file. Its columns, in English or French: an identifier
        (``identifier``, ``email``, ``username``, ``courriel``, …), a course key
        (``course_id``, ``course``, ``cours``, …) and, where wanted, ``action`` (``enroll`` or
        ``unenroll``; empty: enroll) and ``cohort``. Other columns and blank rows are passed
        over.

        Args:
            path: The file.
            columns: What fields are called in the file, as in ``{"identifier": "Mail"}``.
            course_id: The course key for a file without such a column.
            action: What to do where the file has no such column; None: enroll.
            cohort: The cohort for a file without such a column.
            skip_bad_rows: Whether bad rows are left out, instead of being an error.

        Raises:
            RosterError: naming everything that is wrong with the file, by line and column.
            ConfigurationError: where `path` is no path, `columns` names other fields, or the
                extra is missing.

        """
        if not isinstance(path, str | os.PathLike):
            raise ConfigurationError(f"path is a {type(path).__name__}; expected a file's path")
        source = "standard input" if os.fspath(path) == "-" else os.fspath(path)
        if unknown := set(columns or {}) - set(FIELDS):
            raise ConfigurationError(
                f"columns names {', '.join(sorted(unknown))}; expected {', '.join(FIELDS)}"
            )
        values = {"course_id": course_id, "action": action and action.value, "cohort": cohort}
        given = {name: value for name, value in values.items() if value is not None}
        reading = _Reading(source, partial(columns_of, mapped=columns or {}, given=given), given)
        try:
            with _opened(path) as file:
                reading.read(file)
        except OSError as error:
            raise RosterError(source, [(error.strerror or str(error)).lower()]) from None
        return cls(source, *reading.result(skip_bad_rows=skip_bad_rows))


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    if os.fspath(path) != "-":
        with Path(path).open("rb") as file:
            yield file
        return
    # Files are read twice where their encoding is to be found out.
    with TemporaryFile() as spool:
        shutil.copyfileobj(sys.stdin.buffer, spool)
        spool.seek(0)
        yield spool


class _Reading:
    """Reads one file."""

    def __init__(self, source: str, columns: partial[Columns], given: Mapping[str, str]) -> None:
        self._source = source
        self._columns = columns
        self._given = given
        self._problems = Problems()
        self._entries = Entries(self._problems)
        self._warnings: list[str] = []

    def result(self, *, skip_bad_rows: bool) -> tuple[Desired, tuple[str, ...], tuple[str, ...]]:
        """What is wanted, the rows left out, and the warnings.

        Raises:
            RosterError: where there are bad rows that are not to be left out.

        """
        self._entries.finish()
        problems = self._problems
        if not len(self._entries.desired) and not problems.count:
            problems.add(0, "no rows below the header")
            problems.fatal = True
        if problems.count and (problems.fatal or not skip_bad_rows):
            raise RosterError(self._source, problems.words, problems.count)
        warnings = [*self._warnings, *self._entries.warnings()]
        return self._entries.desired, tuple(problems.words), tuple(warnings)

    def read(self, file: IO[bytes]) -> None:
        """Take in a file."""
        start = file.read(4)
        file.seek(0)
        for mark, words in _UNREADABLE.items():
            if start.startswith(mark):
                self._fail(f"found {words}")
                return
        if not start:
            self._fail("empty; expected a header and rows")
        elif start in _KINDS:
            try:
                self._take_table(_KINDS[start](file, self._source))
            except ValueError as error:
                self._fail(str(error))
        else:
            self._read_text(file)

    def _fail(self, words: str, line: int = 0) -> None:
        self._problems.add(line, words)
        self._problems.fatal = True

    def _read_text(self, file: IO[bytes]) -> None:
        encoding = encoding_of(file)
        if encoding == FALLBACK:
            self._warnings.append(
                "the file is not UTF-8, and was read as Windows-1252; look at names with accents"
            )
        text = opened(file, encoding)
        try:
            json = is_json_lines(text)
            text.seek(0)
            if json:
                self._take(json_rows(text, self._problems))
            else:
                self._take_table(csv_rows(text, self._problems, self._recognised))
        except UnicodeDecodeError as error:
            self._fail(f"not readable as {error.encoding} to its end: {error.reason}")
        finally:
            text.detach()

    def _recognised(self, header: Sequence[str]) -> int:
        return len(self._columns(header).at)

    def _take_table(self, rows: Iterator[Row]) -> None:
        """Take rows below a header, which is the first of them."""
        line, header, _ = next(rows, (0, (), ()))
        if not any(name.strip() for name in header):
            self._fail("empty; expected a header and rows")
            return
        columns = self._columns(header)
        for problem in columns.problems:
            self._fail(f": {problem}", line)
        if not columns.problems:
            self._take(rows)

    def _take(self, rows: Iterator[Row]) -> None:
        names: tuple[str, ...] | None = None
        given = [self._given.get(field_, "") for field_ in FIELDS]
        for line, header, row in rows:
            if header is not names:
                names, columns = header, self._columns(header)
                # Behind its last cell, a row gets what is given for all rows, or nothing.
                pick = itemgetter(
                    *(
                        columns.at.get(field_, len(header) + number)
                        for number, field_ in enumerate(FIELDS)
                    )
                )
            if columns.problems:
                self._problems.add(line, f": {columns.problems[0]}")
            else:
                self._entries.add(line, columns.names, *pick([*row, *given]))
