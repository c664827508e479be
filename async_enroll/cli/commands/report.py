"""`async-enroll report`: the results of a job, from its journal."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from shlex import quote
from typing import IO, Annotated, Literal

from attrs import evolve
from cyclopts import Parameter

from async_enroll.cli.console import note
from async_enroll.cli.options.connection import Connection
from async_enroll.cli.options.destination import (
    check_apart,
    check_destination,
    check_new,
    check_report,
    destination,
    naming,
)
from async_enroll.cli.options.flag import Flag
from async_enroll.cli.output.account import (
    Account,
    journaled,
    list_results,
    pending_in_words,
    print_page,
    show_account,
    write_report,
)
from async_enroll.cli.output.display import tell_of_window
from async_enroll.cli.output.ending import ExitStatus
from async_enroll.cli.output.left_alone import remarks
from async_enroll.cli.output.loop import run
from async_enroll.cli.output.verification import show_verified
from async_enroll.errors import ConfigurationError, JournalError
from async_enroll.journal import JournalReport
from async_enroll.models import EnrollmentResult
from async_enroll.reports.export import (
    ROSTER_FORMS,
    check,
    json_pieces,
    write_csv,
    write_jsonl,
    write_roster,
    write_roster_file,
)

EXAMPLES = """\
Examples:
  async-enroll report job.db                             a summary
  async-enroll report job.db --format csv > outcome.csv
  async-enroll report job.db --output outcome.html
  async-enroll report job.db --verify                    does it still hold?

To correct what failed, and apply it again:
  async-enroll report job.db --as-roster --output mend.csv
  async-enroll apply mend.csv

To mail those who may not have been notified; some may get a second mail:
  async-enroll report job.db --only unnotified --as-roster --output again.csv
  async-enroll apply again.csv --email-students

Exit status:
  0  no failures, or roster written
  1  some failed, or no longer hold (--verify)
  2  invalid arguments
  3  the output cannot be written, or the platform asked (--verify)"""

Format = Literal["csv", "json", "jsonl", "html"]
Only = Literal["failures", "unnotified"]


def report(
    journal: Path,
    /,
    *,
    format: Format | None = None,  # noqa: A002  # the option's name
    output: Path | None = None,
    only: Annotated[Only | None, Parameter(show_default=False)] = None,
    as_roster: Flag = False,
    verify: Flag = False,
    json: Flag = False,
    connection: Connection = Connection(),
) -> ExitStatus:
    """Show the results of a job from its journal, during the job or afterwards.

    Args:
        journal: Journal file of `apply --journal`.
        format: Output format. Default: a summary, or the format of the --output file.
        output: Write to a .csv, .json, .jsonl, .parquet, .xlsx or .html file; to any file with
            --format.
        only: List only failures, or only successes whose learners may not have been notified.
        as_roster: Write failures, or the --only unnotified, as a roster to correct and apply: a
            .csv or .xlsx file that does not exist yet.
        verify: Look up on the platform whether what was reported as requested still is.
        json: With --verify, print what was found of every enrollment as JSON.
        connection: The site, for --verify.

    """
    if verify:
        if format or output or only or as_roster:
            raise ConfigurationError("--verify takes no other option than --json")
        return run(
            partial(show_verified, json=json),
            connection.client(concurrency=8, on_event=tell_of_window),
            journal,
        )
    if json:
        raise ConfigurationError("--json belongs to --verify; use --format json")
    if as_roster and (format or (output and output.suffix not in ("", *ROSTER_FORMS))):
        raise ConfigurationError(
            f"--as-roster writes {' or '.join(ROSTER_FORMS)}: omit --format, or use --output "
            f"FILE{ROSTER_FORMS[0]}"
        )
    check_apart(output, "--output", journal, "the journal")
    if output and (format or as_roster):
        check_destination(output, "--output")
        if as_roster:
            check_new(output, "--output")
            if output.suffix:
                check(output.suffix)
    else:
        check_report(output, "--output")
    try:
        with JournalReport(journal) as kept:
            account = journaled(journal, kept)
            if only:
                chosen = kept.failures if only == "failures" else kept.unnotified
                account = evolve(account, results=chosen)
            if as_roster:
                some = kept.unnotified() if only == "unnotified" else kept.failures()
                _write_roster(some, output, only)
            elif format:
                with naming(output), destination(output, marked=format == "csv") as file:
                    _write(format, account, file)
            elif output:
                write_report(output, account)
            elif only:
                list_results(account.results())
            else:
                show_account(account)
                for words in account.sync:
                    note(words)
            if account.pending:
                note(pending_in_words(account.pending))
                if not kept.description.undone:
                    note(f"if the job has stopped: async-enroll resume {quote(str(journal))}")
            for words in remarks(kept):
                note(words)
            return ExitStatus.OK if as_roster else account.status
    except JournalError as error:  # exit status 2: no job was stopped
        raise ConfigurationError(str(error)) from None


def _write(form: Format, account: Account, file: IO[str]) -> None:
    match form:
        case "csv":
            write_csv(account.results(), file)
        case "json":
            file.writelines(json_pieces(account.results(), pending=account.pending))
        case "jsonl":
            write_jsonl(account.results(), file)
        case "html":
            print_page(file, account)


def _write_roster(
    results: Iterable[EnrollmentResult], output: Path | None, only: Only | None
) -> None:
    if output is None:
        write_roster(results, sys.stdout)
    else:
        with naming(output):
            write_roster_file(output, results)
        whose = "learners who may not have been notified" if only == "unnotified" else "failures"
        note(f"roster of {whose}: {output}")
