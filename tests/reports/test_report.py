"""The merged account, in all its shapes."""

import csv
import errno
import json
import os
import stat
import subprocess
import sys
from datetime import UTC, datetime
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import example, given
from hypothesis import strategies as st

from async_enroll import (
    Action,
    EnrollmentFailures,
    EnrollmentReport,
    EnrollmentResult,
    EnrollmentState,
    Outcome,
    RosterEntry,
)
from async_enroll.reports.report import ReportBuilder
from tests.blocks import block_of

STATE = EnrollmentState(True, True, False, True)


def result(identifier: str, course_id: str, outcome: Outcome) -> EnrollmentResult:
    error = None if outcome.ok else "because"
    after = STATE if outcome.ok else None
    return EnrollmentResult(identifier, course_id, Action.ENROLL, outcome, after, after, error)


def report(*results: EnrollmentResult) -> EnrollmentReport:
    builder = ReportBuilder(auto_enroll=True, email_students=True)
    for one in results:
        builder.add([block_of(one)])
    return builder.report()


MIXED = report(
    result("jane", "c1", Outcome.ENROLLED),
    result("jane", "c2", Outcome.REJECTED),
    result("=joe", "c1", Outcome.ALREADY_ENROLLED),
    result("jim", "c1", Outcome.UNCONFIRMED),
)


def test_results_are_merged_by_course() -> None:
    assert list(MIXED.courses) == ["c1", "c2"]
    assert [one.identifier for one in MIXED.courses["c1"].results] == ["jane", "=joe", "jim"]
    assert MIXED.courses["c2"].counts == {Outcome.REJECTED: 1}
    assert MIXED.courses["c2"].counts[Outcome.ENROLLED] == MIXED.counts[Outcome.ALLOWED] == 0
    assert not MIXED.courses["c1"].ok
    assert MIXED.counts == {
        Outcome.ENROLLED: 1,
        Outcome.ALREADY_ENROLLED: 1,
        Outcome.UNCONFIRMED: 1,
        Outcome.REJECTED: 1,
    }
    assert [one.outcome for one in MIXED.failures] == [Outcome.UNCONFIRMED, Outcome.REJECTED]


def test_raise_for_failures() -> None:
    report(result("jane", "c1", Outcome.ENROLLED)).raise_for_failures()
    with pytest.raises(EnrollmentFailures, match="4 enrollments in 2 courses: 2 failed") as raised:
        MIXED.raise_for_failures()
    assert raised.value.report is MIXED
    assert "jane" not in str(raised.value)


def test_an_empty_report_is_ok() -> None:
    assert report().ok
    assert report().counts == {}
    assert report().counts[Outcome.ENROLLED] == 0
    assert str(report()) == "0 enrollments in 0 courses: all as requested"


def test_a_report_that_a_person_reads() -> None:
    text = str(MIXED)
    assert text.splitlines()[0] == "4 enrollments in 2 courses: 2 failed"
    assert "  jane in c2: not done: because" in text
    long = report(*[result(f"x{n}", "c1", Outcome.ERROR) for n in range(1021)])
    assert str(long).endswith("… and 1,001 more")


def cells(html: str) -> list[str]:
    """What a browser shows of a report in a notebook, in the order of the page."""

    class Texts(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.texts: list[str] = []
            self.tags: set[str] = set()

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.tags.add(tag)
            assert not attrs

        def handle_data(self, data: str) -> None:
            if data.strip():
                self.texts.append(data)

    parser = Texts()
    parser.feed(html)
    parser.close()
    assert parser.tags <= {"p", "table", "thead", "tbody", "tr", "th", "td"}
    return parser.texts


def test_a_report_in_a_notebook() -> None:
    shown = cells(MIXED._repr_html_())
    assert shown[:2] == ["4 enrollments in 2 courses: 2 failed", "outcome"]
    assert shown[shown.index("already_enrolled") + 1] == "1"
    assert shown[-8:] == [
        *("jim", "c1", "unconfirmed", "because"),
        *("jane", "c2", "rejected", "because"),
    ]
    assert "<table" not in report()._repr_html_()
    earlier = evolve(report(), finished_earlier=datetime(2026, 3, 1, tzinfo=UTC))
    assert "this job finished on 2026-03-01 00:00 UTC" in earlier._repr_html_()
    lost = report(evolve(result("jane", "c1", Outcome.ENROLLED), notified=None))
    assert "the learner of 1 enrollment may not have been notified" in lost._repr_html_()
    long = report(*[result(f"x{n}", "c1", Outcome.ERROR) for n in range(1021)])
    assert cells(long._repr_html_())[-1] == "… and 1,001 more"


@given(st.text(min_size=1))
@example("<script>alert(1)</script>")
@example('"><img src=x onerror=alert(3)>')
@example("&lt;b&gt;")
def test_other_peoples_words_are_text_in_a_notebook(words: str) -> None:
    hostile = EnrollmentResult(words, words, Action.ENROLL, Outcome.ERROR, error=words)
    html = report(hostile)._repr_html_()
    html.encode()
    assert cells(html)  # no tag and no attribute but ours
    assert html.count(escape(words.encode(errors="backslashreplace").decode())) >= 3


def test_to_dict_has_the_platforms_shape() -> None:
    value = MIXED.to_dict()
    assert (value["action"], value["auto_enroll"], value["email_students"]) == (
        "enroll",
        True,
        True,
    )
    results = value["courses"]["c1"]["results"]
    assert [set(one) for one in results] == [
        {"identifier", "before", "after", "outcome", "notified"},
        {"identifier", "before", "after", "outcome", "notified"},
        {"identifier", "error", "outcome", "notified"},
    ]
    assert [one["outcome"] for one in results] == ["enrolled", "already_enrolled", "unconfirmed"]
    assert results[2]["error"] == "because"


def test_to_dict_tells_that_there_was_no_cohort_before() -> None:
    some = evolve(
        result("jane", "c1", Outcome.ENROLLED),
        before=EnrollmentState(user=True, enrollment=False, allowed=False, auto_enroll=False),
        cohort="Group A",
    )
    (told,) = report(some).to_dict()["courses"]["c1"]["results"]
    assert told["before"]["cohort"] is None


def test_who_may_not_have_been_notified() -> None:
    some = [
        evolve(result("jane", "c1", Outcome.ENROLLED), notified=None),
        evolve(result("joe", "c1", Outcome.ENROLLED), notified=True),
        evolve(result("jim", "c1", Outcome.UNCONFIRMED), notified=None),
    ]
    told = report(*some)
    assert told.notification_unknown == (RosterEntry("jane", "c1"),)
    assert "\nthe learner of 1 enrollment may not have been notified\n" in str(told)
    results = told.to_dict()["courses"]["c1"]["results"]
    assert [one["notified"] for one in results] == [None, True, None]


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    MIXED.write_csv(path)
    assert path.read_bytes().startswith(b"\xef\xbb\xbfidentifier,")  # as Excel needs it
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {
        "identifier": "jane",
        "course_id": "c1",
        "action": "enroll",
        "outcome": "enrolled",
        "ok": "true",
        "error": "",
        "notified": "false",
        "attempts": "1",
        "line": "",
        "cohort": "",
        "before": "enrolled",
        "after": "enrolled",
        "time": "",
    }
    assert len(rows) == 4
    assert rows[1]["identifier"] == "'=joe"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_json(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    MIXED.write_json(path)
    value = json.loads(path.read_text("utf-8"))
    assert value["ok"] is False
    assert value["counts"]["rejected"] == 1
    assert [one["identifier"] for one in value["results"]] == ["jane", "=joe", "jim", "jane"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_empty_report_is_json_too(tmp_path: Path) -> None:
    report().write_json(tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text("utf-8")) == {
        "results": [],
        "counts": {},
        "ok": True,
        "pending": 0,
    }


def test_a_page(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    MIXED.write_html(path, title="A & B")
    page = path.read_text("utf-8")
    assert "<h1>A &amp; B</h1>" in page
    assert "2 of 4 enrollments are as requested" in page
    assert "jim" in page
    assert "=joe" not in page
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_makes_pages_and_parquet_is_not_imported_before_it_is_needed() -> None:
    script = "import async_enroll, sys; print({'jinja2', 'pyarrow'} & sys.modules.keys())"
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "set()\n"


def test_a_file_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for write in (MIXED.write_csv, MIXED.write_json, MIXED.write_html):
        path = tmp_path / "report"
        path.write_text("as before")
        with pytest.raises(OSError, match="no space left"):
            write(path)
        assert path.read_text() == "as before"
        assert list(tmp_path.iterdir()) == [path]
