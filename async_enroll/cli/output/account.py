"""Output of a job's results: on the terminal, as JSON, and as a report file.

Takes an `EnrollmentReport` or the `JournalReport` of a job as an `Account`.
"""

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
from async_enroll.cli.options.destination import PAGE
from async_enroll.cli.output.ending import ExitStatus
from async_enroll.files import private_file
from async_enroll.journal import JournalReport
from async_enroll.models import EmailStudents, EnrollmentResult
from async_enroll.planning.plan import Plan
from async_enroll.planning.sync import SyncTerms
from async_enroll.reports.export import json_pieces, write
from async_enroll.reports.html import write_page
from async_enroll.reports.report import EnrollmentReport
from async_enroll.reports.summary import (
    Reason,
    Summary,
    counted,
    mail_in_words,
    sync_in_words,
)
from async_enroll.reports.timeline import Timeline
from async_enroll.results import UNNOTIFIED

_SHOWN = 50


@frozen
class Account:
    """The results of a job, with what is needed to print and write them.

    Each call of `results` iterates over all of them. `settings` and `notes` are for the HTML
    page. `hint` says how to list all failures, `again` how to mail learners who may not have
    been notified; it is empty if there is no way. `sync` says what a sync has done.
    """

    results: Callable[[], Iterable[EnrollmentResult]]
    summary: Summary
    timeline: Timeline
    pending: int
    settings: Sequence[tuple[str, str]]
    notes: Sequence[str]
    hint: str
    again: str = ""
    sync: Sequence[str] = ()

    @property
    def status(self) -> ExitStatus:
        """The exit status of a command with these results."""
        return ExitStatus.OK if self.summary.ok else ExitStatus.FAILED_PAIRS


def in_memory(
    report: EnrollmentReport,
    plan: Plan,
    timeline: Timeline,
    settings: Sequence[tuple[str, str]],
    path: Path | None,
) -> Account:
    """The results of a job without a journal; `path` is its report file, if any."""
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
        f"see {path} for all" if path else "use --report FILE.csv to list all",
        sync=report.sync_in_words,
    )


def journaled(path: Path, report: JournalReport) -> Account:
    """The results of a job from its journal."""
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
        [*settings, ("journal", path.name), ("started", job.created)],
        _notes(job.skipped),
        f"to list all: async-enroll report {quote(str(path))} --only failures",
        f"to mail them anyway: async-enroll report {quote(str(path))} --only unnotified "
        "--as-roster --output mail-again.csv",
        sync=_sync(summary, job.sync),
    )


def _sync(summary: Summary, terms: SyncTerms | None) -> list[str]:
    if terms is None:
        return []
    return sync_in_words(summary, sum(map(len, terms.kept.values())), terms.withheld)


def settings_of(
    site: str, roster: str, *, auto_enroll: bool, email_students: EmailStudents, reason: str | None
) -> list[tuple[str, str]]:
    """The settings of a job, as the HTML page lists them."""
    return [
        ("site", site),
        ("roster", roster),
        ("e-mail to learners", mail_in_words(email_students)),
        ("enroll on registration or activation", "yes" if auto_enroll else "no"),
        *([("reason", reason)] if reason else []),
    ]


def hand_over(account: Account, path: Path | None, *, json: bool, shown: bool = True) -> None:
    """Write the report to `path`, if any, and print the results, as JSON or if `shown`."""
    try:
        if path:
            write_report(path, account)
            note(f"report of {counted(account.summary.pairs, 'enrollment')}: {path}")
    finally:
        if json:
            sys.stdout.writelines(json_pieces(account.results(), pending=account.pending))
        elif shown:
            show_account(account.summary, hint=account.hint, again=account.again)
            for words in account.sync:
                note(words)
        if account.pending:
            note(pending_in_words(account.pending))


def pending_in_words(pending: int) -> str:
    """How many enrollments are pending, in a sentence."""
    return f"{counted(pending, 'enrollment')} {'has' if pending == 1 else 'have'} no result yet"


def write_report(path: Path, account: Account) -> None:
    """Write a report in the format that the suffix of `path` names."""
    if path.suffix == PAGE:
        with private_file(path) as file:
            print_page(file, account)
    else:
        write(path, account.results(), pending=account.pending)


def print_page(file: IO[str], account: Account) -> None:
    """Write the HTML page."""
    write_page(
        file,
        account.summary,
        title="Enrollment report",
        settings=account.settings,
        timeline=account.timeline,
        notes=[*account.sync, *account.notes],
        pending=account.pending,
    )


def _notes(skipped: Sequence[str]) -> list[str]:
    shown = [f"skipped row: {row}" for row in skipped[:_SHOWN]]
    more = len(skipped) - len(shown)
    return [*shown, f"and {counted(more, 'more row')}"] if more else shown


def list_results(results: Iterable[EnrollmentResult]) -> None:
    """Print one failure, or one success that may not have been notified, per line."""
    for result in results:
        pair = f"{result.identifier} in {result.course_id}"
        why = result.error or UNNOTIFIED
        say(OUT, Text(printable(f"{pair}: {result.outcome.value}, {why}")))


def show_account(summary: Summary, *, hint: str, again: str = "") -> None:
    """Print the number of enrollments by outcome, and the first failures by reason.

    `hint` says how to list all failures, `again` how to mail learners who may not have been
    notified.
    """
    if not summary.pairs:
        return
    counts = sorted(summary.counts.items(), key=lambda item: -item[1])
    rows = Table(box=box.SIMPLE_HEAD, show_footer=True, pad_edge=False)
    rows.add_column("outcome", footer="total")
    rows.add_column("enrollments", footer=f"{summary.pairs:,}", justify="right")
    for outcome, count in counts:
        rows.add_row(outcome.value, f"{count:,}", style="green" if outcome.ok else "red")
    OUT.print(rows)
    if summary.notification:
        say(OUT, Text("; ".join(filter(None, [summary.notification, again])), "yellow"))
    if summary.failed:
        _show_failures(summary, hint)


def _show_failures(summary: Summary, hint: str) -> None:
    OUT.print(Text("Failed", "bold"))
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
