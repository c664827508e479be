"""Whole tables: where the header is, which rows count, and what is refused."""

from __future__ import annotations

import gzip
import os
import threading
from pathlib import Path
from shlex import quote
from typing import Any

import pytest

from async_enroll import Action, ConfigurationError, Roster, RosterEntry, RosterError
from async_enroll.roster import forms

KEY = "course-v1:Org+C1+2026"
JANE, JOE = "jane@example.org", "joe@example.org"


def read(directory: Path, content: str | bytes, **options: Any) -> Roster:
    path = directory / "roster"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return Roster.read(path, **options)


def problems(directory: Path, content: str | bytes, **options: Any) -> list[str]:
    with pytest.raises(RosterError) as caught:
        read(directory, content, **options)
    return caught.value.problems


def people(roster: Roster) -> list[str]:
    return [entry.identifier for entry in roster]


@pytest.mark.parametrize(
    "header",
    [
        "E-Mail;Kurs;Aktion;Gruppe",
        "Courriel;Cours;Opération;Groupe",
        "Correo electrónico;Curso;Acción;Grupo",
        "E-mailadres;Cursus;Actie;Groep",
        "Adres e-mail;Kurs;Akcja;Grupa",
        "Endereço de e-mail;Curso;Ação;Grupo",
        "Indirizzo e-mail;Corso;Azione;Gruppo",
        "userPrincipalName;Course Run Key;ACTION;cohort_name",
        "SIS Login ID;course-id;action;Cohort",
        "Institutional Email;Course Name;action;cohort",
        "Benutzername;kurs id;aktion;kohorte",
        "user_id;course_run;action;cohort",
        "Student;course;action;cohort",
    ],
)
def test_names_of_columns(tmp_path: Path, header: str) -> None:
    roster = read(tmp_path, f"{header}\n{JANE};{KEY};enroll;A\n")
    assert list(roster) == [RosterEntry(JANE, KEY, Action.ENROLL, "A")]


@pytest.mark.parametrize("name", ["Parent Email", "Last Login", "E-mail sent", "Section ID"])
def test_columns_that_are_something_else(tmp_path: Path, name: str) -> None:
    (told,) = problems(tmp_path, f"{name},course_id\n{JANE},{KEY}\n")
    assert "expected a column identifier, email or username" in told
    roster = read(tmp_path, f"{name},email,course_id\nx@y.org,{JANE},{KEY}\n")
    assert (people(roster), roster.unused) == ([JANE], (name,))


def test_numbers_may_be_strangers(tmp_path: Path) -> None:
    assert people(read(tmp_path, f"SIS User ID,course\n{JANE},{KEY}\n")) == [JANE]
    content = f"SIS User ID,course\n123,{KEY}\n"
    (told,) = problems(tmp_path, content)
    assert told.startswith("line 2, column SIS User ID: found '123'")
    assert people(read(tmp_path, content, columns={"identifier": "SIS User ID"})) == ["123"]


@pytest.mark.parametrize(
    ("header", "remedies"),
    [
        ("username,email,course_id", {"username": "a", "email": "b"}),
        ("email,E-Mail,course_id", {"email": "a", "#2": "b"}),
        ("email,email,course_id", {"#1": "a", "#2": "b"}),
    ],
)
def test_the_remedy_works(tmp_path: Path, header: str, remedies: dict[str, str]) -> None:
    content = f"{header}\na@x.org,b@x.org,{KEY}\n"
    (told,) = problems(tmp_path, content)
    assert "expected one of them: choose with --columns identifier=" in told
    for theirs, who in remedies.items():
        assert quote(theirs) in told or header == "email,E-Mail,course_id"
        roster = read(tmp_path, content, columns={"identifier": theirs})
        assert people(roster) == [f"{who}@x.org"]


def test_our_own_files(tmp_path: Path) -> None:
    header = "username,email,course_id,is_active,mode,created"
    listing = f"{header}\njane,{JANE},{KEY},true,audit,2021-03-09\njoe,,{KEY},false,audit,\n"
    assert "--where is_active=true" in problems(tmp_path, listing)[0]
    assert people(read(tmp_path, listing, where={"is_active": "true"})) == ["jane"]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("status", "deleted"),
        ("workflow_state", "completed"),
        ("is_active", "false"),
        ("Active", "0"),
        ("Enrollment Role", "TeacherEnrollment"),
        ("type", "Observer"),
        ("Statut", "abandonné"),
        ("Rolle", "Dozentin"),
        ("Estado", "BAJA"),
        ("Withdrawn", "yes"),
        ("Registration status", "Not enrolled"),
    ],
)
def test_columns_that_change_the_meaning(tmp_path: Path, column: str, value: str) -> None:
    content = f"email,course,{column}\n{JANE},{KEY},\n{JOE},{KEY},{value}\n"
    (told,) = problems(tmp_path, content, skip_bad_rows=True)
    assert told.startswith(f"line 3: the column '{column}' is not used, and holds '{value}'")
    assert people(read(tmp_path, content, where={column: value})) == [JOE]
    assert people(read(tmp_path, content, ignore_columns=[column])) == [JANE, JOE]


def test_which_rows_count(tmp_path: Path) -> None:
    rows = f"{JANE},{KEY},Active\n{JOE},{KEY},deleted\nann@x.org,{KEY},invited\n"
    content = f"email,course,status\n{rows}"
    roster = read(tmp_path, content, where={"STATUS": ["active", "invited"]})
    assert people(roster) == [JANE, "ann@x.org"]
    assert roster.warnings == ("1 row is left out by --where",)
    assert problems(tmp_path, content, where={"status": "gone"}) == [
        "no rows that --where chooses below the header"
    ]
    assert "found 0 columns 'state'" in problems(tmp_path, content, where={"state": "x"})[0]
    assert "no column 'state'" in problems(tmp_path, content, ignore_columns=["state"])[0]
    # What stands between the rows has nothing in the column.
    content += f"Withdrawn:,,\nzoe@x.org,{KEY},active\n"
    told = problems(tmp_path, content, where={"status": "active"}, skip_bad_rows=True)
    assert any("'Withdrawn:' above further rows" in words for words in told)


@pytest.mark.parametrize(
    "between",
    [
        "Withdrawn:\n",
        "\nWithdrawn\n",
        "Dropped students,,\n",
        "email,course,action\n",
        "email,course,action,cohort\n",
        ",,\nGroup B,,\n",
    ],
)
def test_a_second_block_is_refused(tmp_path: Path, between: str) -> None:
    content = f"email,course,\n{JANE},{KEY},\n{between}{JOE},{KEY},\n"
    problems(tmp_path, content)
    problems(tmp_path, content, skip_bad_rows=True)


def test_a_second_block_of_usernames(tmp_path: Path) -> None:
    content = "username\njane\nWithdrawn\njoe\n"
    problems(tmp_path, content, course_id=KEY, skip_bad_rows=True)
    assert people(read(tmp_path, "username\njane\nstaff\n", course_id=KEY)) == ["jane", "staff"]


def test_a_total_below_is_a_bad_row(tmp_path: Path) -> None:
    content = f"email,course\n{JANE},{KEY}\n\nTotal: 1,\n"
    assert problems(tmp_path, content)
    assert people(read(tmp_path, content, skip_bad_rows=True)) == [JANE]


def test_a_header_below_others(tmp_path: Path) -> None:
    above = "Class list,autumn\nTeacher,t@example.org\n\n"
    roster = read(tmp_path, f"{above}email,course\n{JANE},{KEY}\n")
    assert people(roster) == [JANE]
    assert roster.warnings == ("the header was found in line 4; the 2 rows above it passed over",)
    told = problems(tmp_path, f"{JOE},{KEY}\nemail,course\n{JANE},{KEY}\n", skip_bad_rows=True)
    assert told == ["line 1: stands above the header, which is no place for rows"]
    too_far = "x\n" * 20 + f"email,course\n{JANE},{KEY}\n"
    assert "expected a column identifier" in problems(tmp_path, too_far)[0]


@pytest.mark.parametrize("mark", ["sep=;\n", "\ufeffsep=;\r\n", '"sep=;"\n', "SEP=;\n"])
def test_a_line_that_names_the_delimiter(tmp_path: Path, mark: str) -> None:
    roster = read(tmp_path, f"{mark}email;course\n{JANE};{KEY}\nx;\n", skip_bad_rows=True)
    assert people(roster) == [JANE]
    assert roster.skipped[0].startswith("line 4,")


def test_joined_files(tmp_path: Path) -> None:
    one = f'\ufeff"email","course"\n"{JANE}","{KEY}"\n'
    other = f'\ufeff"email","course"\n"{JOE}","{KEY}"\n'
    roster = read(tmp_path, one + other)
    assert people(roster) == [JANE, JOE]
    assert roster.warnings == ("the header comes again in line 3; it was passed over",)


def test_without_a_header(tmp_path: Path) -> None:
    content = f"unenroll,{KEY},Jane,{JANE}\nenroll,{KEY},Joe,{JOE}\n"
    (told,) = problems(tmp_path, content)
    assert told.endswith("has the file no header? Then say --no-header")
    roster = read(tmp_path, content, header=False)
    assert list(roster) == [RosterEntry(JANE, KEY, Action.UNENROLL), RosterEntry(JOE, KEY)]
    assert roster.unused == ("#3",)
    named = read(tmp_path, content, header=False, columns={"identifier": "#3"})
    assert people(named) == ["Jane", "Joe"]
    assert people(read(tmp_path, "jane\njoe\n", header=False, course_id=KEY)) == ["jane", "joe"]
    assert "--columns identifier=" in problems(tmp_path, f"jane,{KEY}\n", header=False)[0]


def test_cells_that_are_missing_or_too_many(tmp_path: Path) -> None:
    content = f"email,course,,\n{JANE},{KEY}\n{JOE},{KEY},,,,\nann@x.org,{KEY},,,x\n"
    assert problems(tmp_path, content) == ["line 4, cells: found 5, expected 4"]
    assert people(read(tmp_path, content, skip_bad_rows=True)) == [JANE, JOE]


def test_a_column_of_usernames_is_named_in_the_remedy(tmp_path: Path) -> None:
    content = f"E-Mail address,course\njane,{KEY}\n"
    assert problems(tmp_path, content) == [
        "line 2, column E-Mail address: found 'jane', expected an e-mail address; if these are "
        "usernames, say so with --columns identifier='E-Mail address'"
    ]
    assert people(read(tmp_path, content, columns={"identifier": "E-Mail address"})) == ["jane"]


def test_what_is_given_for_all_rows_is_checked(tmp_path: Path) -> None:
    for options in ({"course_id": "Biology"}, {"cohort": "#N/A"}):
        with pytest.raises(ConfigurationError, match=next(iter(options))):
            read(tmp_path, f"email\n{JANE}\n", **options)
    url = f"https://x.org/courses/{KEY}/about"
    assert next(iter(read(tmp_path, f"email\n{JANE}\n", course_id=url))).course_id == KEY
    for wrong, words in (
        ({"action": "enroll"}, "action is 'enroll'; expected Action.ENROLL"),
        ({"where": "status=active"}, "where is a str; expected a mapping"),
        ({"columns": ["identifier"]}, "columns is a list; expected a mapping"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            read(tmp_path, f"email,course\n{JANE},{KEY}\n", **wrong)
    with pytest.raises(ConfigurationError, match="hidden_rows is 'maybe'"):
        read(tmp_path, f"email,course\n{JANE},{KEY}\n", hidden_rows="maybe")
    assert problems(tmp_path, f"email,course\n{JANE},{KEY}\n", sheet="A") == [
        "has no sheets; leave out --sheet"
    ]


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_pipe(tmp_path: Path, suffix: str) -> None:
    content = f"email,course\n{JANE},{KEY}\n".encode()
    pipe = tmp_path / f"pipe{suffix}"
    os.mkfifo(pipe)
    writer = threading.Thread(
        target=pipe.write_bytes, args=[gzip.compress(content) if suffix else content], daemon=True
    )
    writer.start()
    assert people(Roster.read(pipe)) == [JANE]
    writer.join(timeout=10)


def test_an_encoding_without_a_name(tmp_path: Path) -> None:
    content = f"email,course\n{JANE},{KEY}\n"
    for encoding in ("utf-32", "utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"):
        assert people(read(tmp_path, content.encode(encoding))) == [JANE]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('[{"email": "%s", "course": "%s"}, {"email": 1.5}]', "item 2: found 'email'; expected"),
        ('[\n{"email": "%s", "course": "%s"},\n{"course": "x"}\n]', "line 3: found 'course'"),
        ('[{"email": "%s", "course": "%s"} {}]', "expected a comma or the end of the array"),
        ('[{"email": "%s", "course": "%s"},', "item 2: not readable as JSON"),
        ('[{"email": "%s", "course": "%s"}, 7]', "item 2: found '7', expected a JSON object"),
        ('{"user": {"email": "%s"}, "course": "%s"}', "line 1, column user: found an object"),
        ('{"email": "%s", "email": "x@y.org", "course": "%s"}', "found 'email', 'email'"),
        ('{"email" : "%s", "email": "x@y.org", "course": "%s"}', "found 'email', 'email'"),
        ('{"user": NaN, "name": "%s", "course": "%s"}', "the number nan"),
        ('{"user": true, "name": "%s", "course": "%s"}', "the truth value TRUE"),
        ('{"user": 1234567890123456, "name": "%s", "course": "%s"}', "of more than 15 digits"),
    ],
)
def test_json_that_may_mean_something_else(tmp_path: Path, content: str, words: str) -> None:
    assert words in " ".join(problems(tmp_path, content % (JANE, KEY)))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html><table>", "an HTML page"),
        (b"\r\n<table border=1><tr><td>email", "an HTML page"),
        (
            b'<?xml version="1.0"?><Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet">',
            "an XML workbook",
        ),
        (b'<?xml version="1.0"?><class/>', "an XML file"),
        (b"\xd0\xcf\x11\xe0" + b" " * 2**20 + "EncryptedPackage".encode("utf-16-le"), "password"),
        (b"\xd0\xcf\x11\xe0" + "WordDocument".encode("utf-16-le"), "a Word document"),
        (b"BZh91AY", "bzip2"),
        (b"Rar!\x1a\x07", "a RAR archive"),
        (gzip.compress(b"%PDF-1.7", mtime=0), "a PDF file"),
        (gzip.compress(b"email,course\n" * 1000, mtime=0)[:-20], "not readable as gzip"),
    ],
)
def test_a_file_is_named_for_what_it_is(tmp_path: Path, content: bytes, words: str) -> None:
    (told,) = problems(tmp_path, content)
    assert words in told


def test_a_pipe_needs_no_directory_for_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> None:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(forms, "TemporaryFile", none)
    packed = gzip.compress(f"email,course\n{JANE},{KEY}\n".encode())
    assert people(read(tmp_path, packed)) == [JANE]
