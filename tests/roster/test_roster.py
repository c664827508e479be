"""Rosters in files: what is read, and how everything that is wrong is told at once."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import openpyxl
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_enroll import Action, ConfigurationError, RosterEntry, RosterError
from async_enroll.files import plain_cell, safe_cell
from async_enroll.roster import Roster

C1, C2 = "course-v1:Org+C1+2026", "course-v1:Org+C2+2026"


def read(content: str | bytes) -> Roster:
    with TemporaryDirectory() as directory:
        path = Path(directory, "roster.csv")
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return Roster.read(path)


def problems(content: str | bytes) -> list[str]:
    with pytest.raises(RosterError) as caught:
        read(content)
    return caught.value.problems


def test_a_roster() -> None:
    roster = read(
        "email,course_id,action,cohort\n"
        f"jane@example.org,{C1},enroll,Group A\n"
        f"john@example.org,{C1},UNENROLL,\n"
        f"june@example.org,{C2},,\n"
    )
    assert list(roster) == [
        RosterEntry("jane@example.org", C1, Action.ENROLL, "Group A"),
        RosterEntry("john@example.org", C1, Action.UNENROLL),
        RosterEntry("june@example.org", C2),
    ]
    assert len(roster) == 3
    assert list(roster) == list(roster)


@pytest.mark.parametrize("column", ["identifier", "username", " User Name "])
def test_the_identifier_has_three_names(column: str) -> None:
    assert list(read(f"{column},course_id\njane,{C1}\n")) == [RosterEntry("jane", C1)]


@pytest.mark.parametrize(
    "content",
    [
        f"\ufeffidentifier,course_id\njane,{C1}\n",
        f"identifier,course_id\r\njane,{C1}\r\n",
        f"identifier,course_id\rjane,{C1}\r",
        f"identifier,course_id\njane,{C1}",
        f"\n \nidentifier,course_id\n\n,\n  ,  \njane,{C1}\n\n",
        f'notes,COURSE_ID,notes,identifier\nx,{C1},"several\nlines", jane \n',
        f"identifier,course_id\njane,{C1}\n jane,{C1}\n",
    ],
    ids=["bom", "crlf", "cr", "no end", "blank lines", "other columns", "repeat"],
)
def test_what_does_not_matter(content: str) -> None:
    assert list(read(content)) == [RosterEntry("jane", C1)]


def test_an_address_is_expected_in_a_column_of_addresses() -> None:
    assert list(read(f" EMail ,course_id\njane@example.org,{C1}\n")) == [
        RosterEntry("jane@example.org", C1)
    ]
    (told,) = problems(f"email,course_id\njane,{C1}\n")
    assert told.startswith("line 2, column email: found 'jane', expected an e-mail address; if")


def test_the_source_is_the_file(tmp_path: Path) -> None:
    path = tmp_path / "roster.csv"
    path.write_text(f"identifier,course_id\njane,{C1}\n")
    assert Roster.read(path).source == Roster.read(str(path)).source == str(path)


def test_equal_course_keys_are_one_object() -> None:
    first, second = read(f"identifier,course_id,cohort\njane,{C1},A\njohn,{C1},A\n")
    assert first.course_id is second.course_id
    assert first.cohort is second.cohort


def test_everything_wrong_is_told_at_once() -> None:
    assert problems(
        "identifier,course_id,action,cohort\n"
        f"jane,{C1},enlist,\n"
        '"\n",,,"Group A"\n'
        "\n"
        f"john,{C1},unenroll,Group A\n"
        f"june,{C1}\n"
        f"june,{C1},,,\n"
        f"june,{C1},,,x\n"
    ) == [
        "line 2, column action: found 'enlist', expected enroll or unenroll",
        "line 3, column identifier: found '', expected an e-mail address or a username",
        "line 3, column course_id: found '', expected a course key",
        "line 3: found 'Group A' above further rows, which may mean something else; make a file of "
        "each block",
        "line 6, column cohort: found 'Group A', expected nothing: cohorts go with enroll only",
        "line 9, cells: found 5, expected 4",
    ]


def test_contradictions_name_both_lines() -> None:
    assert problems(
        "user,course_id,action,cohort\n"
        f"jane,{C1},,A\njane,{C2},,\njane,{C1},,B\njane,{C2},unenroll,\n"
    ) == [
        "line 4: enroll in cohort 'B' contradicts line 2, enroll in cohort 'A', for 'jane' in "
        f"{C1!r}",
        f"line 5: unenroll contradicts line 3, enroll, for 'jane' in {C2!r}",
    ]


def test_contradictions_in_several_spellings_name_both_lines() -> None:
    assert problems(
        f"email,course_id,action\nJane@x.org,{C1},\njane@x.org,{C2},\nJANE@x.org,{C2},unenroll\n"
        f"jane@x.org,{C1},unenroll\nJane@x.org,{C2},unenroll\n"
    ) == [
        "line 4: unenroll contradicts line 3, enroll, for 'JANE@x.org', also spelled "
        f"'Jane@x.org', in {C2!r}",
        "line 5: unenroll contradicts line 2, enroll, for 'jane@x.org', also spelled "
        f"'Jane@x.org', in {C1!r}",
        "line 6: unenroll contradicts line 3, enroll, for 'Jane@x.org' in " + repr(C2),
    ]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (
            "mailbox,subject",
            [
                "found 'mailbox', 'subject'; expected a column identifier, email or username, or "
                "--columns identifier=… for another name",
                "found 'mailbox', 'subject'; expected a column course_id, or --columns course_id=…"
                " for another name, or --course-id … for all rows",
            ],
        ),
        (
            "username,email,course_id",
            [
                "found 'username', 'email'; expected one of them: choose with --columns "
                "identifier=username or --columns identifier=email"
            ],
        ),
        (
            "email,course_id,Course_ID",
            [
                "found 'course_id', 'Course_ID'; expected one of them: choose with --columns "
                "course_id=course_id or --columns course_id=Course_ID"
            ],
        ),
    ],
)
def test_an_unusable_header(header: str, expected: list[str]) -> None:
    assert problems(f"\n{header}\n,,,,,,\n") == [f"line 2: {problem}" for problem in expected]


@pytest.mark.parametrize("content", ["", "\ufeff", "\n \n\n"])
def test_an_empty_file(content: str) -> None:
    assert problems(content) == ["empty; expected a header and rows"]


def test_a_header_alone() -> None:
    assert problems("identifier,course_id\n\n") == ["no rows below the header"]


def test_bytes_that_are_no_text() -> None:
    header = b"identifier,course_id,name\n"
    key = C1.encode()
    assert problems(header + b"a,%b,\xe9\x81\n\nc,%b,e\0\n" % (key, key)) == [
        "line 2: found the byte 0x81, expected text",
        "line 4: found a NUL character, expected text",
    ]


def test_an_open_quote_is_told_where_it_begins() -> None:
    (told,) = problems(f'identifier,course_id\njane,{C1}\n"john,{C1}\njune,{C1}\n')
    assert told.startswith("line 3: not readable as CSV from here on: ")


def test_a_cell_too_long_is_not_shown_whole() -> None:
    (told,) = problems(f"identifier,course_id,action\njane,{C1},{'x' * 100_000}\n")
    assert len(told) < 200
    (told,) = problems(f"identifier,course_id,action\njane,{C1},{'x' * 200_000}\n")
    assert len(told) < 200


@pytest.mark.parametrize(
    ("prepare", "problem"),
    [
        (lambda path: None, "no such file or directory"),
        (Path.mkdir, "is a directory"),
        pytest.param(
            lambda path: path.touch(mode=0),
            "permission denied",
            marks=pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything"),
        ),
    ],
)
def test_a_file_that_cannot_be_read(
    tmp_path: Path, prepare: Callable[[Path], object], problem: str
) -> None:
    path = tmp_path / "roster.csv"
    prepare(path)
    with pytest.raises(RosterError) as caught:
        Roster.read(path)
    assert caught.value.problems == [problem]
    assert caught.value.source == str(path)


@given(st.text(max_size=5))
def test_a_safe_cell_is_read_back(text: str) -> None:
    if not text.startswith("'"):
        assert plain_cell(safe_cell(text)) == text


starts = st.sampled_from(
    [b"", b"identifier,course_id\n", b"PAR1", b"PK\x03\x04", b"{", b"\xff\xfe", b"\xfe\xff"]
)


@given(starts, st.binary())
def test_garbage_is_a_problem_and_no_crash(start: bytes, garbage: bytes) -> None:
    try:
        assert len(read(start + garbage)) > 0
    except RosterError as error:
        assert error.problems  # noqa: PT017  # garbage may happen to be a roster


def parquet(path: Path, columns: dict[str, list[object]]) -> None:
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def excel(path: Path, columns: dict[str, list[object]]) -> None:
    book = openpyxl.Workbook()
    for row in [list(columns), *zip(*columns.values(), strict=True)]:
        book.active.append(list(row))
    book.save(path)
    book.close()


@pytest.mark.parametrize("write", [parquet, excel])
def test_tables(tmp_path: Path, write: Callable[[Path, dict[str, list[object]]], None]) -> None:
    path = tmp_path / "roster"
    people = [*(f"learner{number}" for number in range(10_500)), None]
    columns: dict[str, list[object]] = {
        "Identifiant": [*people],
        "Cours": [C1] * len(people),
        "Cohorte": ["A"] * (len(people) - 1) + [None],
        "Age": [*range(len(people))],
    }
    write(path, columns)
    with pytest.raises(RosterError) as caught:
        Roster.read(path)
    line = 10_501 if write is parquet else 10_502
    assert caught.value.problems == [
        f"line {line}, column Identifiant: found '', expected an e-mail address or a username"
    ]
    roster = Roster.read(path, skip_bad_rows=True)
    assert len(roster) == 10_500
    assert next(iter(roster)) == RosterEntry("learner0", C1, Action.ENROLL, "A")
    assert len(roster.skipped) == 1


def test_numbers_are_usernames_too(tmp_path: Path) -> None:
    excel(tmp_path / "r.xlsx", {"username": [12345, 12345.0], "course_id": [C1, C2]})
    assert [entry.identifier for entry in Roster.read(tmp_path / "r.xlsx")] == ["12345", "12345"]
    assert list(read(f'{{"user": 7, "course": "{C1}"}}\n')) == [RosterEntry("7", C1)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xd0\xcf\x11\xe0....", "an Excel file of the old kind"),
        (b"\x1f\x8b....", "not readable as gzip"),
        (b"%PDF-1.7", "a PDF file"),
        (b"PK\x03\x04....", "not readable as Excel"),
        (b"PAR1....", "not readable as Parquet"),
    ],
)
def test_files_that_are_no_rosters(content: bytes, words: str) -> None:
    (told,) = problems(content)
    assert words in told


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    excel(tmp_path / "r.xlsx", {"username": ["jane"], "course_id": [C1]})
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    with pytest.raises(ConfigurationError, match=r'pip install "async_enroll\[files\]"'):
        Roster.read(tmp_path / "r.xlsx")


def test_what_a_french_office_exports() -> None:
    roster = read(
        f"Adresse É-MAIL;Clé du cours;Opération;Nom\r\nzoé@example.org;{C1};Désinscrire;Zoé\r\n"
        f"luc@example.org;{C1};INSCRIRE;Luc\r\n".encode("cp1252")
    )
    assert list(roster) == [
        RosterEntry("zoé@example.org", C1, Action.UNENROLL),
        RosterEntry("luc@example.org", C1),
    ]
    assert roster.warnings == (
        "the file is not UTF-8, and was read as Windows-1252; look at names with accents",
    )


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark(encoding: str) -> None:
    assert list(read(f"user\tcourse\njané\t{C1}\n".encode(encoding))) == [RosterEntry("jané", C1)]


def test_a_stray_byte_far_down_is_seen() -> None:
    rows = f"jane,{C1}\n" * 100_000
    roster = read(f"user,course\n{rows}".encode() + f"zoé,{C1}\n".encode("cp1252"))
    assert [entry.identifier for entry in roster] == ["jane", "zoé"]
    assert len(roster.warnings) == 2


def test_what_is_worth_knowing() -> None:
    assert not read(f"user,course\njane,{C1}\nJane,{C2}\n").warnings
    once = read(f"user,course\njane,{C1}\njane,{C1}\n")
    assert once.warnings == ("1 row repeats another; the pair counts once",)
    twice = read(f"user,course\njane,{C1}\njane,{C1}\njane,{C1}\n")
    assert twice.warnings == ("2 rows repeat others; each pair counts once",)


def test_a_learner_in_several_spellings_is_one() -> None:
    roster = read(
        f"user,course\nJane@example.org,{C1}\njane@example.org,{C1}\nJANE@example.org,{C2}\n"
        f"Jane@Example.org,{C2}\njoe\u0301,{C1}\nJO\u00c9,{C1}\nstraße,{C1}\nstrasse,{C1}\n"
    )
    assert [(entry.identifier, entry.course_id) for entry in roster] == [
        ("Jane@example.org", C1),
        ("Jane@example.org", C2),
        ("joe\u0301", C1),
        ("straße", C1),
        ("strasse", C1),
    ]
    assert roster.warnings == ("3 rows repeat others; each pair counts once",)


def test_columns_by_their_own_names(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text(f"email,Contact,Kurs\nx,jane,{C1}\n")
    roster = Roster.read(path, columns={"identifier": "contact", "course_id": "KURS"})
    assert list(roster) == [RosterEntry("jane", C1)]
    with pytest.raises(RosterError, match="found no column 'Wer'; expected it as the identifier"):
        Roster.read(path, columns={"identifier": "Wer", "course_id": "Kurs"})
    with pytest.raises(ConfigurationError, match="columns names who; expected identifier, "):
        Roster.read(path, columns={"who": "Contact"})


def test_values_for_all_rows(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("login\njane\njoe\n")
    roster = Roster.read(path, course_id=C1, action=Action.UNENROLL)
    assert list(roster) == [
        RosterEntry("jane", C1, Action.UNENROLL),
        RosterEntry("joe", C1, Action.UNENROLL),
    ]
    path.write_text(f"login,cours\njane,{C1}\n")
    with pytest.raises(RosterError, match=r"found a column 'cours', and '.*' given for all rows"):
        Roster.read(path, course_id=C2)


def test_many_bad_rows_are_counted() -> None:
    with pytest.raises(RosterError) as caught:
        read("identifier,course_id\n" + f",{C1}\n" * 12_000)
    assert caught.value.count == 12_000
    assert len(caught.value.problems) == 10_000
    assert str(caught.value).startswith("/")
    assert str(caught.value).endswith("  … and 11,900 more")


def test_bad_lines_of_json() -> None:
    assert problems(
        f'{{"user": "jane", "course": "{C1}"}}\n{{"user": \n[1]\n{{"user": "joe"}}\n'
    ) == [
        "line 2: not readable as JSON: Expecting value, column 9",
        "line 3: found '[1]', expected a JSON object",
        "line 4: found 'user'; expected a column course_id, or --columns course_id=… for another "
        "name, or --course-id … for all rows",
    ]


def test_bad_rows_can_be_left_out() -> None:
    with TemporaryDirectory() as directory:
        path = Path(directory, "roster.csv")
        path.write_text(f"identifier,course_id,cohort\njane,{C1},A\n,{C1},\njane,{C1},B\n")
        roster = Roster.read(path, skip_bad_rows=True)
    assert list(roster) == [RosterEntry("jane", C1, Action.ENROLL, "A")]
    assert [row.split(":")[0] for row in roster.skipped] == [
        "line 3, column identifier",
        "line 4",
    ]


def test_what_is_no_path() -> None:
    with pytest.raises(ConfigurationError, match="path is a Table; expected a file's path"):
        Roster.read(pyarrow.table({"email": ["jane"]}))
