"""`async-enroll sync`: make courses equal to a roster."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from shlex import quote
from typing import Annotated, Any
from urllib.parse import urlsplit

from cyclopts import Parameter

from async_enroll.cli.commands.diff import compared
from async_enroll.cli.console import ERR, OUT, agreed, note
from async_enroll.cli.options.comparing import Comparing
from async_enroll.cli.options.connection import Connection
from async_enroll.cli.options.destination import check_apart, check_destination, check_report
from async_enroll.cli.options.flag import Flag
from async_enroll.cli.options.rosters import ComparedReading
from async_enroll.cli.options.tuning import Tuning
from async_enroll.cli.output.account import settings_of
from async_enroll.cli.output.difference import refused, show_diff
from async_enroll.cli.output.display import JobDisplay
from async_enroll.cli.output.ending import ExitStatus
from async_enroll.cli.output.outlook import show_plan
from async_enroll.cli.output.running import once_sent, run_in_memory, run_with_journal
from async_enroll.errors import ConfigurationError
from async_enroll.jobs.options import Signal
from async_enroll.models import Action, EmailStudents, EnrollmentResult, checked_reason
from async_enroll.planning.diff import RosterDiff
from async_enroll.planning.plan import Plan
from async_enroll.planning.sync import sync_plan
from async_enroll.planning.sync_file import PlannedSync
from async_enroll.reports.report import EnrollmentReport
from async_enroll.reports.summary import counted
from async_enroll.roster import Roster

EXAMPLES = """\
Examples:
  async-enroll sync class.csv               enroll who is missing
  async-enroll sync class.csv --remove      and unenroll who is not in the list
  async-enroll sync class.csv --remove --keep staff.txt --email-students
  async-enroll sync class.csv --remove --yes --journal sync.db      from cron
  async-enroll diff class.csv --remove --output plan.json
  async-enroll sync --plan plan.json        what diff has shown

Exit status:
  0    the courses are as the roster wants them
  1    some enrollments failed, or removals were withheld: see the report
  2    nothing was sent: too many would be removed; or unusable arguments,
       configuration, roster or site
  3    stopped before the end; with --journal, `resume` continues
  130  interrupted; with --journal, `resume` continues"""


def sync(
    roster: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    /,
    *,
    plan: Annotated[Path | None, Parameter(metavar="FILE")] = None,
    email_students: Flag = False,
    email_removed: Flag = False,
    no_auto_enroll: Flag = False,
    reason: str | None = None,
    journal: Path | None = None,
    report: Path | None = None,
    json: Flag = False,
    dry_run: Flag = False,
    yes: Flag = False,
    quiet: Flag = False,
    comparing: Comparing = Comparing(),
    reading: ComparedReading = ComparedReading(),
    connection: Connection = Connection(),
    tuning: Tuning = Tuning(),
) -> ExitStatus:
    """Make courses equal to a roster: enroll who is missing, unenroll others if asked.

    Shows what differs before it sends anything. Enrolls first; unenrolls once
    everybody is enrolled, and only from courses where nothing is in doubt.

    Args:
        roster: Roster file; - for standard input.
        plan: File of `diff --output plan.json` to apply. Refused if the platform has changed since.
        email_students: Have the platform e-mail learners who are newly enrolled or invited.
        email_removed: Have the platform e-mail learners who are unenrolled.
        no_auto_enroll: Do not enroll learners later, when they register or activate an account.
        reason: Reason for the platform's audit trail of manual enrollments; up to 255 characters.
        journal: File that records the job, so that `resume` can continue it.
        report: Write all results to a .csv, .json, .jsonl, .parquet, .xlsx or .html file.
        json: Print the full report as JSON instead of a summary.
        dry_run: Show what would be done, and send nothing.
        yes: Do not ask for confirmation.
        quiet: Show neither the differences nor progress.
        comparing: What to compare, and what may be removed.
        reading: How to read the roster.
        connection: The site.
        tuning: Rate and size of calls.

    """
    if (roster is None) == (plan is None):
        raise ConfigurationError("expected either a roster or --plan")
    if plan and comparing != Comparing():
        raise ConfigurationError("--plan has what is compared; leave out the options for that")
    if dry_run and json:
        raise ConfigurationError("--dry-run does not take --json; use diff --json")
    reason = checked_reason(reason)
    check_report(report, "--report")
    if journal:
        check_destination(journal, "--journal")
    for option, path in (("--report", report), ("--journal", journal)):
        check_apart(path, option, roster or str(plan), "the roster" if roster else "the plan")
    if journal:
        check_apart(report, "--report", journal, "the journal")
    begun = journal is not None and journal.exists() and not dry_run  # it was agreed to
    if not (yes or dry_run or begun or _at_a_terminal(roster)):
        raise ConfigurationError(
            "there is no terminal to ask for confirmation at; --yes goes ahead without"
        )
    job = JobDisplay(tuning.window(), quiet=quiet, patience=tuning.patience, settle=tuning.settle)
    client = connection.client_for(tuning, on_event=job.tell)
    planned = _read(plan) if plan else None
    rows = (
        Roster(planned.source, planned.desired) if planned else comparing.read(str(roster), reading)
    )
    arguments = planned.options.arguments() if planned else comparing.arguments()
    mailed: EmailStudents = "changed" if email_students else False
    mail: dict[str, bool] = {"email_students": email_students, "email_removed": email_removed}
    options: dict[str, Any] = {
        **mail,
        "auto_enroll": not no_auto_enroll,
        "reason": reason,
        "journal": journal,
    }
    console = OUT if dry_run else ERR
    found: RosterDiff | None = None
    if not begun:
        with once_sent(job):
            found = compared(connection.client_for(tuning), rows, arguments, partial=True)
        if planned:
            planned.check(found)
        if dry_run or not quiet:
            show_diff(console, found)
        if error := refused(found):
            raise error
    made = sync_plan(found, tuning.limits()) if found else Plan(rows.source, rows.desired, [])
    if found and made.pairs and (dry_run or not quiet):
        show_plan(console, made, tuning, email_students=mailed)
    if dry_run:
        return ExitStatus.OK
    if found and made.pairs and not yes and not _agreed(made, connection.site(), **mail):
        note("nothing was sent")
        return ExitStatus.OK

    async def start(stop: Signal) -> EnrollmentReport:
        if found is None:
            return await client.sync(rows, **arguments, **options, stop=stop)
        return await client.sync(found, **options, stop=stop)

    if journal:

        async def results(stop: Signal) -> AsyncGenerator[EnrollmentResult]:
            none: tuple[EnrollmentResult, ...] = ()  # the journal has them
            await start(stop)
            for result in none:
                yield result

        return run_with_journal(client, results, journal, job, report, json=json, earlier=begun)
    settings = settings_of(
        connection.site(),
        made.source,
        auto_enroll=not no_auto_enroll,
        email_students=mailed,
        reason=reason,
    )
    command = f"async-enroll sync {quote(roster) if roster else f'--plan {quote(str(plan))}'}"
    again = "to go on: sync again; with --journal, nothing is sent twice"
    return run_in_memory(
        client, start, made, job, settings, command, report, json=json, again=again
    )


def _read(path: Path) -> PlannedSync:
    try:
        return PlannedSync.read(path.read_bytes(), f"--plan {path}")
    except OSError as error:
        raise ConfigurationError(f"--plan {path}: {error.strerror}") from None


def _at_a_terminal(roster: str | None) -> bool:
    return roster != "-" and sys.stdin.isatty() and sys.stderr.isatty()


def _agreed(made: Plan, site: str, *, email_students: bool, email_removed: bool) -> bool:
    actions = made.actions()
    some = [
        f"{verb} {counted(actions[action], 'enrollment')} {'with' if email else 'without'} e-mail"
        for action, verb, email in (
            (Action.ENROLL, "add", email_students),
            (Action.UNENROLL, "remove", email_removed),
        )
        if action in actions
    ]
    words = " and ".join(some) or "Send nothing"
    where = f"{counted(made.courses, 'course')} on {urlsplit(site).netloc}"
    question = f"{words[0].upper()}{words[1:]} in {where}?"
    return agreed(question)
