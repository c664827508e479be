"""Reads one file of any format: finds its header, and turns its rows into desired pairs.

`roster.forms` opens the file and recognizes the format; `text`, `objects`, `workbook` and `parquet`
yield rows; `header` and `columns` find the fields; `checks` reads each row into the desired pairs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from operator import itemgetter
from shlex import quote
from typing import IO, Any

from async_enroll.roster.cells import Cell, Unreadable, edged, is_blank, shown
from async_enroll.roster.checks import Entries, Problems
from async_enroll.roster.columns import FIELDS, Choice, Columns, columns_of, compared
from async_enroll.roster.encoding import FALLBACK, encoding_of
from async_enroll.roster.forms import Form, form_of, markup_in, opened
from async_enroll.roster.header import Header, Row, find_header, first_rows, is_data
from async_enroll.roster.names import changes_meaning, folded
from async_enroll.roster.objects import Item, is_json, json_items
from async_enroll.roster.parquet import parquet_rows
from async_enroll.roster.text import csv_rows, opened_text
from async_enroll.roster.workbook import workbook_rows

_START = 1 << 16
_SHOWN = 8


class Reading:
    """Reads one file: desired pairs into `entries`, what is wrong with it into `problems`.

    `unused` holds the names of columns that are not used.
    """

    def __init__(self, source: str, choice: Choice) -> None:
        self.problems: Problems = Problems()
        self.entries: Entries = Entries(self.problems, choice)
        self.unused: dict[str, None] = {}
        self._source = source
        self._choice = choice
        self._chosen = _Chosen(self.problems)

    def read(self, path: str | os.PathLike[str]) -> None:
        """Read a file.

        Raises:
            OSError: if it cannot be read.
            ConfigurationError: if an extra is not installed.

        """
        try:
            with opened(path) as file:
                self._read(file)
        except ValueError as error:
            self.problems.fail(str(error))
        self.entries.finish()
        self._chosen.finish()
        if not len(self.entries.desired) and not self.problems.count:
            rows = "no rows" if not self._chosen.left_out else "no rows that --where chooses"
            self.problems.fail(f"{rows} below the header")

    def _read(self, file: IO[bytes]) -> None:
        form = form_of(file)
        if self._choice.sheet is not None and form is not Form.WORKBOOK:
            self.problems.fail("has no sheets; leave out --sheet")
        match form:
            case Form.TEXT:
                self._read_text(file)
            case Form.PARQUET:
                self._take_table(parquet_rows(file, self._source))
            case Form.WORKBOOK:
                rows = workbook_rows(file, self._source, self._choice, self.problems)
                self._take_table(rows)

    def _read_text(self, file: IO[bytes]) -> None:
        encoding = encoding_of(file)
        if encoding == FALLBACK:
            self.problems.warnings.append(
                "the file is not UTF-8, and was read as Windows-1252; look at names with accents"
            )
        text = opened_text(file, encoding)
        try:
            start = text.read(_START)
            text.seek(0)
            if words := markup_in(start):
                self.problems.fail(f"found {words}")
            elif is_json(start):
                self._take_objects(json_items(text, self.problems))
            else:
                self._take_table(csv_rows(text, self.problems, self._recognised))
        except UnicodeDecodeError as error:
            self.problems.fail(f"not readable as {error.encoding} to its end: {error.reason}")
        finally:
            text.detach()

    def _recognised(self, rows: Sequence[Sequence[str]]) -> int:
        """Return how many fields are found in a table that begins with `rows`."""
        head = first_rows(iter(enumerate(rows)))
        return len(find_header(head, self._choice).columns.at) if head else 0

    def _take_table(self, rows: Iterator[Row]) -> None:
        head = first_rows(rows)
        if not head:
            self.problems.fail("empty; expected a header and rows")
            return
        header = find_header(head, self._choice)
        columns = header.columns
        for problem in columns.problems:
            self.problems.fail(problem, header.line)
        self._look_above(header)
        if columns.problems:
            return
        self.unused.update(dict.fromkeys(columns.unused))
        self.entries.begin(columns, header.cells)
        below = head if not self._choice.header else head[len(header.above) + 1 :]
        take = self._taking(columns)
        width = columns.width
        for line, cells in chain(below, rows):
            if len(cells) != width:
                fitted = _fitted(cells, width)
                if fitted is None:
                    if not self.entries.is_other_header(line, cells):
                        found = f"found {len(cells)}, expected {width}"
                        self.problems.add(line, f", cells: {found}")
                    continue
                cells = fitted
            take(line, cells)

    def _look_above(self, header: Header) -> None:
        if not header.above or header.columns.problems:
            return
        for line, cells in header.above:
            if is_data(cells, header.columns):
                self.problems.fail("stands above the header, which is no place for rows", line)
                return
        count = len(header.above)
        passed = "the row" if count == 1 else f"the {count} rows"
        self.problems.warnings.append(
            f"the header was found in line {header.line}; {passed} above it passed over"
        )

    def _take_objects(self, items: Iterator[Item]) -> None:
        kinds: dict[tuple[str, ...], tuple[Columns, Callable[[int, Sequence[Cell]], None]]] = {}
        current: tuple[str, ...] | None = None
        for line, names, cells in items:
            known = kinds.get(names)
            if known is None:
                columns = columns_of(names, self._choice)
                known = columns, self._taking(columns)
                if len(kinds) < _START:
                    kinds[names] = known
                self.unused.update(dict.fromkeys(columns.unused))
            columns, take = known
            if columns.problems:
                self.problems.add(line, f": {columns.problems[0]}")
            else:
                if names != current:
                    current = names
                    self.entries.begin(columns, names)
                take(line, cells)

    def _taking(self, columns: Columns) -> Callable[[int, Sequence[Cell]], None]:
        """Return a function that takes a row of these columns."""
        given = [self._choice.given.get(name, "") for name in FIELDS]
        # The values given for all rows are appended to each row, as if they were columns.
        pick = itemgetter(
            *(columns.at.get(name, columns.width + at) for at, name in enumerate(FIELDS))
        )
        add = self.entries.add
        if not columns.where and not columns.watched:
            return lambda line, cells: add(line, cells, *pick([*cells, *given]))

        def take(line: int, cells: Sequence[Cell]) -> None:
            picked = pick([*cells, *given])
            if self._chosen.is_chosen(line, cells, columns, entries=self.entries, who=picked[:2]):
                add(line, cells, *picked)

        return take


class _Chosen:
    """Selects rows with `--where`, and watches status columns that nothing was said about."""

    def __init__(self, problems: Problems) -> None:
        self.left_out = 0
        self._problems = problems
        self._values: dict[str, dict[str, None]] = {}
        self._changed: dict[str, tuple[int, str]] = {}
        self._known: dict[tuple[str, Cell], bool] = {}

    def is_chosen(
        self,
        line: int,
        cells: Sequence[Cell],
        columns: Columns,
        *,
        entries: Entries,
        who: tuple[Any, ...],
    ) -> bool:
        """Whether a row is selected. Note the values of its status columns."""
        for at, _, values in columns.where:
            if compared(_text(cells[at])) not in values:
                # What stands between the rows has nothing in the column, and is looked at.
                if is_blank(cells[at]) and not entries.is_entry(*who):
                    continue
                self.left_out += 1
                return False
        for at, name in columns.watched:
            self._watch(line, name, cells[at])
        return True

    def _watch(self, line: int, name: str, cell: Cell) -> None:
        known = self._known.get((name, cell))
        if known is None:
            text = edged(_text(cell))
            known = changes_meaning(folded(name), text)
            values = self._values.setdefault(name, {})
            if text and len(values) < _SHOWN:
                values[text] = None
            if len(self._known) < _START:
                self._known[name, cell] = known
            if known:
                self._changed.setdefault(name, (line, text))

    def finish(self) -> None:
        """Refuse the file if a status column changes what rows mean; warn about rows left out."""
        for name, (line, value) in self._changed.items():
            values = self._values[name]
            good = [one for one in values if not changes_meaning(folded(name), one)]
            example = quote(f"{name}={good[0] if good else '…'}")
            self._problems.fail(
                f"the column {name!r} is not used, and holds {shown(value)} (of "
                f"{', '.join(map(shown, values))}): say which rows count with --where {example}, "
                "repeated for several values, or that it changes nothing with --ignore-column "
                f"{quote(name)}",
                line,
            )
        if self.left_out:
            rows = "1 row is" if self.left_out == 1 else f"{self.left_out:,} rows are"
            self._problems.warnings.append(f"{rows} left out by --where")


def _text(cell: Cell) -> str:
    return cell.text if isinstance(cell, Unreadable) else cell


def _fitted(cells: Sequence[Cell], width: int) -> Sequence[Cell] | None:
    """Return a row as long as the header; None if it has values beyond that."""
    if len(cells) < width:
        return [*cells, *[""] * (width - len(cells))]
    return cells[:width] if all(map(is_blank, cells[width:])) else None
