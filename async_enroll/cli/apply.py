"""`async-enroll apply`: do what a roster says."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Annotated

import anyio
from attrs import frozen
from cyclopts import Group, Parameter

from async_enroll.cli.account import show_report
from async_enroll.cli.connection import Connection
from async_enroll.cli.console import complain, note
from async_enroll.cli.destination import check_destination, check_suffix
from async_enroll.cli.ending import ExitStatus
from async_enroll.cli.flag import Flag
from async_enroll.cli.progress import PairsProgress
from async_enroll.client import EnrollmentClient
from async_enroll.models import BatchLimits, RequestWindow
from async_enroll.report import EnrollmentReport, ReportBuilder
from async_enroll.roster import Roster

EXAMPLES = """\
A roster is a CSV file with a header:
  email,course_id,action,cohort
  jane@example.org,course-v1:Org+C1+2026,enroll,Group A
  john@example.org,course-v1:Org+C1+2026,unenroll,
The first column may also be called identifier or username; action and cohort
may be left out.

Examples:
  async-enroll apply roster.csv --report outcome.csv
  async-enroll apply roster.csv --json | jq .counts
  grep -v unenroll roster.csv | async-enroll apply -

Exit status:
  0    every pair is as asked
  1    some are not; the report names them
  2    nothing was sent: unusable arguments, configuration or roster
  3    stopped with work left; the report tells what was done
  130  interrupted"""

_REPORTS = {".csv": EnrollmentReport.write_csv, ".json": EnrollmentReport.write_json}


@Parameter(name="*", group=Group("Tuning", sort_key=2))
@frozen(kw_only=True)
class Tuning:
    """How fast to go, and in how large calls."""

    concurrency: int = 8
    """How many calls are in flight at most."""
    window_calls: int = RequestWindow().calls
    """How many calls the platform takes in …"""
    window_seconds: float = RequestWindow().seconds
    """… so many seconds."""
    batch_identifiers: int = BatchLimits().identifiers
    """The most identifiers in a call."""
    batch_pairs: int = BatchLimits().pairs
    """The most pairs, identifiers times courses, in a call."""


def apply(
    roster: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    email_students: Flag = False,
    no_auto_enroll: Flag = False,
    report: Path | None = None,
    json: Flag = False,
    connection: Connection = Connection(),
    tuning: Tuning = Tuning(),
) -> ExitStatus:
    """Do what a roster says, and account for every pair.

    The whole roster is checked before anything is sent.

    Args:
        roster: The roster's file; - is standard input.
        email_students: Have the platform mail everyone, also those enrolled already.
        no_auto_enroll: Do not enroll addresses without an account when they register.
        report: A .csv or .json file for what became of every pair, yours alone to read.
        json: Print the report in full, as JSON, instead of a summary.
        connection: Which site.
        tuning: How fast.

    """
    if report:
        check_suffix(report, "--report", _REPORTS)
        check_destination(report, "--report")
    client = connection.client(
        concurrency=tuning.concurrency,
        window=RequestWindow(tuning.window_calls, tuning.window_seconds),
        batch=BatchLimits(tuning.batch_identifiers, tuning.batch_pairs),
    )
    entries = Roster.read(roster)
    auto_enroll = not no_auto_enroll
    builder = ReportBuilder(auto_enroll=auto_enroll, email_students=email_students)

    async def work() -> None:
        async with client:
            await carry_out(
                client, entries, builder, auto_enroll=auto_enroll, email_students=email_students
            )

    try:
        anyio.run(work)
    except KeyboardInterrupt:
        left = len(entries) - len(builder.report().results)
        complain(
            "calls in flight were cut off: what became of their pairs is unconfirmed; "
            f"{left:,} pairs more have no result"
        )
        raise
    finally:
        account = builder.report()
        if account.courses:
            _hand_over(account, report, json=json)
    return ExitStatus.OK if account.ok else ExitStatus.FAILED_PAIRS


def _hand_over(account: EnrollmentReport, path: Path | None, *, json: bool) -> None:
    try:
        if path:
            _REPORTS[path.suffix](account, path)
            note(f"report of {len(account.results):,} pairs: {path}")
    finally:
        if json:
            sys.stdout.writelines(account.json_pieces())
        else:
            show_report(account)


async def carry_out(
    client: EnrollmentClient,
    roster: Roster,
    builder: ReportBuilder,
    *,
    auto_enroll: bool,
    email_students: bool,
) -> None:
    """Do what `roster` says, with a progress bar; `builder` has the results so far."""
    results = client.stream(roster, auto_enroll=auto_enroll, email_students=email_students)
    with PairsProgress(len(roster)) as progress:
        try:
            async with aclosing(results):
                async for result in results:
                    builder.add([result])
                    progress.count(result)
        except asyncio.CancelledError as cancelled:
            builder.add(getattr(cancelled, "results", ()))
            raise
