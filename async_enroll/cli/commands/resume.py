"""`async-enroll resume`: continue a job from its journal."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

from async_enroll.cli.options.connection import Connection
from async_enroll.cli.options.destination import check_apart, check_report
from async_enroll.cli.options.flag import Flag
from async_enroll.cli.options.tuning import Tuning
from async_enroll.cli.output.display import JobDisplay
from async_enroll.cli.output.ending import ExitStatus
from async_enroll.cli.output.running import run_with_journal
from async_enroll.jobs.options import Signal
from async_enroll.models import EnrollmentResult

EXAMPLES = """\
Examples:
  async-enroll resume job.db --report outcome.html

Exit status: as for `apply`"""


def resume(
    journal: Path,
    /,
    *,
    report: Path | None = None,
    json: Flag = False,
    quiet: Flag = False,
    connection: Connection = Connection(),
    tuning: Tuning = Tuning(),
) -> ExitStatus:
    """Continue a stopped or interrupted job from its journal.

    Completed calls are not sent again. For calls that were in flight, the platform is queried
    first. Resuming a finished job sends nothing.

    Args:
        journal: Journal file of `apply --journal`.
        report: Write all results to a .csv, .json, .jsonl, .parquet, .xlsx or .html file.
        json: Print the full report as JSON instead of a summary.
        quiet: Show no progress.
        connection: The site.
        tuning: Rate and size of calls.

    """
    check_report(report, "--report")
    check_apart(report, "--report", journal, "the journal")
    job = JobDisplay(tuning.window(), quiet=quiet, patience=tuning.patience, settle=tuning.settle)
    client = connection.client_for(tuning, on_event=job.tell)

    def start(stop: Signal) -> AsyncGenerator[EnrollmentResult]:
        return client.resume(journal, stop=stop)

    return run_with_journal(client, start, journal, job, report, json=json)
