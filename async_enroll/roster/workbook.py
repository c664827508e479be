"""Reads rows of Excel workbooks for `roster.reading`, with python-calamine.

What the library does not report (formats, hidden rows, formulas without values) comes from the
workbook's XML: `roster.sheet_xml`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any

from async_enroll.roster.cells import Cell, Unreadable, is_blank, text_of
from async_enroll.roster.checks import Problems
from async_enroll.roster.columns import Choice
from async_enroll.roster.header import Row, find_header, first_rows
from async_enroll.roster.parquet import missing
from async_enroll.roster.sheet_xml import Row as Noted
from async_enroll.roster.sheet_xml import rows_of

if TYPE_CHECKING:
    from python_calamine import CalamineSheet, CalamineWorkbook

_Range = tuple[tuple[int, int], tuple[int, int]]


def workbook_rows(
    file: IO[bytes], source: str, choice: Choice, problems: Problems
) -> Iterator[Row]:
    """Yield the rows of the sheet that is a roster.

    Raises:
        ConfigurationError: if python-calamine is not installed.
        ValueError: if the file cannot be read, or several sheets may be meant.

    """
    try:
        import python_calamine as calamine
    except ImportError:
        raise missing(source) from None
    try:
        book = calamine.CalamineWorkbook.from_filelike(file)
        sheet = _chosen(book, choice, problems)
        yield from _Rows(sheet, rows_of(file, sheet.name), choice, problems)
    except calamine.PasswordError:
        raise ValueError("found a workbook with a password; save it without one") from None
    except (calamine.CalamineError, IndexError, OSError) as error:
        raise ValueError(f"not readable as Excel: {error}") from None


def _chosen(book: CalamineWorkbook, choice: Choice, problems: Problems) -> CalamineSheet:
    """Return the sheet that the caller named, or the one visible sheet with a roster's header."""
    from python_calamine import SheetTypeEnum, SheetVisibleEnum

    visible: list[str] = []
    hidden: list[str] = []
    for told in book.sheets_metadata:
        if told.typ == SheetTypeEnum.WorkSheet:
            (visible if told.visible == SheetVisibleEnum.Visible else hidden).append(told.name)
    if choice.sheet is not None:
        if choice.sheet not in visible + hidden:
            raise ValueError(f"found no sheet {choice.sheet!r}; expected {_listed(visible, 'or')}")
        return book.get_sheet_by_name(choice.sheet)
    if hidden:
        problems.warnings.append(f"not read: {_sheets(hidden)}, hidden; --sheet reads one")
    sheets = {name: book.get_sheet_by_name(name) for name in visible}
    filled = {name: head for name, sheet in sheets.items() if (head := _head(sheet))}
    found = [
        name
        for name, head in filled.items()
        if find_header(head, choice).columns.has_all(choice.given)
    ]
    if len(found) > 1:
        raise ValueError(f"found rosters in {_sheets(found)}; choose one with --sheet")
    if not filled:
        raise ValueError("empty; expected a header and rows in a sheet that is not hidden")
    name = (found or [*filled])[0]
    if others := [other for other in filled if other != name]:
        problems.warnings.append(f"not read: {_sheets(others)}; --sheet reads another")
    return sheets[name]


def _sheets(names: Sequence[str]) -> str:
    return f"the sheet {names[0]!r}" if len(names) == 1 else f"the sheets {_listed(names, 'and')}"


def _listed(names: Sequence[str], word: str) -> str:
    return f" {word} ".join(filter(None, [", ".join(map(repr, names[:-1])), repr(names[-1])]))


def _head(sheet: CalamineSheet) -> list[Row]:
    return first_rows((line, [text_of(cell) for cell in row]) for line, row in _lines(sheet))


def _lines(sheet: CalamineSheet) -> Iterable[tuple[int, list[Any]]]:
    # iter_rows starts with the first row of the sheet, but with its first column in use.
    return enumerate(sheet.iter_rows(), 1)


class _Rows:
    """The rows of a sheet, corrected by what its XML says about them."""

    def __init__(
        self, sheet: CalamineSheet, noted: Iterator[Noted], choice: Choice, problems: Problems
    ) -> None:
        self._sheet = sheet
        self._left = (sheet.start or (0, 0))[1]
        self._noted = noted
        self._next: Noted | None = next(noted, None)
        self._choice = choice
        self._problems = problems
        self._hidden: list[int] = []
        # A cell merged with one above or beside it has no value of its own.
        self._merged: list[_Range] = list(sheet.merged_cell_ranges or ())

    def __iter__(self) -> Iterator[Row]:
        for line, row in _lines(self._sheet):
            note = self._note(line)
            cells = [text_of(cell) for cell in row]
            if note is not None:
                self._amend(cells, row, note)
            if self._merged:
                self._mark_merged(line, cells)
            if note is None or not note.hidden or self._is_shown(line, cells):
                yield line, cells
        width = len(row) if self._sheet.end else 0
        # The library stops before trailing rows that have only formulas without values.
        while (note := self._next) is not None:
            self._next = next(self._noted, None)
            cells = [""] * width
            self._amend(cells, [], note)
            if not note.hidden or self._is_shown(note.line, cells):
                yield note.line, cells
        self._tell_hidden()

    def _note(self, line: int) -> Noted | None:
        note = self._next
        if note is None or note.line > line:
            return None
        if note.line < line:
            raise ValueError("not readable as Excel: the rows of the sheet are in no order")
        self._next = next(self._noted, None)
        return note

    def _amend(self, cells: list[Cell], row: Sequence[Any], note: Noted) -> None:
        for column, words in note.cells.items():
            if 0 <= (at := column - self._left) < len(cells):
                cells[at] = words
        for column in note.formats:
            at = column - self._left
            value = row[at] if 0 <= at < len(row) else None
            if isinstance(value, int | float) and not isinstance(cells[at], Unreadable):
                cells[at] = note.number(column, value) or cells[at]

    def _mark_merged(self, line: int, cells: list[Cell]) -> None:
        for (top, left), (bottom, right) in self._merged:
            if top < line - 1 <= bottom:
                for column in range(left, right + 1):
                    at = column - self._left
                    if 0 <= at < len(cells) and is_blank(cells[at]):
                        cells[at] = Unreadable(
                            f"found a cell merged with that in line {top + 1}; expected a cell "
                            "for each row"
                        )

    def _is_shown(self, line: int, cells: Sequence[Cell]) -> bool:
        """Whether to read a hidden row. Note it unless it is blank."""
        if not all(map(is_blank, cells)):
            self._hidden.append(line)
        return self._choice.hidden_rows == "include"

    def _tell_hidden(self) -> None:
        if not self._hidden:
            return
        line, more = self._hidden[0], len(self._hidden) - 1
        rows = f"hidden, as are {more:,} more rows" if more else "hidden"
        match self._choice.hidden_rows:
            case None:
                self._problems.fail(
                    f"the row is {rows}, maybe by a filter; say --hidden-rows include or skip", line
                )
            case "skip":
                count = "1 hidden row was" if not more else f"{more + 1:,} hidden rows were"
                self._problems.warnings.append(f"{count} skipped")
