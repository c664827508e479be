"""Results as files, in every form."""

import csv
import io
import json
import stat
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import openpyxl
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from async_enroll import (
    Action,
    ConfigurationError,
    EnrollmentResult,
    EnrollmentState,
    Outcome,
    Roster,
)
from async_enroll.reports import export
from async_enroll.reports.export import (
    json_pieces,
    write,
    write_csv,
    write_jsonl,
    write_roster,
    write_roster_file,
)

_NONE = (None, None, None, None)
C1, C2 = "course-v1:Org+C1+2026", "course-v1:Org+C2+2026"

# Any text a caller may come with, half a character among them.
texts = st.text() | st.sampled_from(
    ["=1+1", "+a", "-", "@x", "\ttab", "\r", "\ud800", 'a"b', "a,b\n"]
)
results = st.lists(
    st.builds(
        EnrollmentResult,
        texts,
        texts,
        st.sampled_from(Action),
        st.sampled_from(Outcome),
        st.none() | st.just(EnrollmentState(True, False, True, False, "red")),
        st.none() | st.just(EnrollmentState(True, True, False, True)),
        st.none() | texts,
        st.none() | st.booleans(),
        st.integers(0, 9),
        cohort=st.none() | texts,
        at=st.none() | st.floats(1e9, 3e9),
    ),
    max_size=6,
)


def whole(text: str | None) -> str | None:
    return text and text.encode("utf-8", "backslashreplace").decode()


def many(count: int) -> Iterator[EnrollmentResult]:
    for number in range(count):
        outcome = Outcome.ENROLLED if number % 3 else Outcome.REJECTED
        yield EnrollmentResult(f"learner{number}", "c1", Action.ENROLL, outcome, error="because")


def written(write: Callable[[IO[str]], Any]) -> str:
    file = io.StringIO(newline="")
    write(file)
    return file.getvalue()


@given(results)
def test_csv(some: list[EnrollmentResult]) -> None:
    text = written(lambda file: write_csv(some, file))
    text.encode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len(rows) == len(some)
    for row, result in zip(rows, some, strict=True):
        for column, value in (
            ("identifier", result.identifier),
            ("course_id", result.course_id),
            ("error", result.error or ""),
            ("cohort", result.cohort or ""),
        ):
            # A spreadsheet takes none of them for a formula; the apostrophe can be taken away.
            assert not row[column].startswith(("=", "+", "-", "@", "\t", "\r"))
            text = (whole(value) or "").replace("\0", "\\x00")
            assert row[column] in (text, f"'{text}")
        assert row["action"] == result.action.value
        assert row["outcome"] == result.outcome.value
        assert row["ok"] == ("true" if result.outcome.ok else "false")
        assert row["notified"] == {True: "true", False: "false", None: ""}[result.notified]
        assert row["attempts"] == str(result.attempts)
        assert row["before"] == ("" if result.before is None else "allowed")
        assert row["after"] == ("" if result.after is None else "enrolled")
        told = datetime.fromisoformat(row["time"]).timestamp() if row["time"] else None
        assert told == (None if result.at is None else int(result.at))


def same(told: dict[str, Any], result: EnrollmentResult) -> bool:
    return (
        told["identifier"] == whole(result.identifier)
        and told["course_id"] == whole(result.course_id)
        and told["action"] == result.action.value
        and told["outcome"] == result.outcome.value
        and told["error"] == whole(result.error)
        and told["notified"] is result.notified
        and told["attempts"] == result.attempts
    )


@given(results, st.integers(0, 2))
def test_json(some: list[EnrollmentResult], pending: int) -> None:
    value = json.loads("".join(json_pieces(some, pending=pending)))
    assert list(value) == ["results", "counts", "ok", "pending"]
    assert all(map(same, value["results"], some))
    assert len(value["results"]) == len(some) == sum(value["counts"].values())
    assert value["ok"] == (pending == 0 and all(one.outcome.ok for one in some))
    assert value["pending"] == pending


@given(results)
def test_json_lines(some: list[EnrollmentResult]) -> None:
    lines = written(lambda file: write_jsonl(some, file)).split("\n")
    assert lines.pop() == ""
    assert all(map(same, map(json.loads, lines), some))
    assert len(lines) == len(some)


def test_json_has_the_states() -> None:
    before = EnrollmentState(True, False, False, True)
    result = EnrollmentResult("a", "c1", Action.ENROLL, Outcome.ENROLLED, before)
    (line,) = written(lambda file: write_jsonl([result], file)).splitlines()
    assert json.loads(line)["before"] == {
        "user": True,
        "enrollment": False,
        "allowed": False,
        "auto_enroll": True,
    }
    assert json.loads(line)["after"] is None


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 2000])
def test_no_line_is_lost_between_the_pieces(count: int) -> None:
    lines = written(lambda file: write_jsonl(many(count), file)).splitlines()
    assert [json.loads(line)["identifier"] for line in lines] == [
        f"learner{number}" for number in range(count)
    ]


def test_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_ROW_GROUP", 2)
    some = [
        EnrollmentResult("=jane", "c1", Action.ENROLL, Outcome.ENROLLED, notified=True),
        EnrollmentResult("half \ud800", "c1", Action.ENROLL, Outcome.ALLOWED, notified=None),
        EnrollmentResult("joe", "c2", Action.UNENROLL, Outcome.ERROR, error="why", attempts=3),
    ]
    path = tmp_path / "report.parquet"
    write(path, some)
    assert parquet.read_metadata(path).num_row_groups == 2
    table = parquet.read_table(path)
    assert {field.name: str(field.type) for field in table.schema} == {
        "identifier": "string",
        "course_id": "dictionary<values=string, indices=int32, ordered=0>",
        "action": "dictionary<values=string, indices=int32, ordered=0>",
        "outcome": "dictionary<values=string, indices=int32, ordered=0>",
        "ok": "bool",
        "error": "string",
        "notified": "bool",
        "attempts": "int16",
        "line": "uint32",
        "cohort": "dictionary<values=string, indices=int32, ordered=0>",
        "before": "dictionary<values=string, indices=int32, ordered=0>",
        "after": "dictionary<values=string, indices=int32, ordered=0>",
        "time": "timestamp[ms, tz=UTC]",
    }
    rows = table.to_pylist()
    assert all(map(same, rows, some))
    assert [row["ok"] for row in rows] == [True, True, False]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_parquet_of_nothing(tmp_path: Path) -> None:
    write(tmp_path / "report.parquet", [])
    assert parquet.read_table(tmp_path / "report.parquet").num_rows == 0


def test_parquet_needs_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r'pip install "async_enroll\[files\]"'):
        write(tmp_path / "report.parquet", many(1))
    assert list(tmp_path.iterdir()) == []


def test_a_roster_can_be_applied_again(tmp_path: Path) -> None:
    path = tmp_path / "again.csv"
    failed, refused = Outcome.ERROR, Outcome.REJECTED
    results = [
        EnrollmentResult("a@x.org", C1, Action.ENROLL, Outcome.ALLOWED, notified=None),
        EnrollmentResult("b@x.org", C1, Action.ENROLL, failed, error="it failed", cohort="red"),
        EnrollmentResult("c", C2, Action.UNENROLL, refused, error="=1"),
    ]
    with path.open("w", newline="", encoding="utf-8") as file:
        write_roster(results, file)
    entries = [(e.identifier, e.course_id, e.action, e.cohort) for e in Roster.read(path)]
    assert entries == [
        ("a@x.org", C1, Action.ENROLL, None),
        ("b@x.org", C1, Action.ENROLL, "red"),
        ("c", C2, Action.UNENROLL, None),
    ]
    with path.open(newline="", encoding="utf-8") as file:
        assert [row["error"] for row in csv.DictReader(file)] == [
            "allowed: may not have been notified",
            "error: it failed",
            "rejected: =1",
        ]


def test_a_workbook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_SHEET_ROWS", 3)
    some = [
        EnrollmentResult("=jane", C1, Action.ENROLL, Outcome.ENROLLED, notified=True, line=2),
        EnrollmentResult("half \ud800", C1, Action.ENROLL, Outcome.ALLOWED, notified=None),
        EnrollmentResult("#N/A", C2, Action.UNENROLL, Outcome.ERROR, error="bell \a", attempts=3),
    ]
    path = tmp_path / "report.xlsx"
    write(path, some)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    book = openpyxl.load_workbook(path)
    header = (
        *("identifier", "course_id", "action", "outcome", "ok", "error", "notified"),
        *("attempts", "line", "cohort", "before", "after", "time"),
    )
    assert [list(sheet.values) for sheet in book] == [
        [
            header,
            ("'=jane", C1, "enroll", "enrolled", "true", None, "true", 1, 2, *_NONE),
            ("half \\ud800", C1, "enroll", "allowed", "true", None, None, 1, None, *_NONE),
        ],
        [
            header,
            ("#N/A", C2, "unenroll", "error", "false", "bell \\x07", "false", 3, None, *_NONE),
        ],
    ]
    assert book["Sheet2"]["A2"].data_type == "s"


def test_a_workbook_of_nothing(tmp_path: Path) -> None:
    write(tmp_path / "report.xlsx", [])
    assert openpyxl.load_workbook(tmp_path / "report.xlsx").active.max_row == 1


def test_a_workbook_needs_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(ConfigurationError, match=r'pip install "async_enroll\[files\]"'):
        write(tmp_path / "report.xlsx", many(1))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", export.ROSTER_FORMS)
@given(some=results)
@settings(max_examples=20, deadline=None)
def test_any_results_become_a_roster(suffix: str, some: list[EnrollmentResult]) -> None:
    kept = [replaced(one, number) for number, one in enumerate(some)]
    with TemporaryDirectory() as directory:
        path = Path(directory, f"again{suffix}")
        write_roster_file(path, kept)
        if kept:
            found = {(entry.identifier, entry.action, entry.cohort) for entry in Roster.read(path)}
            assert found == {(one.identifier, one.action, one.cohort) for one in kept}


def replaced(result: EnrollmentResult, number: int) -> EnrollmentResult:
    """A result of a pair that can be in a roster; its error may be anything."""
    cohort = "=red" if result.cohort and result.action is Action.ENROLL else None
    return evolve(result, identifier=f"-learner{number}@example.org", course_id=C1, cohort=cohort)


@pytest.mark.parametrize("suffix", export.FORMS)
def test_a_report_is_a_roster(suffix: str, tmp_path: Path) -> None:
    some = [
        EnrollmentResult("a@x.org", C1, Action.ENROLL, Outcome.ERROR, error="=1", notified=None),
        EnrollmentResult("joe", C2, Action.UNENROLL, Outcome.UNENROLLED, line=7),
    ]
    path = tmp_path / f"report{suffix}"
    write(path, some)
    assert [(one.identifier, one.course_id, one.action) for one in Roster.read(path)] == [
        (one.identifier, one.course_id, one.action) for one in some
    ]


@pytest.mark.parametrize("suffix", export.FORMS)
def test_a_file_is_whole_or_not_there(suffix: str, tmp_path: Path) -> None:
    def cut_off() -> Iterator[EnrollmentResult]:
        yield from many(3)
        raise RuntimeError("the disk is gone")

    path = tmp_path / f"report{suffix}"
    path.write_text("as before")
    with pytest.raises(RuntimeError):
        write(path, cut_off())
    assert path.read_text() == "as before"
    assert list(tmp_path.iterdir()) == [path]
    write(path, many(3))
    assert b"as before" not in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_form_that_is_not_known(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"\.csv or \.json or .*'\.xls'"):
        write(tmp_path / "report.xls", [])


@pytest.mark.parametrize("suffix", export.FORMS)
def test_many_results_take_no_more_memory_than_few(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_ROW_GROUP", 500)

    def peak(count: int) -> int:
        tracemalloc.start()
        try:
            write(tmp_path / f"report{suffix}", many(count))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1)
    assert peak(4_000) < 1.2 * peak(1_000) + 100_000
