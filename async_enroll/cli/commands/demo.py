"""`async-enroll demo`: a whole job on an embedded platform."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable
from contextlib import aclosing
from pathlib import Path
from tempfile import TemporaryDirectory

from anyio import to_thread
from cyclopts.types import PositiveInt
from rich import box
from rich.table import Table

from async_enroll.cli.console import OUT, note
from async_enroll.cli.output.account import show_summary
from async_enroll.cli.output.ending import ExitStatus
from async_enroll.cli.output.loop import run
from async_enroll.cli.output.progress import JobProgress
from async_enroll.client import EnrollmentClient
from async_enroll.files import private_file
from async_enroll.models import EnrollmentQuery, Outcome, RequestWindow
from async_enroll.reports.report import EnrollmentReport
from async_enroll.reports.summary import counted
from async_enroll.roster import Roster
from async_enroll.sandbox import Platform, Population

EXAMPLES = """\
Examples:
  async-enroll demo
  async-enroll demo --learners 100 --courses 3

Exit status: 0 the report matches the platform · 1 it does not"""

_SECONDS_PER_PAIR = 0.001
_NEWCOMERS = 20
_UNKNOWN = ("no-such-learner", "no-such-teacher", "nobody")


def demo(*, learners: PositiveInt = 3000, courses: PositiveInt = 12) -> ExitStatus:
    """Apply a sample roster on an embedded platform, and verify the report.

    Args:
        learners: Number of learners with an account.
        courses: Number of courses to enroll each of them in.

    """
    return run(_demo, learners, courses)


async def _demo(learners: int, courses: int) -> ExitStatus:
    platform = Platform(seconds_per_pair=_SECONDS_PER_PAIR)
    population = platform.seed(learners, courses)
    with TemporaryDirectory(prefix="async-enroll-demo-") as directory:
        path = Path(directory, "roster.csv")
        rows = await to_thread.run_sync(_write_roster, path, population)
        roster = await to_thread.run_sync(Roster.read, path)
    note(
        f"Embedded platform: {counted(learners, 'learner')}, {counted(courses, 'course')}.\n"
        f"Roster {path}: {rows:,} rows, including {rows - len(roster):,} duplicates."
    )
    progress = JobProgress(RequestWindow())
    async with (
        platform,
        EnrollmentClient(platform.url, platform.token, on_event=progress.tell) as client,
    ):
        with progress.shown():
            report = await client.apply(roster)
        show_summary(report.summary())
        note("These three fail on purpose. Comparing the report with the platform's enrollments:")
        listed = await _listed(client, population.courses)
    return _compare(report, listed)


def _write_roster(path: Path, population: Population) -> int:
    newcomers = [f"newcomer{number:03}@example.net" for number in range(1, _NEWCOMERS + 1)]
    repeated = population.emails[:_NEWCOMERS]
    identifiers = [*population.emails, *newcomers, *repeated]
    pairs = [(who, key) for who in identifiers for key in population.courses]
    pairs += [(who, population.courses[0]) for who in _UNKNOWN]
    with private_file(path, newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["identifier", "course_id"])
        rows.writerows(pairs)
    return len(pairs)


async def _listed(client: EnrollmentClient, courses: Iterable[str]) -> Counter[str]:
    queries = [EnrollmentQuery(course_id=key) for key in courses]
    async with aclosing(client.enrollments_for(queries)) as records:
        return Counter([record.course_id async for record in records if record.is_active])


def _compare(report: EnrollmentReport, listed: Counter[str]) -> ExitStatus:
    reported = Counter(
        {key: course.counts[Outcome.ENROLLED] for key, course in report.courses.items()}
    )
    rows = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    rows.add_column("course")
    rows.add_column("enrolled: report", justify="right")
    rows.add_column("platform", justify="right")
    for key, enrolled in reported.items():
        style = "green" if enrolled == listed[key] else "red"
        rows.add_row(key, f"{enrolled:,}", f"{listed[key]:,}", style=style)
    OUT.print(rows)
    agree = reported == listed
    note("Report and platform agree." if agree else "Report and platform do NOT agree.")
    return ExitStatus.OK if agree else ExitStatus.FAILED_PAIRS
