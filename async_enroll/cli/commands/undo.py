"""`async-enroll undo`: take the learners of a job back to their state before it."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from cyclopts import Parameter

from async_enroll.cli.console import ERR, OUT, agreed, busy, note
from async_enroll.cli.options.connection import Connection
from async_enroll.cli.options.destination import check_apart, check_destination, check_report
from async_enroll.cli.options.flag import Flag
from async_enroll.cli.options.mail import with_or_without
from async_enroll.cli.options.tuning import Tuning
from async_enroll.cli.output.display import JobDisplay
from async_enroll.cli.output.ending import ExitStatus
from async_enroll.cli.output.left_alone import show_undo, undo_in_words, undo_pieces
from async_enroll.cli.output.loop import run
from async_enroll.cli.output.running import once_sent, run_with_journal
from async_enroll.client import EnrollmentClient
from async_enroll.errors import ConfigurationError
from async_enroll.jobs.options import Signal
from async_enroll.jobs.undo import UndoPlan, undo_journal_of
from async_enroll.journal import JournalReport
from async_enroll.models import EmailStudents, EnrollmentResult, checked_reason
from async_enroll.reports.summary import counted

EXAMPLES = """\
Examples:
  async-enroll undo job.db --dry-run        show what would be done
  async-enroll undo job.db
  async-enroll resume job.undo.db           continue it, if it was stopped
  async-enroll undo job.undo.db             undo the undo

Exit status: as for `apply`"""


def undo(
    journal: Path,
    /,
    *,
    dry_run: Flag = False,
    email_students: Flag = False,
    reason: str | None = None,
    undo_journal: Annotated[Path | None, Parameter(metavar="FILE")] = None,
    report: Path | None = None,
    json: Flag = False,
    yes: Flag = False,
    quiet: Flag = False,
    connection: Connection = Connection(),
    tuning: Tuning = Tuning(),
) -> ExitStatus:
    """Undo a job: take every learner back to their state before it.

    All are looked up first. Who has changed since, was not changed by the job, or
    cannot be restored is left alone, counted and named. An unfinished job is
    closed: what was not sent never is, and `resume` refuses it.

    Args:
        journal: Journal file of the job.
        dry_run: Show what would be done, and change nothing.
        email_students: Have the platform e-mail the learners who are taken back.
        reason: Reason for the platform's audit trail of manual enrollments; up to 255 characters.
        undo_journal: File that records the undo. Default: job.undo.db for job.db.
        report: Write all results to a .csv, .json, .jsonl, .parquet, .xlsx or .html file.
        json: Print the full report as JSON instead of a summary; with --dry-run, the full plan.
        yes: Do not ask for confirmation.
        quiet: Show neither the plan nor progress.
        connection: The site.
        tuning: Rate and size of calls.

    """
    reason = checked_reason(reason)
    mailed: EmailStudents = "changed" if email_students else False
    check_report(report, "--report")
    own = undo_journal or undo_journal_of(journal)
    check_destination(own, "--undo-journal")
    check_apart(own, "--undo-journal", journal, "the journal of the job")
    for record in (journal, own):
        check_apart(report, "--report", record, "a journal")
    begun = own.exists()  # it was agreed to
    if begun:
        _check_undoes(own, journal)
    if not (yes or dry_run or begun or (sys.stdin.isatty() and sys.stderr.isatty())):
        raise ConfigurationError(
            "there is no terminal to ask for confirmation at; --yes goes ahead without"
        )
    job = JobDisplay(tuning.window(), quiet=quiet, patience=tuning.patience, settle=tuning.settle)
    client = connection.client_for(tuning, on_event=job.tell)
    if dry_run or not begun:
        with once_sent(job), busy(f"looking up the learners of {journal}", quiet=quiet):
            made = run(_planned, client, journal)
        if dry_run and json:
            sys.stdout.writelines(undo_pieces(made, tuning, email_students=mailed))
        elif dry_run or not quiet:
            show_undo(OUT if dry_run else ERR, made, tuning, email_students=mailed)
        if undone := _undone(journal):
            note(f"{undo_in_words(undone)}; another undo needs a new --undo-journal")
        if dry_run:
            return ExitStatus.OK
        if not (made.plan.pairs or made.not_sent):
            note("nothing is left to undo; nothing was sent")
            return ExitStatus.OK
        if not (yes or _agreed(made, connection.site(), email_students=email_students)):
            note("nothing was sent")
            return ExitStatus.OK

    async def start(stop: Signal) -> AsyncGenerator[EnrollmentResult]:
        await client.undo(
            journal,
            email_students=email_students,
            reason=reason,
            undo_journal=own,
            stop=stop,
        )
        none: tuple[EnrollmentResult, ...] = ()  # the journal has them
        for result in none:
            yield result

    again = "to undo what is left: use a new --undo-journal"
    return run_with_journal(client, start, own, job, report, json=json, earlier=begun, again=again)


def _undone(journal: Path) -> str | None:
    with JournalReport(journal) as job:
        return job.description.undone


def _check_undoes(own: Path, journal: Path) -> None:
    with JournalReport(own) as undo, JournalReport(journal) as job:
        if undo.description.undoes != job.description.identity:
            raise ConfigurationError(
                f"{own}: is the journal of another job; name a new file with --undo-journal"
            )


async def _planned(client: EnrollmentClient, journal: Path) -> UndoPlan:
    async with client:
        return await client.plan_undo(journal)


def _agreed(made: UndoPlan, site: str, *, email_students: bool) -> bool:
    plan = made.plan
    question = (
        f"Undo {counted(plan.pairs, 'enrollment')} of {counted(plan.learners, 'learner')} in "
        f"{counted(plan.courses, 'course')} on {urlsplit(site).netloc}, "
        f"{with_or_without(email_students)}?"
    )
    return agreed(question)
