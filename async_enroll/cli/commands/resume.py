"""`async-enroll resume`: go on with a job."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

from async_enroll.cli.options.connection import Connection
from async_enroll.cli.options.destination import check_report
from async_enroll.cli.options.flag import Flag
from async_enroll.cli.options.tuning import Tuning
from async_enroll.cli.output.display import JobDisplay
from async_enroll.cli.output.ending import ExitStatus
from async_enroll.cli.output.running import run_with_journal
from async_enroll.jobs.runner import Signal
from async_enroll.models import EnrollmentResult

EXAMPLES = """\
Examples:
  async-enroll resume job.db --report outcome.html

Exit status: as of `apply`"""


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
    """Go on with a job where it was left, from its journal alone.

    What is finished is not sent again; what was in flight is looked for on the platform
    first. A finished job sends nothing.

    Args:
        journal: The file that `apply` was given with --journal.
        report: A .csv, .json, .jsonl, .parquet or .html file for what became of every pair.
        json: Print the report in full, as JSON, instead of a summary.
        quiet: Show no progress.
        connection: Which site.
        tuning: How fast.

    """
    check_report(report, "--report")
    job = JobDisplay(tuning.window(), quiet=quiet)
    client = connection.client_for(tuning, on_event=job.tell)

    def start(stop: Signal) -> AsyncGenerator[EnrollmentResult]:
        return client.resume(journal, stop=stop)

    return run_with_journal(client, start, journal, job, report, json=json)
