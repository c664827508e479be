"""The merged account of a job: every pair asked for, exactly once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain
from typing import Any

from attrs import field, frozen

from async_enroll.errors import EnrollmentFailures
from async_enroll.fates import Block, failing, unnotified
from async_enroll.files import private_file
from async_enroll.models import EnrollmentResult, Outcome, RosterEntry
from async_enroll.summary import Summary
from async_enroll.wire import bulk_object
from async_enroll.writing import json_pieces, write_csv

_SHOWN = 20


@frozen
class CourseReport:
    """What became of the pairs of one course; iterates as their results.

    `blocks` has the results compactly, as they came.
    """

    course_id: str
    blocks: tuple[Block, ...] = field(repr=False)

    def __iter__(self) -> Iterator[EnrollmentResult]:
        return chain.from_iterable(self.blocks)

    @property
    def results(self) -> tuple[EnrollmentResult, ...]:
        """All results, made when asked for."""
        return tuple(self)

    @property
    def failures(self) -> tuple[EnrollmentResult, ...]:
        """The results of the pairs that are not as they were asked to be."""
        return tuple(chain.from_iterable(block.only(failing) for block in self.blocks))

    @property
    def counts(self) -> dict[Outcome, int]:
        """How many pairs came to each outcome, of those that occur."""
        return self.summary().counts

    @property
    def ok(self) -> bool:
        """Whether every pair is now as it was asked to be."""
        return self.summary().ok

    def summary(self) -> Summary:
        """The account of the course in a few numbers."""
        return Summary.of(self.blocks)


@frozen
class EnrollmentReport:
    """What became of every pair of a job.

    `courses` has a `CourseReport` for each course key. `finished_earlier` is when an earlier
    run of its journal finished the job, where nothing was left to send: what the report says
    was so then. Iterates as all results, course by course. `str` gives a summary for people.
    """

    courses: dict[str, CourseReport]
    auto_enroll: bool = True
    email_students: bool = False
    finished_earlier: datetime | None = None

    def __iter__(self) -> Iterator[EnrollmentResult]:
        return chain.from_iterable(self.courses.values())

    @property
    def results(self) -> tuple[EnrollmentResult, ...]:
        """All results, course by course, made when asked for."""
        return tuple(self)

    @property
    def counts(self) -> dict[Outcome, int]:
        """How many pairs came to each outcome, of those that occur."""
        return self.summary().counts

    @property
    def failures(self) -> tuple[EnrollmentResult, ...]:
        """The results of the pairs that are not as they were asked to be."""
        return tuple(chain.from_iterable(one.failures for one in self.courses.values()))

    @property
    def notification_unknown(self) -> tuple[RosterEntry, ...]:
        """A roster of those who are as asked, and may not have been notified.

        It can be applied again with mail, knowing that some will be mailed twice; the
        platform mails nobody who is unenrolled already.
        """
        return tuple(
            RosterEntry(result.identifier, result.course_id, result.action)
            for course in self.courses.values()
            for block in course.blocks
            for result in block.only(unnotified)
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
            raise EnrollmentFailures(self, self.summary().headline)

    def to_dict(self) -> dict[str, Any]:
        """The report in the platform's own shape, as if one giant call had been answered.

        A pair that the platform said nothing of counts as its flag `error`. `action` is
        None where both actions stand together. Each result has `notified` as well.
        """
        return bulk_object(
            self.courses, auto_enroll=self.auto_enroll, email_students=self.email_students
        )

    def summary(self) -> Summary:
        """The report in a few numbers."""
        return Summary.of(chain.from_iterable(one.blocks for one in self.courses.values()))

    def write_csv(self, path: str | os.PathLike[str]) -> None:
        """Write one row a pair, mode 0600, safe to open in a spreadsheet. Blocks.

        UTF-8 with a byte order mark, by which Excel knows it.
        A cell that a spreadsheet would take for a formula starts with an apostrophe.

        Raises:
            OSError: where the file cannot be written; what was at `path` is still there.

        """
        with private_file(path, newline="", marked=True) as file:
            write_csv(self, file)

    def write_json(self, path: str | os.PathLike[str]) -> None:
        """Write `json_pieces` to a file, mode 0600. Blocks.

        Raises:
            OSError: where the file cannot be written; what was at `path` is still there.

        """
        with private_file(path) as file:
            file.writelines(self.json_pieces())

    def write_html(self, path: str | os.PathLike[str], *, title: str = "Enrollment report") -> None:
        """Write a page for people to a file of its own, mode 0600, for any browser. Blocks.

        It names the learners who are not as asked, up to some ten thousand, and nobody else.

        Raises:
            OSError: where the file cannot be written; what was at `path` is still there.

        """
        # Only those who want a page load what makes it.
        from async_enroll.page import write_page

        settings = {
            "enroll on registering or activating": "yes" if self.auto_enroll else "no",
            "mail to learners": "yes" if self.email_students else "no",
        }
        with private_file(path) as file:
            write_page(file, self.summary(), title=title, settings=settings)

    def json_pieces(self) -> Iterator[str]:
        """Give the report in full as JSON, piece by piece: results, counts by outcome, `ok`."""
        return json_pieces(self)

    def __str__(self) -> str:
        """That the job was finished before, if so, the summary, and the first failures."""
        lines = []
        if self.finished_earlier:
            then = f"{self.finished_earlier:%Y-%m-%d %H:%M %Z}"
            lines.append(f"this job finished on {then}; nothing was sent")
        lines.append(str(self.summary()))
        failures = self.failures
        if failures:
            lines.append("not as asked:")
        for result in failures[:_SHOWN]:
            pair = f"{result.identifier} in {result.course_id}"
            lines.append(f"  {pair}: {result.outcome.value}, {result.error}")
        if len(failures) > _SHOWN:
            lines.append(f"  … and {len(failures) - _SHOWN:,} more")
        return "\n".join(lines)


class ReportBuilder:
    """Folds results into a report as they come."""

    def __init__(self, *, auto_enroll: bool, email_students: bool) -> None:
        self._auto_enroll = auto_enroll
        self._email_students = email_students
        self._by_course: dict[str, list[Block]] = {}

    def add(self, blocks: Iterable[Block]) -> None:
        """Take further results."""
        for block in blocks:
            self._by_course.setdefault(block.course_id, []).append(block)

    def report(self) -> EnrollmentReport:
        """The report of the results so far."""
        courses = {key: CourseReport(key, tuple(some)) for key, some in self._by_course.items()}
        return EnrollmentReport(courses, self._auto_enroll, self._email_students)
