"""`async-enroll report`: what became of the pairs of a job, from its journal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from attrs import evolve
from cyclopts import Parameter

from async_enroll.cli.account import Account, journaled, print_page, show_account, write_report
from async_enroll.cli.console import note
from async_enroll.cli.destination import check_report
from async_enroll.cli.ending import ExitStatus
from async_enroll.cli.flag import Flag
from async_enroll.errors import ConfigurationError, JournalError
from async_enroll.files import private_file
from async_enroll.journal import JournalReport
from async_enroll.writing import json_pieces, write_csv, write_jsonl, write_roster

EXAMPLES = """\
Examples:
  async-enroll report job.db                                 a summary
  async-enroll report job.db --format csv > outcome.csv
  async-enroll report job.db --output outcome.html
  async-enroll report job.db --as-roster --output mend.csv   then: async-enroll apply mend.csv

Exit status: 0 every pair so far is as asked, or a roster was written · 1 some are not ·
  2 unusable arguments"""

Format = Literal["csv", "json", "jsonl", "html"]


def report(
    journal: Path,
    /,
    *,
    format: Format | None = None,  # noqa: A002  # the option's name
    output: Path | None = None,
    only: Annotated[Literal["failures"] | None, Parameter(show_default=False)] = None,
    as_roster: Flag = False,
) -> ExitStatus:
    """Tell what became of the pairs of a job, while it is at work or after.

    Args:
        journal: The file that `apply` was given with --journal.
        format: Of what is printed; without it, a summary for people.
        output: A .csv, .json, .jsonl, .parquet or .html file to write, yours alone to read.
        only: Leave out the pairs that are as asked.
        as_roster: Write what failed as a roster, to be mended and applied again.

    """
    if output:
        if format:
            raise ConfigurationError("--format is for what is printed; --output has its suffix")
        check_report(output, "--output")
    if only and not (format or output):
        raise ConfigurationError("--only failures is for --format or --output; as in --format csv")
    if as_roster and (format or (output and output.suffix != ".csv")):
        raise ConfigurationError("--as-roster writes CSV: leave out --format, or name it .csv")
    try:
        with JournalReport(journal) as kept:
            account = journaled(journal, kept)
            results = kept.failures if only else kept.results
            if as_roster:
                _write_roster(kept, output)
            elif output:
                write_report(output, evolve(account, results=results))
            elif format:
                _print(format, evolve(account, results=results))
            else:
                show_account(account.summary, hint=account.hint)
            if account.pending:
                note(f"{account.pending:,} pairs have no result yet")
            return ExitStatus.OK if as_roster else account.status
    except JournalError as error:  # it stops no job
        raise ConfigurationError(str(error)) from None


def _print(form: Format, account: Account) -> None:
    match form:
        case "csv":
            write_csv(account.results(), sys.stdout)
        case "json":
            sys.stdout.writelines(json_pieces(account.results(), pending=account.pending))
        case "jsonl":
            write_jsonl(account.results(), sys.stdout)
        case "html":
            print_page(sys.stdout, account)


def _write_roster(kept: JournalReport, output: Path | None) -> None:
    if output is None:
        write_roster(kept.with_cohorts(), sys.stdout)
    else:
        with private_file(output, newline="") as file:
            write_roster(kept.with_cohorts(), file)
        note(f"roster of what failed: {output}")
