"""Rosters in files: what is read, and how everything that is wrong is told at once."""

import csv
import io
import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_enroll import Action, RosterEntry, RosterError
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
    assert list(roster) == list(roster.entries)


@pytest.mark.parametrize("column", ["identifier", "email", "username", " EMail "])
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
        f"jane,{C1},enrol,\n"
        '"\n",,,"two\nlines"\n'
        "\n"
        f"john,{C1},unenroll,Group A\n"
        f"june,{C1}\n"
        f"june,{C1},,,\n"
    ) == [
        "line 2, column action: found 'enrol', expected enroll or unenroll",
        "line 3, column identifier: found '', expected an e-mail address or a username",
        "line 3, column course_id: found '', expected a course key",
        "line 7, column cohort: found 'Group A', expected nothing: cohorts go with enroll only",
        "line 8, cells: found 2, expected 4",
        "line 9, cells: found 5, expected 4",
    ]


def test_contradictions_name_both_lines() -> None:
    assert problems(
        "email,course_id,action,cohort\njane,C1,,A\njane,C2,,\njane,C1,,B\njane,C2,unenroll,\n"
    ) == [
        "line 4: enroll in cohort 'B' contradicts line 2, enroll in cohort 'A', for 'jane' in 'C1'",
        "line 5: unenroll contradicts line 3, enroll, for 'jane' in 'C2'",
    ]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (
            "email;course_id",
            [
                "found 'email;course_id'; expected exactly one of identifier, email, username",
                "found 'email;course_id'; expected a column course_id",
            ],
        ),
        (
            "username,email,course_id",
            [
                "found 'username', 'email', 'course_id'; "
                "expected exactly one of identifier, email, username"
            ],
        ),
        ("email,course_id,Course_ID", ["column course_id occurs 2 times, expected once"]),
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
    assert problems(header + b"a,b,\xe9\n\nc,d,e\0\n") == [
        "line 2: found the byte 0xE9, expected UTF-8",
        "line 4: found a NUL character, expected text",
    ]


def test_another_encoding() -> None:
    told = problems(f"identifier,course_id\njane,{C1}\n".encode("utf-16"))
    assert told[0] == "line 1: found the byte 0xFF, expected UTF-8"


def test_an_open_quote_is_told_where_it_begins() -> None:
    (told,) = problems(f'identifier,course_id\njane,{C1}\n"john,{C1}\njune,{C1}\n')
    assert told.startswith("line 3: not readable as CSV from here on: ")


def test_a_cell_too_long_is_not_shown_whole() -> None:
    (told,) = problems(f"identifier,course_id,action\njane,{C1},{'x' * 100_000}\n")
    assert len(told) < 200
    (told,) = problems(f"identifier,course_id,action\njane,{C1},{'x' * 200_000}\n")
    assert told.startswith("line 2: not readable as CSV")


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


def stripped(text: str) -> str:
    return text.strip()


# Whatever UTF-8 can write but for NUL: also quotes, commas and line ends.
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
names = texts.map(stripped).filter(bool)
enrolled = st.builds(RosterEntry, names, names, st.just(Action.ENROLL), st.none() | names)
unenrolled = st.builds(RosterEntry, names, names, st.just(Action.UNENROLL))
entries = st.lists(
    enrolled | unenrolled, min_size=1, unique_by=lambda entry: (entry.identifier, entry.course_id)
)


@given(entries, st.sampled_from(csv.list_dialects()), st.sampled_from(["utf-8", "utf-8-sig"]))
def test_what_csv_writes_is_read_back(
    entries: list[RosterEntry], dialect: str, encoding: str
) -> None:
    file = io.StringIO(newline="")
    rows = csv.writer(file, dialect, delimiter=",")
    rows.writerow(["cohort", "identifier", "action", "course_id"])
    for entry in [*entries, *entries]:
        rows.writerow([entry.cohort, entry.identifier, entry.action.value, entry.course_id])
    assert list(read(file.getvalue().encode(encoding))) == entries


@given(st.binary() | st.binary().map(lambda garbage: b"identifier,course_id\n" + garbage))
def test_garbage_is_a_problem_and_no_crash(garbage: bytes) -> None:
    try:
        assert len(read(garbage)) > 0
    except RosterError as error:
        assert error.problems  # noqa: PT017  # garbage may happen to be a roster
