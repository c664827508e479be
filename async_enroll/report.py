"""The merged account of a job: every pair asked for, exactly once."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import orjson
from attrs import frozen

from async_enroll.errors import EnrollmentFailures
from async_enroll.files import private_file, safe_cell
from async_enroll.models import EnrollmentResult, Outcome, RosterEntry
from async_enroll.wire import bulk_object, result_object

_SHOWN = 20
_CSV_COLUMNS = (
    "identifier",
    "course_id",
    "action",
    "outcome",
    "ok",
    "error",
    "notified",
    "attempts",
)


@frozen
class CourseReport:
    """What became of the pairs of one course."""

    course_id: str
    results: tuple[EnrollmentResult, ...]

    @property
    def counts(self) -> dict[Outcome, int]:
        """How many pairs came to each outcome, of those that occur."""
        return _counts(self.results)

    @property
    def ok(self) -> bool:
        """Whether every pair is now as it was asked to be."""
        return all(result.outcome.ok for result in self.results)


@frozen
class EnrollmentReport:
    """What became of every pair of a job.

    `courses` has a `CourseReport` for each course key. `str` gives a summary for people.
    """

    courses: dict[str, CourseReport]
    auto_enroll: bool = True
    email_students: bool = False

    @property
    def results(self) -> tuple[EnrollmentResult, ...]:
        """All results, course by course."""
        return tuple(chain.from_iterable(course.results for course in self.courses.values()))

    @property
    def counts(self) -> dict[Outcome, int]:
        """How many pairs came to each outcome, of those that occur."""
        return _counts(self.results)

    @property
    def failures(self) -> tuple[EnrollmentResult, ...]:
        """The results of the pairs that are not as they were asked to be."""
        return tuple(result for result in self.results if not result.outcome.ok)

    @property
    def notification_unknown(self) -> tuple[RosterEntry, ...]:
        """A roster of those who are as asked, and may or may not have been mailed.

        It can be applied again with mail, knowing that some will be mailed twice.
        """
        return tuple(
            RosterEntry(result.identifier, result.course_id, result.action)
            for result in self.results
            if result.notified is None and result.outcome.ok
        )

    @property
    def ok(self) -> bool:
        """Whether every pair is now as it was asked to be."""
        return all(course.ok for course in self.courses.values())

    def raise_for_failures(self) -> None:
        """Do nothing if all is well.

        Raises:
            EnrollmentFailures: with this report, where some pairs are not as asked.

        """
        if not self.ok:
            # Exceptions end up in logs: numbers, and nobody's address.
            raise EnrollmentFailures(self, self._headline())

    def to_dict(self) -> dict[str, Any]:
        """The report in the platform's own shape, as if one giant call had been answered.

        A pair that the platform said nothing of counts as its flag `error`. `action` is
        None where both actions stand together.
        """
        results = {course_id: course.results for course_id, course in self.courses.items()}
        return bulk_object(
            results, auto_enroll=self.auto_enroll, email_students=self.email_students
        )

    def write_csv(self, path: str | os.PathLike[str]) -> None:
        """Write one row a pair, UTF-8, mode 0600, safe to open in a spreadsheet. Blocks.

        A cell that a spreadsheet would take for a formula starts with an apostrophe.
        """
        with private_file(path, newline="") as file:
            rows = csv.writer(file)
            rows.writerow(_CSV_COLUMNS)
            rows.writerows(_csv_row(result) for result in self.results)

    def write_json(self, path: str | os.PathLike[str]) -> None:
        """Write `json_pieces` to a file, mode 0600. Blocks."""
        with private_file(path) as file:
            file.writelines(self.json_pieces())

    def json_pieces(self) -> Iterator[str]:
        """Give the report in full as JSON, piece by piece: `ok`, counts by outcome, results."""
        counts = {outcome.value: count for outcome, count in self.counts.items()}
        yield f'{{"ok": {str(self.ok).lower()}, '
        yield f'"counts": {orjson.dumps(counts).decode()}, "results": ['
        separator = "\n"
        for result in self.results:
            yield f"{separator}{orjson.dumps(result_object(result)).decode()}"
            separator = ",\n"
        yield "\n]}\n"

    def __str__(self) -> str:
        """The counts, and the first failures with their reasons."""
        lines = [self._headline()]
        for outcome, count in sorted(self.counts.items(), key=lambda item: -item[1]):
            lines.append(f"  {outcome.value:<18} {count:>9,}")
        failures = self.failures
        if failures:
            lines.append("not as asked:")
        for result in failures[:_SHOWN]:
            pair = f"{result.identifier} in {result.course_id}"
            lines.append(f"  {pair}: {result.outcome.value}, {result.error}")
        if len(failures) > _SHOWN:
            lines.append(f"  … and {len(failures) - _SHOWN:,} more")
        return "\n".join(lines)

    def _headline(self) -> str:
        counts = self.counts
        total = sum(counts.values())
        failed = sum(count for outcome, count in counts.items() if not outcome.ok)
        verdict = f"{failed:,} not as asked" if failed else "all as asked"
        return f"{total:,} pairs in {len(self.courses):,} courses: {verdict}"


class ReportBuilder:
    """Folds results into a report as they come."""

    def __init__(self, *, auto_enroll: bool, email_students: bool) -> None:
        self._auto_enroll = auto_enroll
        self._email_students = email_students
        self._by_course: dict[str, list[EnrollmentResult]] = {}

    def add(self, results: Iterable[EnrollmentResult]) -> None:
        """Take further results."""
        for result in results:
            self._by_course.setdefault(result.course_id, []).append(result)

    def report(self) -> EnrollmentReport:
        """The report of the results so far."""
        courses = {key: CourseReport(key, tuple(some)) for key, some in self._by_course.items()}
        return EnrollmentReport(courses, self._auto_enroll, self._email_students)


def _counts(results: Iterable[EnrollmentResult]) -> dict[Outcome, int]:
    return dict(Counter(result.outcome for result in results))


def _csv_row(result: EnrollmentResult) -> list[str]:
    # As in JSON, and empty where nothing is known.
    told = {True: "true", False: "false", None: ""}
    cells = [
        result.identifier,
        result.course_id,
        result.action.value,
        result.outcome.value,
        told[result.outcome.ok],
        result.error or "",
        told[result.notified],
        str(result.attempts),
    ]
    return [safe_cell(cell) for cell in cells]
