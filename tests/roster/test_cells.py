"""What single cells mean, and what is said of those that may mean something else."""

import pytest
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from hypothesis import example, given, settings
from hypothesis import strategies as st
from opaque_keys import InvalidKeyError
from opaque_keys.edx.keys import CourseKey

from async_enroll import Action
from async_enroll.planning.keys import is_address, is_course_key, is_username
from async_enroll.roster.cells import (
    Cell,
    Kind,
    Unreadable,
    action_of,
    cohort_of,
    course_key_of,
    identifier_of,
    is_plain_address,
    is_plain_name,
)
from async_enroll.sandbox.domain.addresses import is_plausible_address

KEY = "course-v1:Org+C1+2026"
JANE = "jane@example.org"


def why(cell: object) -> str:
    assert isinstance(cell, Unreadable), cell
    return cell.words


@pytest.mark.parametrize(
    "cell",
    [
        f" {JANE}\t",
        f"\ufeff{JANE}\u200b",
        f"\u00a0{JANE}\u3000",
        f"mailto:{JANE}",
        f"MAILTO:{JANE}?subject=hello",
        f"<{JANE}>",
        f"Jane Doe <{JANE}>",
        f'"Doe, Jane" <mailto:{JANE}>',
        f"{JANE} <{JANE}>",
        f'="{JANE}"',
        f'"{JANE}"',
        f"'{JANE}'",
        f"\u201c{JANE}\u201d",
        f"\u201e{JANE}\u201c",
        f"\u2018{JANE}\u2019",
        f"\u00ab {JANE} \u00bb",
    ],
)
def test_what_stands_around_an_address(cell: str) -> None:
    assert identifier_of(cell) == identifier_of(cell, Kind.ADDRESS) == JANE


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("ja\u200bne@example.org", "U+200B"),
        ("ja\u00adne@example.org", "U+00AD"),
        ("ja\u00a0ne@example.org", "U+00A0"),
        ("ja ne", "U+0020"),
        ("ja\tne", "U+0009"),
        ("zo\ufffd@example.org", "lost"),
        ("zo\ud800", "U+D800"),
        (f"'{JANE}", "apostrophe"),
        (f"{JANE}; joe@example.org", "several"),
        (f"{JANE},joe@example.org", "several"),
        (f"{JANE}\njoe@example.org", "several"),
        (f"Jane <{JANE}>; Joe <joe@example.org>", "several"),
        (f"joe@example.org <{JANE}>", "several"),
        ("jane;joe", "several"),
        ("jane@example", "no e-mail address"),
        ("jane@", "no e-mail address"),
        ("jane@example.org.", "no e-mail address"),
        ("jane@@example.org", "no e-mail address"),
        ("N/A", "stands for nothing"),
        ("none", "stands for nothing"),
        ("#N/A", "the error"),
        ("#NAME?", "the error"),
        ("#BEZUG!", "the error"),
        ("####", "the error"),
        ("=A2", "the formula"),
        ("1.23457E+11", "a spreadsheet may have changed it"),
        ("1,2E-05", "a spreadsheet may have changed it"),
        ("123.0", "a spreadsheet may have changed it"),
        ("1234567890123450", "a spreadsheet may have changed it"),
        ("2026-09-01", "a spreadsheet may have changed it"),
        ("1.9.2026", "a spreadsheet may have changed it"),
        ("TRUE", "a spreadsheet may have changed it"),
        ("jane:doe", "expected an e-mail address or a username"),
        ("j" * 151, "expected an e-mail address or a username"),
        (f"{'j' * 250}@x.org", "no e-mail address"),
    ],
)
def test_what_is_no_identifier_for_certain(cell: str, words: str) -> None:
    assert words in why(identifier_of(cell))


def test_usernames_and_where_none_are_expected() -> None:
    for name in ("jane", "jane.doe-1_+", "zo\u00e9", "12345", "joe\u0301"):
        assert identifier_of(name) == name
        assert "--columns identifier=" in why(identifier_of(name, Kind.ADDRESS))
        assert "strangers" in why(identifier_of(name, Kind.ID))


@pytest.mark.parametrize(
    "cell",
    [
        KEY,
        f"https://courses.example.org/courses/{KEY}/about",
        f"https://apps.example.org/learning/course/{KEY}/home?tab=1",
        "https://example.org/courses/course-v1%3AOrg%2BC1%2B2026/",
        "course-v1%3aOrg%2bC1%2b2026",
        f"\u200b{KEY} ",
        f'="{KEY}"',
    ],
)
def test_what_is_a_course_key(cell: str) -> None:
    assert course_key_of(cell) == KEY


def test_keys_of_old() -> None:
    assert course_key_of("Org/C1/2026") == "Org/C1/2026"
    assert course_key_of("https://x.org/courses/Org/C1/2026/info") == "Org/C1/2026"


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("course-v1:Org C1 2026", "U+0020"),
        ("course-v1:Org+C1\u00a0+2026", "U+00A0"),
        ("course\u2013v1:Org+C1+2026", "U+2013"),
        (f"{KEY}.", "dot"),
        (f"{KEY}, {KEY}b", "several"),
        (f"{KEY};{KEY}b", "several"),
        (f"{KEY}\n{KEY}b", "several"),
        (f"https://x.org/courses/{KEY}/ https://x.org/courses/{KEY}b/", "several"),
        ("Introduction to Biology", "title"),
        ("Org+C1+2026", "as course-v1:Org+Number+Run"),
        ("course-v1:Org", "as course-v1:Org+Number+Run"),
        ("block-v1:Org+C1+2026+type@course+block@course", "as course-v1:Org+Number+Run"),
        ("https://example.org/", "as course-v1:Org+Number+Run"),
        (f"'{KEY}", "apostrophe"),
        ("#REF!", "the error"),
        (f"course-v1:Org+C1+{'2' * 250}", "as course-v1:Org+Number+Run"),
    ],
)
def test_what_is_no_course_key(cell: str, words: str) -> None:
    assert words in why(course_key_of(cell))


def test_cohorts() -> None:
    for name in ("Group A", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "#1", "A & B"):
        assert cohort_of(f" {name}\u00a0") == name
    assert cohort_of("'=1+1") == "=1+1"  # as our own files have it
    for name, words in {
        "Group\u00a0A": "U+00A0",
        "Gro\u00adup": "U+00AD",
        "two\nlines": "U+000A",
        "#N/A": "the error",
        "=VLOOKUP(A2;B:C;2)": "the formula",
        "none": "empty cell",
        "A, B": "comma",
        "A" * 256: "longer than 255",
    }.items():
        assert words in why(cohort_of(name))


def test_actions() -> None:
    for word in ("", "enroll", " ENROLL\u200b", "inscrire", "matricular", "einschreiben"):
        assert action_of(word) is Action.ENROLL
    for word in ("unenroll", "Drop", "D\u00e9sinscrire", "baja", "L\u00f6schen", "usu\u0144"):
        assert action_of(word) is Action.UNENROLL
    for word in ("enlist", "#N/A", "=IF(A1;1;2)", "yes", "\u2013"):
        why(action_of(word))


def accepted_by_django(text: str) -> bool:
    try:
        validate_email(text)
    except ValidationError:
        return False
    return True


PARTS = (
    *'aZ09.-_+@"\\[]:% \n\x00',
    *"\u00e9\u6f22\u00a0\u212a",
    "com",
    "xn--",
    "localhost",
    "1.2.3.4",
)
fragments = st.lists(st.sampled_from(PARTS), max_size=9).map("".join)
near_misses = st.builds("{}@{}".format, fragments, fragments) | st.builds(
    "{}@{}.{}".format, fragments, fragments, fragments
)


@given(near_misses | st.emails())
@settings(max_examples=500, deadline=None)
@example("jane@localhost")
@example("a@[127.0.0.1]")
def test_an_address_is_one_to_django_and_to_the_sandbox(text: str) -> None:
    local = text.rpartition("@")[0]
    if text.isascii() and len(text) <= 255:
        assert is_address(text) == accepted_by_django(text) == is_plausible_address(text)
    elif is_address(text) and local.isascii():
        assert accepted_by_django(text)
    found = identifier_of(text)
    if isinstance(found, str) and "@" in found and found.rpartition("@")[0].isascii():
        assert accepted_by_django(found)
        assert is_plausible_address(found)


@given(
    st.lists(
        st.sampled_from([*"aZ0.-+@_:", "123", "E+", "x@y.org", "\u00e9", " "]), max_size=8
    ).map("".join)
)
def test_what_is_plain_needs_no_look(text: str) -> None:
    if is_plain_address(text):
        assert is_address(text)
        assert identifier_of(text) == text
    if is_plain_name(text):
        assert is_username(text)
        assert identifier_of(text) == text


pieces = st.sampled_from(
    [
        *"+/a.~-\u00e9 %",
        *("course-v1:", "library-v1:", "ccx-v1:", "slashes:"),
        *("+branch@x", "+ccx@1", "+type@a", "+block@b", "+version@519665f6223ebd6980884f2b"),
    ]
)


@given(
    st.lists(pieces, max_size=9).map("".join)
    | st.builds(
        "{}a+b+c{}".format,
        st.sampled_from(["course-v1:", "ccx-v1:"]),
        st.lists(pieces, max_size=3).map("".join),
    )
)
@settings(max_examples=500)
@example("ccx-v1:a+b+c+ccx@1")
@example("a/b/c")
def test_a_course_key_is_one_to_open_edx(text: str) -> None:
    try:
        CourseKey.from_string(text)
    except InvalidKeyError:
        # Those of custom courses are known by a package that is not here.
        assert not is_course_key(text) or text.startswith("ccx-v1:")
    else:
        # Of keys that leave out names, or the run of old ones, no course has ever been made.
        whole = text.count("+") >= 2 or (text.startswith("library-v1:") and "+" in text)
        assert is_course_key(text) or not whole or text.endswith("/") or "+version@" in text


cells = st.text(max_size=12) | st.sampled_from(
    [JANE, KEY, "mailto:", "'", '="', "\u201c", "<a@b.co>", "#N/A", "https://x/courses/a/b/c"]
)


@given(st.lists(cells, max_size=3).map("".join))
def test_reading_what_was_read_changes_nothing(cell: str) -> None:
    for read in (identifier_of, course_key_of):
        found: Cell = read(cell)
        if isinstance(found, str):
            assert read(found) == found
