"""Any roster, written in any form and encoding, is read back as it was."""

import csv
import gzip
import io
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import openpyxl
import pyarrow
import pyarrow.parquet
from hypothesis import given, settings
from hypothesis import strategies as st

from async_enroll import Action, Roster, RosterEntry
from async_enroll.files import safe_cell
from async_enroll.planning.keys import is_address

names = st.text("abzAZ019_-~.", min_size=1, max_size=6).filter(lambda text: text[-1] != ".")
keys = st.builds("course-v1:{}+{}+{}".format, names, names, names) | st.builds(
    "{}/{}/{}".format, *[st.text("abzAZ019_-", min_size=1, max_size=6)] * 3
)
local_parts = st.text("abzAZ019!#$%&*+/=?^_`{|}~-", min_size=1, max_size=6)
addresses = st.builds("{}@{}.org".format, local_parts, st.text("abz019é", min_size=1, max_size=6))
usernames = st.builds("u{}".format, st.text("abzAZ019_.-éß漢", max_size=8))
identifiers = usernames | addresses.filter(is_address)
# Whatever a cohort may be called: not with quotes or blanks around it, nor what nobody sees in it.
inside = st.characters(codec="utf-8", categories=["L", "N", "P", "S"]) | st.just(" ")
cohorts = st.builds(
    "{}{}{}".format,
    st.sampled_from("aZé漢+-@&(😀"),
    st.text(inside.filter(lambda letter: letter not in "\ufffd,"), max_size=12),
    st.sampled_from("bY9ü字!)"),
)
entries = st.lists(
    st.builds(RosterEntry, identifiers, keys, st.just(Action.ENROLL), st.none() | cohorts)
    | st.builds(RosterEntry, identifiers, keys, st.just(Action.UNENROLL)),
    min_size=1,
    max_size=6,
    unique_by=lambda entry: (entry.identifier.lower(), entry.course_id),
).filter(
    lambda some: len({e.identifier for e in some}) == len({e.identifier.lower() for e in some})
)
HEADER = ["cohort", "identifier", "action", "course_id"]


def rows_of(some: list[RosterEntry]) -> list[list[str]]:
    return [[one.cohort or "", one.identifier, one.action.value, one.course_id] for one in some]


def in_learners_order(some: list[RosterEntry]) -> list[RosterEntry]:
    learners = list(dict.fromkeys(entry.identifier for entry in some))
    return sorted(some, key=lambda entry: learners.index(entry.identifier))


def read(content: bytes) -> list[RosterEntry]:
    with TemporaryDirectory() as directory:
        path = Path(directory, "roster")
        path.write_bytes(content)
        return list(Roster.read(path))


@settings(deadline=None)
@given(
    entries,
    st.sampled_from(csv.list_dialects()),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"]),
    st.sampled_from(",;\t|"),
    st.booleans(),
)
def test_csv(
    some: list[RosterEntry], dialect: str, encoding: str, delimiter: str, packed: bool
) -> None:
    file = io.StringIO(newline="")
    rows = csv.writer(file, dialect, delimiter=delimiter)
    rows.writerow(HEADER)
    rows.writerows([safe_cell(cell) for cell in row] for row in rows_of([*some, *some]))
    try:
        content = file.getvalue().encode(encoding)
    except UnicodeEncodeError:
        content = file.getvalue().encode()
    assert read(gzip.compress(content) if packed else content) == in_learners_order(some)


@settings(deadline=None)
@given(entries, st.sampled_from(["lines", "array", "report"]), st.none() | st.just(2))
def test_json(some: list[RosterEntry], form: str, indent: int | None) -> None:
    items = [dict(zip(HEADER, row, strict=True)) for row in rows_of(some)]
    if form == "lines":
        text = "\n\n".join(json.dumps(item, indent=indent) for item in items)
    else:
        text = json.dumps(
            items if form == "array" else {"results": items, "ok": True}, indent=indent
        )
    assert read(text.encode()) == in_learners_order(some)


@given(entries)
@settings(max_examples=30, deadline=None)
def test_parquet(some: list[RosterEntry]) -> None:
    columns = dict(zip(HEADER, map(list, zip(*rows_of(some), strict=True)), strict=True))
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), file)
    assert read(file.getvalue()) == in_learners_order(some)


@given(entries)
@settings(max_examples=30, deadline=None)
def test_workbook(some: list[RosterEntry]) -> None:
    book = openpyxl.Workbook()
    for row in [HEADER, *rows_of(some)]:
        book.active.append([safe_cell(cell) for cell in row])
    file = io.BytesIO()
    book.save(file)
    book.close()
    assert read(file.getvalue()) == in_learners_order(some)
