"""Workbooks: which sheet and rows are read, and cells whose value is not what it seems."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from async_enroll import Action, Roster, RosterError

KEY = "course-v1:Org+C1+2026"
JANE, JOE, ANN = "jane@example.org", "joe@example.org", "ann@example.org"
HEADER = ("email", "course_id", "action", "cohort")

Change = Callable[[Any, Any], object]
"""What is done to a workbook, and to its first sheet."""


def book(path: Path, rows: Iterable[Iterable[object]], *changes: Change) -> Path:
    made = openpyxl.Workbook()
    for row in rows:
        made.active.append(list(row))
    for change in changes:
        change(made, made.active)
    made.save(path)
    made.close()
    return path


def more(name: str, *rows: Iterable[object], state: str = "visible") -> Change:
    def change(made: Any, _: object) -> None:
        sheet = made.create_sheet(name)
        sheet.sheet_state = state
        for row in rows:
            sheet.append(list(row))

    return change


def problems(path: Path, **options: Any) -> list[str]:
    with pytest.raises(RosterError) as caught:
        Roster.read(path, **options)
    return caught.value.problems


def people(path: Path, **options: Any) -> list[str]:
    return [entry.identifier for entry in Roster.read(path, **options)]


def test_several_rosters(tmp_path: Path) -> None:
    path = book(tmp_path / "r.xlsx", [HEADER, (JANE, KEY)], more("More", HEADER, (JOE, KEY)))
    assert problems(path) == [
        "found rosters in the sheets 'Sheet' and 'More'; choose one with --sheet"
    ]
    assert people(path, sheet="More") == [JOE]
    assert problems(path, sheet="None") == ["found no sheet 'None'; expected 'Sheet' or 'More'"]


def test_the_sheet_that_is_a_roster(tmp_path: Path) -> None:
    hidden = more("Old", HEADER, (ANN, KEY), state="veryHidden")
    path = book(tmp_path / "r.xlsx", [["Read me"]], more("List", HEADER, (JOE, KEY)), hidden)
    roster = Roster.read(path)
    assert [entry.identifier for entry in roster] == [JOE]
    assert roster.warnings == (
        "not read: the sheet 'Old', hidden; --sheet reads one",
        "not read: the sheet 'Sheet'; --sheet reads another",
    )


def hide(*lines: int) -> Change:
    def change(_: object, sheet: Any) -> None:
        for line in lines:
            sheet.row_dimensions[line].hidden = True

    return change


def test_hidden_rows(tmp_path: Path) -> None:
    rows = [HEADER, (JANE, KEY), (JOE, KEY), (ANN, KEY)]
    path = book(tmp_path / "r.xlsx", rows, hide(2, 4))
    told = problems(path, skip_bad_rows=True)
    assert told == [
        "line 2: the row is hidden, as are 1 more rows, maybe by a filter; say --hidden-rows "
        "include or skip"
    ]
    assert people(path, hidden_rows="include") == [JANE, JOE, ANN]
    assert people(path, hidden_rows="skip") == [JOE]
    assert Roster.read(path, hidden_rows="skip").warnings == ("2 hidden rows were skipped",)
    assert people(book(tmp_path / "blank.xlsx", [HEADER, (JANE, KEY), ()], hide(3))) == [JANE]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (datetime(2026, 9, 1), "the date 2026-09-01"),
        (date(2026, 9, 1), "the date 2026-09-01"),
        (time(3, 4), "the time 03:04"),
        (True, "the truth value TRUE"),
        (1.5, "the number 1.5"),
        (1234567890123456, "of more than 15 digits"),
        ("=A1", "a formula without a stored value"),
        ("#N/A", "the error #N/A"),
        ("#DIV/0!", "the error #DIV/0!"),
    ],
)
def test_values_that_may_mean_something_else(tmp_path: Path, value: object, words: str) -> None:
    path = book(
        tmp_path / "r.xlsx",
        [
            ("username", "course_id", "action", "cohort"),
            (value, KEY),
            ("jane", value),
            ("joe", KEY, value),
            ("ann", KEY, None, value),
        ],
    )
    told = problems(path)
    assert [one.partition(":")[0] for one in told] == [
        "line 2, column username",
        "line 3, column course_id",
        "line 4, column action",
        "line 5, column cohort",
    ]
    assert all(words in one for one in told)
    # In a column that is not used, they do not matter.
    path = book(tmp_path / "r.xlsx", [("username", "course_id", "x"), ("jane", KEY, value)])
    assert people(path) == ["jane"]


@pytest.mark.parametrize(
    ("code", "value", "told"),
    [
        ("General", 123, ""),
        ("0", 123, ""),
        ("@", 123, ""),
        ("#,##0", 1234, ""),
        ("[Red]#,##0_);(#,##0)", 1234, ""),
        ("0000", 12345, ""),
        ("00000", 123, "shows as '00123'"),
        ("0.00", 123, "in the format"),
        ("0%", 1, "in the format"),
        ('"A"0000', 123, "in the format"),
        ("000-000", 123456, "in the format"),
    ],
)
def test_formats_that_show_other_digits(tmp_path: Path, code: str, value: int, told: str) -> None:
    def change(_: object, sheet: Any) -> None:
        sheet["A2"].number_format = code

    path = book(tmp_path / "r.xlsx", [("username", "course_id"), (value, KEY)], change)
    if told:
        (words,) = problems(path)
        assert words.startswith("line 2, column username: found the number")
        assert told in words
    else:
        assert people(path) == [str(value)]


def test_a_cell_merged_with_that_above(tmp_path: Path) -> None:
    rows = [HEADER, (JANE, KEY, "unenroll"), (JOE, KEY), (ANN, KEY)]
    path = book(tmp_path / "r.xlsx", rows, lambda _, sheet: sheet.merge_cells("C2:C3"))
    (told,) = problems(path)
    assert told.startswith("line 3, column action: found a cell merged with that in line 2")
    assert people(path, skip_bad_rows=True) == [JANE, ANN]


def test_a_table_in_the_middle_of_a_sheet(tmp_path: Path) -> None:
    table = [("email", "course"), (JANE, KEY), ("x", KEY)]
    rows = [(), (), *((None, None, *row) for row in table)]
    path = book(tmp_path / "r.xlsx", rows)
    (told,) = problems(path)
    assert told.startswith("line 5, column email")
    assert people(path, skip_bad_rows=True) == [JANE]


def test_rows_of_nothing_but_formulas(tmp_path: Path) -> None:
    path = book(tmp_path / "r.xlsx", [HEADER, (JANE, KEY), ("=A2", "=B2")])
    assert [one.partition(":")[0] for one in problems(path)] == [
        "line 3, column email",
        "line 3, column course_id",
    ]


def test_a_formula_with_its_value(tmp_path: Path) -> None:
    path = book(tmp_path / "r.xlsx", [HEADER, (JANE, KEY, "=IF(1,2,3)"), (JOE, KEY, "=A1")])
    stored = {
        "<f>IF(1,2,3)</f><v />": "<f>IF(1,2,3)</f><v>unenroll</v>",
        "<f>A1</f><v />": "<f>A1</f><v></v>",
        '<c r="C2">': '<c r="C2" t="str">',
        '<c r="C3">': '<c r="C3" t="str">',
    }
    changed = tmp_path / "stored.xlsx"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            text = old.read(name).decode()
            for before, after in stored.items():
                text = text.replace(before, after)
            new.writestr(name, text)
    assert [entry.action for entry in Roster.read(changed)] == [Action.UNENROLL, Action.ENROLL]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["word/document.xml"], "a Word document"),
        (["Index/Document.iwa"], ".numbers"),
        (["xl/workbook.bin"], ".xlsb"),
        (["roster.csv"], "a zip archive; unpack it"),
        (["mimetype"], "an OpenDocument file"),
        (["xl/workbook.xml"], "not readable as Excel"),
    ],
)
def test_other_archives(tmp_path: Path, names: list[str], words: str) -> None:
    path = tmp_path / "r.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "application/vnd.oasis.opendocument.spreadsheet")
    (told,) = problems(path)
    assert words in told


def test_no_document_type_in_xml(tmp_path: Path) -> None:
    path, bomb = book(tmp_path / "r.xlsx", [HEADER, (JANE, KEY)]), tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(bomb, "w") as new:
        for name in old.namelist():
            text = old.read(name).decode()
            if name.startswith("xl/worksheets/sheet"):
                text = f'<!DOCTYPE w [<!ENTITY a "aaaa">]>{text}'
            new.writestr(name, text)
    (told,) = problems(bomb)
    assert "not readable as Excel" in told
