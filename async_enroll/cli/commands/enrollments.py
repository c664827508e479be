"""`async-enroll enrollments`: list enrollments."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Literal

from anyio import to_thread
from cyclopts import Parameter

from async_enroll.cli.options.connection import Connection
from async_enroll.cli.options.destination import check_destination, check_suffix, destination
from async_enroll.cli.output.display import tell_of_window
from async_enroll.cli.output.ending import ExitStatus
from async_enroll.cli.output.loop import run
from async_enroll.cli.output.records import Write, csv_records, json_lines, table
from async_enroll.client import EnrollmentClient
from async_enroll.errors import ConfigurationError
from async_enroll.models import Enrollment, EnrollmentQuery

EXAMPLES = """\
Examples:
  async-enroll enrollments --course-id course-v1:Org+C1+2026 --days 7
  async-enroll enrollments --username jane --format jsonl | jq .course_id
  async-enroll enrollments --output everyone.csv

Exit status: 0 success · 2 invalid arguments · 3 the listing failed"""

Format = Literal["table", "csv", "jsonl"]
_FORMS = {"table": table, "csv": csv_records, "jsonl": json_lines}
_SUFFIXES: dict[str, Format] = {".csv": "csv", ".jsonl": "jsonl"}
_CHUNK = 1000


def enrollments(
    *,
    course_id: Annotated[
        tuple[str, ...], Parameter(negative="", metavar="KEY", show_default=False)
    ] = (),
    username: str | None = None,
    days: int | None = None,
    format: Format | None = None,  # noqa: A002  # the option's name
    output: Path | None = None,
    concurrency: int = 8,
    connection: Connection = Connection(),
) -> ExitStatus:
    """List current and former enrollments.

    Args:
        course_id: Only enrollments in this course. Can be repeated.
        username: Only enrollments of this learner.
        days: Only enrollments created in the last DAYS days.
        format: Output format. Default: a table on a terminal, otherwise CSV.
        output: Write to a .csv or .jsonl file, readable only by you.
        concurrency: Number of courses to query at once.
        connection: The site.

    """
    form = _format(format, output)
    queries = [EnrollmentQuery(key, username, days) for key in course_id or (None,)]
    client = connection.client(concurrency=concurrency, on_event=tell_of_window)
    with destination(output, marked=form == "csv") as file, _FORMS[form](file) as write:
        run(_list, client, queries, write)
    return ExitStatus.OK


def _format(desired: Format | None, output: Path | None) -> Format:
    if output is None:
        return desired or ("table" if sys.stdout.isatty() else "csv")
    if desired == "table":
        raise ConfigurationError("--format table cannot be written to a file: use csv or jsonl")
    check_destination(output, "--output")
    if desired is None:
        check_suffix(output, "--output", _SUFFIXES)
        return _SUFFIXES[output.suffix]
    return desired


async def _list(client: EnrollmentClient, queries: Iterable[EnrollmentQuery], write: Write) -> None:
    chunk: list[Enrollment] = []
    async with client, aclosing(client.enrollments_for(queries)) as records:
        async for record in records:
            chunk.append(record)
            if len(chunk) == _CHUNK:
                await to_thread.run_sync(write, chunk)
                chunk = []
    await to_thread.run_sync(write, chunk)
