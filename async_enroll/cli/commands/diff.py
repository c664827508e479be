"""`async-enroll diff`: how a roster and the enrollments of its courses differ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from async_enroll.cli.console import OUT, complain, note
from async_enroll.cli.options.comparing import Comparing
from async_enroll.cli.options.connection import Connection
from async_enroll.cli.options.destination import (
    check_apart,
    check_destination,
    check_suffix,
    naming,
)
from async_enroll.cli.options.flag import Flag
from async_enroll.cli.options.rosters import ComparedReading
from async_enroll.cli.options.tuning import Tuning
from async_enroll.cli.output.difference import (
    CHANGES,
    SYNC,
    changes_in_words,
    diff_object,
    refused,
    show_diff,
    write_diff,
)
from async_enroll.cli.output.ending import ExitStatus
from async_enroll.cli.output.loop import run
from async_enroll.client import EnrollmentClient
from async_enroll.planning.diff import RosterDiff
from async_enroll.roster import Roster

EXAMPLES = """\
Examples:
  async-enroll diff class.csv
  async-enroll diff class.csv --json | jq .in_sync
  async-enroll diff class.csv --remove --output changes.csv
  async-enroll apply changes.csv
  async-enroll diff class.csv --remove --output plan.json
  async-enroll sync --plan plan.json

Exit status:
  0    in sync
  1    the roster and the enrollments differ
  2    too many would be removed; or invalid arguments, configuration or roster
  3    the enrollments could not be read"""


def diff(
    roster: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    output: Path | None = None,
    json: Flag = False,
    comparing: Comparing = Comparing(),
    reading: ComparedReading = ComparedReading(),
    connection: Connection = Connection(),
    tuning: Tuning = Tuning(),
) -> ExitStatus:
    """Show how a roster and the enrollments of its courses differ. Changes nothing.

    Args:
        roster: Roster file; - for standard input.
        output: Write the changes to a .csv file, for `apply`, or a .json file, for `sync --plan`.
        json: Print all identifiers that differ as JSON.
        comparing: What to compare.
        reading: How to read the roster.
        connection: The site.
        tuning: Rate and size of calls.

    """
    if output:
        check_suffix(output, "--output", (CHANGES, SYNC))
        check_destination(output, "--output")
        check_apart(output, "--output", roster, "the roster")
    rows = comparing.read(roster, reading)
    found = compared(connection.client_for(tuning), rows, comparing.arguments())
    if json:
        print(msgspec.json.format(msgspec.json.encode(diff_object(found))).decode())
    else:
        show_diff(OUT, found)
    if output:
        with naming(output):
            write_diff(output, found)
        note(f"{changes_in_words(found)}: {output}")
    if error := refused(found):
        complain(str(error))
        return ExitStatus.UNUSABLE
    return ExitStatus.OK if found.in_sync else ExitStatus.FAILED_PAIRS


def compared(
    client: EnrollmentClient, roster: Roster, arguments: Mapping[str, Any], *, partial: bool = False
) -> RosterDiff:
    """The diff of a roster. Raises as `EnrollmentClient.diff`."""

    async def compare() -> RosterDiff:
        async with client:
            return await client.diff(roster, **arguments, partial=partial)

    return run(compare)
