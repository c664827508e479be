"""The report of a job: every requested pair, exactly once.

`ReportBuilder` takes blocks of results as they come and gives an `EnrollmentReport`.
`summary`, `export` and `html` turn that into numbers, files and a page.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from html import escape
from itertools import chain
from typing import Any

from attrs import field, frozen

from async_enroll.errors import ConfigurationError, EnrollmentFailures
from async_enroll.files import private_file
from async_enroll.models import EmailStudents, EnrollmentResult, Outcome, RosterEntry
from async_enroll.platform.json import bulk_object
from async_enroll.reports.export import json_pieces, write_csv
from async_enroll.reports.summary import Summary, mail_in_words, sync_in_words
from async_enroll.reports.words import line_of
from async_enroll.results import Block, failing, unnotified

_SHOWN = 20


@frozen
class CourseReport:
    """The results of one course. Iterating yields each `EnrollmentResult`.

    `blocks` holds the results compactly, in the order of arrival.
    """

    course_id: str
    blocks: tuple[Block, ...] = field(repr=False)

    def __iter__(self) -> Iterator[EnrollmentResult]:
        return chain.from_iterable(self.blocks)

    @property
    def results(self) -> tuple[EnrollmentResult, ...]:
        """All results, created on each access."""
        return tuple(self)

    @property
    def failures(self) -> tuple[EnrollmentResult, ...]:
        """The results of the pairs that failed."""
        return tuple(chain.from_iterable(block.only(failing) for block in self.blocks))

    @property
    def counts(self) -> Counter[Outcome]:
        """The number of pairs by outcome: 0 for outcomes that do not occur."""
        return self.summary().counts

    @property
    def ok(self) -> bool:
        """Whether every pair succeeded: it is now as requested."""
        return self.summary().ok

    def summary(self) -> Summary:
        """The results of the course in a few numbers."""
        return Summary.of(self.blocks)


@frozen
class EnrollmentReport:
    """The results of a job. Iterating yields each `EnrollmentResult`, course by course.

    `courses` maps each course key to its `CourseReport`. `finished_earlier` is None, or the
    time at which an earlier run of the journal finished the job: nothing was sent this time,
    and the report describes that time. `str` gives a summary and the first failures.

    After a sync, `kept` has the learners who stay enrolled though they are not in the roster, and
    `withheld` says why learners were not removed from a course, by course key; it is None for
    another job.
    """

    courses: dict[str, CourseReport]
    auto_enroll: bool = True
    email_students: EmailStudents = False
    finished_earlier: datetime | None = None
    kept: tuple[RosterEntry, ...] = field(default=(), repr=False)
    withheld: Mapping[str, str] | None = field(default=None, repr=False)

    def __iter__(self) -> Iterator[EnrollmentResult]:
        return chain.from_iterable(self.courses.values())

    @property
    def results(self) -> tuple[EnrollmentResult, ...]:
        """All results, course by course, created on each access."""
        return tuple(self)

    @property
    def counts(self) -> Counter[Outcome]:
        """The number of pairs by outcome: 0 for outcomes that do not occur."""
        return self.summary().counts

    @property
    def failures(self) -> tuple[EnrollmentResult, ...]:
        """The results of the pairs that failed."""
        return tuple(chain.from_iterable(one.failures for one in self.courses.values()))

    @property
    def notification_unknown(self) -> tuple[RosterEntry, ...]:
        """A roster of the pairs that succeeded, but whose learners may not have been notified.

        Applying it again with mail mails some of them twice, and enrolls those who have left
        since. The platform does not mail learners who are unenrolled already.
        """
        return tuple(
            RosterEntry(result.identifier, result.course_id, result.action, result.cohort)
            for course in self.courses.values()
            for block in course.blocks
            for result in block.only(unnotified)
        )

    @property
    def ok(self) -> bool:
        """Whether every pair succeeded: it is now as requested."""
        return all(course.ok for course in self.courses.values())

    def raise_for_failures(self) -> None:
        """Raise an exception if any pair failed.

        Raises:
            EnrollmentFailures: Some pairs failed. Carries this report.

        """
        if not self.ok:
            # Exceptions end up in logs: no identifiers here.
            raise EnrollmentFailures(self, self.summary().headline)

    def to_dict(self) -> dict[str, Any]:
        """The report in the shape of the platform's answer, as if to a single bulk call.

        Each result has `outcome`, in words such as "already_enrolled", and `notified` as well.
        Where the pair failed, `error` says why; the platform's own answers have just true there.
        `action` is None if the job both enrolled and unenrolled.
        """
        return bulk_object(
            self.courses, auto_enroll=self.auto_enroll, email_students=self.email_students
        )

    def summary(self) -> Summary:
        """The report in a few numbers."""
        return Summary.of(chain.from_iterable(one.blocks for one in self.courses.values()))

    @property
    def sync_in_words(self) -> list[str]:
        """What a sync has done, in sentences; empty for another job."""
        if self.withheld is None:
            return []
        return sync_in_words(self.summary(), len(self.kept), self.withheld)

    def write_csv(self, path: str | os.PathLike[str]) -> None:
        """Write one row per pair as CSV, UTF-8 with a byte order mark, mode 0600. Blocks.

        Excel knows UTF-8 by the mark.
        A cell that a spreadsheet would evaluate as a formula is prefixed with an apostrophe.

        Raises:
            OSError: The file cannot be written. `path` is unchanged.

        """
        with private_file(path, newline="", marked=True) as file:
            write_csv(self, file)

    def write_json(self, path: str | os.PathLike[str]) -> None:
        """Write the report as JSON, as `json_pieces` yields it, mode 0600. Blocks.

        Raises:
            OSError: The file cannot be written. `path` is unchanged.

        """
        with private_file(path) as file:
            file.writelines(self.json_pieces())

    def write_html(self, path: str | os.PathLike[str], *, title: str = "Enrollment report") -> None:
        """Write the report as a self-contained HTML page, mode 0600. Blocks.

        The page names the learners whose enrollment failed, at most 10,000 pairs, and no others.

        Raises:
            ConfigurationError: jinja2 is not installed.
            OSError: The file cannot be written. `path` is unchanged.

        """
        # Imports jinja2, which only the page needs.
        try:
            from async_enroll.reports.html import write_page
        except ImportError:
            raise ConfigurationError(
                'the page needs jinja2: pip install "async_enroll[cli]"'
            ) from None

        settings = {
            "enroll on registration or activation": "yes" if self.auto_enroll else "no",
            "e-mail to learners": mail_in_words(self.email_students),
        }
        with private_file(path) as file:
            notes = self.sync_in_words
            write_page(file, self.summary(), title=title, settings=settings, notes=notes)

    def json_pieces(self) -> Iterator[str]:
        """Yield the whole report as JSON text: results, counts by outcome, `ok`, `pending`."""
        return json_pieces(self)

    def __str__(self) -> str:
        """Give the summary and the first 20 failures; say if an earlier run finished the job."""
        lines = [*self._finished(), str(self.summary()), *self.sync_in_words]
        failures = self.failures
        if failures:
            lines.append("failed:")
        lines += [f"  {line_of(result)}" for result in failures[:_SHOWN]]
        if len(failures) > _SHOWN:
            lines.append(f"  … and {len(failures) - _SHOWN:,} more")
        return _encodable("\n".join(lines))

    def _repr_html_(self) -> str:
        """Give what `str` does as HTML, which notebooks show."""
        summary, failures = self.summary(), self.failures
        pieces = [f"<p>{escape(line)}</p>" for line in (*self._finished(), summary.headline)]
        if summary.counts:
            rows = [
                (outcome.value, f"{count:,}") for outcome, count in summary.counts.most_common()
            ]
            pieces.append(_table(("outcome", "enrollments"), rows))
        if summary.notification:
            pieces.append(f"<p>{escape(summary.notification)}</p>")
        if failures:
            pieces.append(
                _table(
                    ("failed", "course", "outcome", "error"),
                    [
                        (one.identifier, one.course_id, one.outcome.value, one.error or "")
                        for one in failures[:_SHOWN]
                    ],
                )
            )
        if len(failures) > _SHOWN:
            pieces.append(f"<p>… and {len(failures) - _SHOWN:,} more</p>")
        return _encodable("\n".join(pieces))

    def _finished(self) -> Iterator[str]:
        if self.finished_earlier:
            then = f"{self.finished_earlier:%Y-%m-%d %H:%M %Z}"
            yield f"this job finished on {then}; nothing was sent"


def _table(names: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>\n" for row in rows
    )
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>"


def _encodable(text: str) -> str:
    """Escape lone surrogates, which an identifier may hold: none can be printed or logged."""
    return text.encode(errors="backslashreplace").decode()


class ReportBuilder:
    """Builds a report from results as they come."""

    def __init__(self, *, auto_enroll: bool, email_students: EmailStudents) -> None:
        self._auto_enroll = auto_enroll
        self._email_students = email_students
        self._by_course: dict[str, list[Block]] = {}

    def add(self, blocks: Iterable[Block]) -> None:
        """Add results."""
        for block in blocks:
            self._by_course.setdefault(block.course_id, []).append(block)

    def report(self) -> EnrollmentReport:
        """The report of all results added so far."""
        courses = {key: CourseReport(key, tuple(some)) for key, some in self._by_course.items()}
        return EnrollmentReport(courses, self._auto_enroll, self._email_students)
