"""`async-enroll apply`: enroll and unenroll the learners of a roster."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from shlex import quote
from typing import Annotated
from urllib.parse import urlsplit

from cyclopts import Parameter

from async_enroll.cli.commands.plan import plan
from async_enroll.cli.console import ERR, agreed, busy, note, warn
from async_enroll.cli.options.connection import Connection
from async_enroll.cli.options.destination import check_apart, check_destination, check_report
from async_enroll.cli.options.flag import Flag
from async_enroll.cli.options.mail import whom_to_mail, with_or_without
from async_enroll.cli.options.rosters import Reading
from async_enroll.cli.options.tuning import Tuning
from async_enroll.cli.output.account import settings_of
from async_enroll.cli.output.display import JobDisplay
from async_enroll.cli.output.ending import ExitStatus
from async_enroll.cli.output.outlook import show_plan
from async_enroll.cli.output.running import run_in_memory, run_with_journal
from async_enroll.errors import ConfigurationError
from async_enroll.jobs.options import Signal
from async_enroll.models import Action, EmailStudents, EnrollmentResult, checked_reason
from async_enroll.planning.plan import Plan
from async_enroll.reports.report import EnrollmentReport
from async_enroll.reports.summary import counted

EXAMPLES = """\
A roster is a CSV, TSV, JSON, Parquet or Excel file with a header:
  email,course_id,action,cohort
  jane@example.org,course-v1:Org+C1+2026,enroll,Group A
  john@example.org,course-v1:Org+C1+2026,unenroll,
Column names in eight languages are recognized. Action and cohort are optional.
A cell that cannot be understood for certain is reported with its line, and
nothing is sent.

Examples:
  async-enroll apply roster.csv --dry-run             show the plan only
  async-enroll apply roster.csv --report outcome.html
  async-enroll apply roster.xlsx --journal job.db     so that it can be resumed
  async-enroll resume job.db
  async-enroll apply roster.csv --yes --json | jq .counts
  grep -v unenroll roster.csv | async-enroll apply - --yes

Exit status:
  0    every enrollment is as requested
  1    some enrollments failed; the report lists them
  2    nothing was sent: unusable arguments, configuration, roster or site
  3    stopped after something was sent; with --journal, `resume` continues
  130  interrupted; with --journal, `resume` continues"""


def apply(
    roster: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    email_students: Flag = False,
    email_changed: Flag = False,
    no_auto_enroll: Flag = False,
    reason: str | None = None,
    journal: Path | None = None,
    report: Path | None = None,
    json: Flag = False,
    dry_run: Flag = False,
    yes: Flag = False,
    quiet: Flag = False,
    reading: Reading = Reading(),
    connection: Connection = Connection(),
    tuning: Tuning = Tuning(),
) -> ExitStatus:
    """Apply a roster: enroll and unenroll the learners it lists, and report every one.

    Checks the whole roster and shows the plan before it sends anything.

    Args:
        roster: Roster file; - for standard input.
        email_students: Have the platform e-mail all learners, including those already enrolled.
        email_changed: Have it e-mail only those who were neither enrolled nor waiting before.
        no_auto_enroll: Do not enroll learners later, when they register or activate an account.
        reason: Reason for the platform's audit trail of manual enrollments; up to 255 characters.
        journal: File that records the job, so that `resume` can continue it.
        report: Write all results to a .csv, .json, .jsonl, .parquet, .xlsx or .html file.
        json: Print the full report as JSON instead of a summary.
        dry_run: Show the plan and send nothing, as `plan` does.
        yes: Do not ask for confirmation.
        quiet: Show neither the plan nor progress.
        reading: How to read the roster.
        connection: The site.
        tuning: Rate and size of calls.

    """
    if dry_run:
        return plan(
            roster,
            email_students=email_students,
            email_changed=email_changed,
            json=json,
            reading=reading,
            connection=connection,
            tuning=tuning,
        )
    mail = whom_to_mail(email_students=email_students, email_changed=email_changed)
    reason = checked_reason(reason)
    check_report(report, "--report")
    if journal:
        check_destination(journal, "--journal")
    for option, path in (("--report", report), ("--journal", journal)):
        check_apart(path, option, roster, "the roster")
    if journal:
        check_apart(report, "--report", journal, "the journal")
    if not yes and not _at_a_terminal(roster):
        raise ConfigurationError(
            "there is no terminal to ask for confirmation at; --yes goes ahead without"
        )
    job = JobDisplay(tuning.window(), quiet=quiet, patience=tuning.patience, settle=tuning.settle)
    client = connection.client_for(tuning, on_event=job.tell)
    with busy(f"reading {roster}", quiet=quiet):
        found = reading.read(roster)
        made = Plan.of(
            found.desired,
            tuning.limits(),
            source=found.source,
            skipped=found.skipped,
            unused=found.unused,
            lines=found.lines,
        )
    for warning in made.warnings(email_students=mail):
        warn(warning)
    if not quiet:
        show_plan(ERR, made, tuning, email_students=mail)
    if not yes and not _agreed(made, connection.site(), email_students=mail):
        note("nothing was sent")
        return ExitStatus.OK
    auto_enroll = not no_auto_enroll
    if journal:

        def start(stop: Signal) -> AsyncGenerator[EnrollmentResult]:
            return client.stream(
                made,
                auto_enroll=auto_enroll,
                email_students=mail,
                reason=reason,
                journal=journal,
                stop=stop,
            )

        earlier = journal.exists()
        return run_with_journal(client, start, journal, job, report, json=json, earlier=earlier)
    settings = settings_of(
        connection.site(),
        made.source,
        auto_enroll=auto_enroll,
        email_students=mail,
        reason=reason,
    )

    async def start_in_memory(stop: Signal) -> EnrollmentReport:
        return await client.apply(
            made,
            auto_enroll=auto_enroll,
            email_students=mail,
            reason=reason,
            stop=stop,
        )

    command = f"async-enroll apply {quote(roster)}"
    again = "to go on: apply the roster again; with --journal, nothing is sent twice"
    return run_in_memory(
        client, start_in_memory, made, job, settings, command, report, json=json, again=again
    )


def _at_a_terminal(roster: str) -> bool:
    return roster != "-" and sys.stdin.isatty() and sys.stderr.isatty()


def _agreed(made: Plan, site: str, *, email_students: EmailStudents) -> bool:
    actions = " and ".join(action.value for action in Action if action in made.actions())
    into = "from" if actions == Action.UNENROLL.value else "in"
    question = (
        f"{actions.capitalize()} {counted(made.learners, 'learner')} {into} "
        f"{counted(made.courses, 'course')} on {urlsplit(site).netloc}, "
        f"{with_or_without(email_students)}?"
    )
    return agreed(question)
