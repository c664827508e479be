"""What became of a job's pairs: handed over to people, to programs, and to a file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from shlex import quote
from typing import IO

from attrs import evolve, frozen
from rich import box
from rich.table import Table
from rich.text import Text

from async_enroll.cli.console import OUT, note, printable, say
from async_enroll.cli.destination import PAGE
from async_enroll.cli.ending import ExitStatus
from async_enroll.fates import UNNOTIFIED
from async_enroll.files import private_file
from async_enroll.journal import JournalReport
from async_enroll.models import EnrollmentResult
from async_enroll.page import write_page
from async_enroll.plan import Plan
from async_enroll.report import EnrollmentReport
from async_enroll.summary import Reason, Summary
from async_enroll.timeline import Timeline
from async_enroll.writing import json_pieces, write

_SHOWN = 50


@frozen
class Account:
    """What became of the pairs of a job.

    `results` gives them, each time it is called. `settings` and `notes` are for the page;
    `hint` says where failures are that are not shown, `again` how to mail those who may not
    have been notified; empty where nothing can be said of that.
    """

    results: Callable[[], Iterable[EnrollmentResult]]
    summary: Summary
    timeline: Timeline
    pending: int
    settings: Sequence[tuple[str, str]]
    notes: Sequence[str]
    hint: str
    again: str = ""

    @property
    def status(self) -> ExitStatus:
        """How a command ends that has this to hand over."""
        return ExitStatus.OK if self.summary.ok else ExitStatus.FAILED_PAIRS


def in_memory(
    report: EnrollmentReport,
    plan: Plan,
    timeline: Timeline,
    settings: Sequence[tuple[str, str]],
    path: Path | None,
) -> Account:
    """The account of a job without a journal; `path` is where its report is to be written."""
    summary = report.summary()
    lines = plan.lines

    def results() -> Iterable[EnrollmentResult]:
        if lines is None:
            return report
        return (evolve(one, line=lines.of(one.identifier, one.course_id)) for one in report)

    return Account(
        results,
        summary,
        timeline,
        plan.pairs - summary.pairs,
        settings,
        _notes(plan.skipped),
        f"{path} has them all" if path else "--report FILE.csv would have them all",
    )


def journaled(path: Path, report: JournalReport) -> Account:
    """The account of a job from its journal."""
    job = report.description
    summary, timeline = report.account()
    settings = settings_of(
        job.site,
        job.roster,
        auto_enroll=job.auto_enroll,
        email_students=job.email_students,
        reason=job.reason,
    )
    return Account(
        report.results,
        summary,
        timeline,
        report.pending,
        [*settings, ("journal", path.name), ("begun", job.created)],
        _notes(job.skipped),
        f"async-enroll report {quote(str(path))} --only failures has them all",
        f"to mail them knowingly: async-enroll report {quote(str(path))} --only unnotified "
        "--as-roster --output mail-again.csv",
    )


def settings_of(
    site: str, roster: str, *, auto_enroll: bool, email_students: bool, reason: str | None
) -> list[tuple[str, str]]:
    """What a page says of how a job was done."""
    return [
        ("site", site),
        ("roster", roster),
        ("mail to learners", "yes" if email_students else "no"),
        ("enroll on registering or activating", "yes" if auto_enroll else "no"),
        *([("reason", reason)] if reason else []),
    ]


def hand_over(account: Account, path: Path | None, *, json: bool, shown: bool = True) -> None:
    """Write the report if there is to be one; print the account, unless it is not to be shown."""
    try:
        if path:
            write_report(path, account)
            note(f"report of {account.summary.pairs:,} pairs: {path}")
    finally:
        if json:
            sys.stdout.writelines(json_pieces(account.results(), pending=account.pending))
        elif shown:
            show_account(account.summary, hint=account.hint, again=account.again)
        if account.pending:
            note(f"{account.pending:,} pairs have no result yet")


def write_report(path: Path, account: Account) -> None:
    """Write a report in the form that the suffix of `path` names."""
    if path.suffix == PAGE:
        with private_file(path) as file:
            print_page(file, account)
    else:
        write(path, account.results(), pending=account.pending)


def print_page(file: IO[str], account: Account) -> None:
    """Write an account as a page."""
    write_page(
        file,
        account.summary,
        title="Enrollment report",
        settings=account.settings,
        timeline=account.timeline,
        notes=account.notes,
        pending=account.pending,
    )


def _notes(skipped: Sequence[str]) -> list[str]:
    shown = [f"left out of the roster: {row}" for row in skipped[:_SHOWN]]
    more = len(skipped) - len(shown)
    return [*shown, f"and {more:,} more rows"] if more else shown


def list_results(results: Iterable[EnrollmentResult]) -> None:
    """Print results, one a line."""
    for result in results:
        pair = f"{result.identifier} in {result.course_id}"
        why = result.error or (UNNOTIFIED if result.notified is None else "")
        say(OUT, Text(printable(f"{pair}: {result.outcome.value}, {why}")))


def show_account(summary: Summary, *, hint: str, again: str = "") -> None:
    """Print how many pairs came to which outcome, and the first failures with their reasons.

    `hint` says where the other failures are, `again` how to mail those who may not have been
    notified.
    """
    if not summary.pairs:
        return
    counts = sorted(summary.counts.items(), key=lambda item: -item[1])
    rows = Table(box=box.SIMPLE_HEAD, show_footer=True, pad_edge=False)
    rows.add_column("outcome", footer="all")
    rows.add_column("pairs", footer=f"{summary.pairs:,}", justify="right")
    for outcome, count in counts:
        rows.add_row(outcome.value, f"{count:,}", style="green" if outcome.ok else "red")
    OUT.print(rows)
    if summary.notification:
        say(OUT, Text("; ".join(filter(None, [summary.notification, again])), "yellow"))
    if summary.failed:
        _show_failures(summary, hint)


def _show_failures(summary: Summary, hint: str) -> None:
    OUT.print(Text("Not as asked", "bold"))
    left = _SHOWN
    for reason in summary.reasons:
        if left:
            _show_reason(reason, left)
        left = max(0, left - len(reason.failures))
    if summary.failed > _SHOWN:
        say(OUT, Text(f"… and {summary.failed - _SHOWN:,} more; {hint}"))


def _show_reason(reason: Reason, most: int) -> None:
    outcome = f"{reason.outcome.value}: " if reason.outcome else ""
    say(OUT, Text(printable(f"{outcome}{reason.words}"), "red"))
    failures = reason.failures[:most]
    width = max(len(printable(result.identifier)) for result in failures)
    for result in failures:
        pair = f"  {printable(result.identifier):<{width}}  {printable(result.course_id)}"
        say(OUT, Text(pair))
