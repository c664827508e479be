"""Output of a job's results: on the terminal, as JSON, and as a report file.

Takes an `EnrollmentReport` or the `JournalReport` of a job as an `Account`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from shlex import quote
from typing import IO

from attrs import frozen
from rich.text import Text

from async_enroll.cli.console import OUT, busy, complain, note, printable, say
from async_enroll.cli.options.destination import PAGE, NotWritten, naming
from async_enroll.cli.output.ending import ExitStatus
from async_enroll.files import private_file
from async_enroll.journal import JournalReport
from async_enroll.models import EmailStudents, EnrollmentResult, RosterEntry
from async_enroll.planning.plan import Plan
from async_enroll.planning.sync import SyncTerms
from async_enroll.reports.export import json_pieces, write
from async_enroll.reports.html import write_page
from async_enroll.reports.report import EnrollmentReport
from async_enroll.reports.summary import Summary, counted, mail_in_words, sync_in_words
from async_enroll.reports.timeline import Timeline
from async_enroll.reports.words import line_of, name_of, why
from async_enroll.results import UNNOTIFIED

_NOTES = 50
_SHOWN = 12
"""How many failures are listed where a file has all of them; the summary fits a screen."""
_FEW = 6
"""How many of those who may not have been notified are listed."""
_SHOWN_AT_MOST = 50
"""How many are listed where nothing else has them."""


@frozen
class Step:
    """What the user can do next: its `purpose`, and the literal `commands` for it, in order."""

    purpose: str
    commands: Sequence[str]


@frozen
class Account:
    """The results of a job, with what is needed to print and write them.

    Each call of `results` iterates over all of them. `settings` and `notes` are for the HTML
    page. `steps` are what the user can do next. `shown` is how many failures the terminal lists.
    `again` is the command that writes the report, if writing it fails. `unnotified` iterates over
    the learners and courses of those who may not have been notified. `sync` says what a sync has
    done.
    """

    results: Callable[[], Iterable[EnrollmentResult]]
    summary: Summary
    timeline: Timeline
    pending: int
    settings: Sequence[tuple[str, str]]
    notes: Sequence[str]
    steps: Sequence[Step]
    shown: int
    again: str
    unnotified: Callable[[], Iterable[EnrollmentResult | RosterEntry]]
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
    command: str,
    path: Path | None,
) -> Account:
    """The results of a job without a journal.

    `command` is what ran it, without its options; `path` is its report file, if any.
    """
    summary = report.summary()
    steps = []
    if summary.failed and path is None:
        purpose = "to apply the roster again, and have all failures in a file"
        steps.append(Step(purpose, [f"{command} --report FILE.csv"]))
    return Account(
        lambda: report,
        summary,
        timeline,
        plan.pairs - summary.pairs,
        settings,
        _notes(plan.skipped),
        steps,
        _SHOWN if path else _SHOWN_AT_MOST,
        # Without --email-students: nobody is to be mailed again for the sake of a report.
        f"{command} --report FILE",
        lambda: report.notification_unknown,
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
    command = f"async-enroll report {quote(str(path))}"
    return Account(
        report.results,
        summary,
        timeline,
        report.pending,
        [*settings, ("journal", path.name), ("started", job.created)],
        _notes(job.skipped),
        list(_steps(command, summary)),
        _SHOWN,
        f"{command} --output FILE",
        report.unnotified,
        sync=_sync(summary, job.sync),
    )


def _sync(summary: Summary, terms: SyncTerms | None) -> list[str]:
    if terms is None:
        return []
    return sync_in_words(summary, sum(map(len, terms.kept.values())), terms.withheld)


def _steps(command: str, summary: Summary) -> Iterator[Step]:
    if summary.failed > _SHOWN:
        yield Step("to list all failures", [f"{command} --only failures"])
    if summary.failed:
        yield Step(
            "to correct the failures, and apply them again",
            [f"{command} --as-roster --output mend.csv", "async-enroll apply mend.csv"],
        )
    if summary.notification_unknown:
        yield Step(
            "to mail those who may not have been notified; some may get a second mail",
            [
                f"{command} --only unnotified --as-roster --output mail-again.csv",
                "async-enroll apply mail-again.csv --email-students",
            ],
        )


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
    """Write the report to `path`, if any, and print the results, as JSON or if `shown`.

    A report that cannot be written is an error message, which says how to get it: the job itself
    is done.
    """
    try:
        if path:
            with busy(f"writing {path}"):
                write_report(path, account)
            note(f"report of {counted(account.summary.pairs, 'enrollment')}: {path}")
    except NotWritten as error:
        complain(f"{error}\nto write the report elsewhere: {account.again}")
    finally:
        if json:
            sys.stdout.writelines(json_pieces(account.results(), pending=account.pending))
        elif shown:
            show_account(account)
            for words in account.sync:
                note(words)
        if account.pending:
            note(pending_in_words(account.pending))


def pending_in_words(pending: int) -> str:
    """How many enrollments are pending, in a sentence."""
    return f"{counted(pending, 'enrollment')} {'has' if pending == 1 else 'have'} no result yet"


def write_report(path: Path, account: Account) -> None:
    """Write a report in the format that the suffix of `path` names. Raises NotWritten."""
    with naming(path):
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
    shown = [f"skipped row: {row}" for row in skipped[:_NOTES]]
    more = len(skipped) - len(shown)
    return [*shown, f"and {counted(more, 'more row')}"] if more else shown


def list_results(results: Iterable[EnrollmentResult]) -> None:
    """Print one failure, or one success that may not have been notified, per line."""
    for result in results:
        say(OUT, Text(printable(line_of(result, result.error or UNNOTIFIED))))


def show_account(account: Account) -> None:
    """Print what was done, what was not and why, who may not know, and what to do next."""
    summary = account.summary
    if not summary.pairs:
        return
    show_summary(summary, account.shown)
    if summary.notification:
        notification = summary.notification
        say(OUT, Text(f"{notification[0].upper()}{notification[1:]}", "yellow"))
        _show_pairs(list(islice(account.unnotified(), _FEW)))
        if (more := summary.notification_unknown - _FEW) > 0:
            say(OUT, Text(f"  … and {more:,} more"))
    for step in account.steps:
        say(OUT, Text(f"{step.purpose}:"))
        for command in step.commands:
            # A terminal may wrap a command, but no line break may get into it.
            OUT.print(Text(f"  {command}"), soft_wrap=True)


def show_summary(summary: Summary, most: int = _SHOWN) -> None:
    """Print the counts by outcome, and the first `most` failures by reason."""
    say(OUT, Text(summary.headline, "bold"))
    for outcome, count in sorted(summary.counts.items(), key=lambda item: -item[1]):
        style = "green" if outcome.ok else "red"
        say(OUT, Text(f"{count:>11,}  {name_of(outcome)}", style))
    if summary.failed:
        _show_failures(summary, most)


def _show_failures(summary: Summary, most: int) -> None:
    OUT.print(Text("Failed", "bold"))
    reasons = summary.reasons
    shown = reasons[: max(1, most // 3)]
    left = most
    for number, reason in enumerate(shown):
        # A fair share for each reason: a rare one is not drowned by a frequent one.
        share = max(1, left // (len(shown) - number))
        failures = reason.failures[:share]
        left -= len(failures)
        words = why(reason.outcome, reason.words) if reason.outcome else reason.words
        say(OUT, Text(printable(f"{reason.count:,} {words}"), "red"))
        _show_pairs(failures)
    if (more := summary.failed - (most - left)) > 0:
        say(OUT, Text(f"  … and {more:,} more"))


def _show_pairs(pairs: Sequence[EnrollmentResult | RosterEntry]) -> None:
    width = max((len(printable(pair.identifier)) for pair in pairs), default=0)
    for pair in pairs:
        say(OUT, Text(f"  {printable(pair.identifier):<{width}}  {printable(pair.course_id)}"))
