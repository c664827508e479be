"""`async-enroll enrollments`: list enrollments, or count them by course."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Annotated, Literal

from anyio import to_thread
from attrs import evolve, frozen
from cyclopts import Parameter

from async_enroll.cli.console import complain, warn
from async_enroll.cli.options.connection import Connection
from async_enroll.cli.options.destination import (
    check_destination,
    check_suffix,
    destination,
    naming,
)
from async_enroll.cli.options.flag import Flag
from async_enroll.cli.output.counts import counting
from async_enroll.cli.output.display import tell_of_window
from async_enroll.cli.output.ending import ExitStatus
from async_enroll.cli.output.loop import run
from async_enroll.cli.output.records import Write, csv_records, json_lines, table
from async_enroll.client import EnrollmentClient
from async_enroll.errors import ConfigurationError, EnrollError, TransportError
from async_enroll.http.transport import Transport
from async_enroll.models import (
    NOBODY,
    Action,
    BatchLimits,
    Enrollment,
    EnrollmentQuery,
    RequestWindow,
)
from async_enroll.pacing.request_slots import RequestSlots
from async_enroll.pacing.throttle import Throttle
from async_enroll.planning.batching import why_unsendable_course
from async_enroll.planning.desired import Desired
from async_enroll.planning.plan import Plan
from async_enroll.platform.accounts import Accounts

EXAMPLES = """\
Examples:
  async-enroll enrollments --course-id course-v1:Org+C1+2026 --days 7
  async-enroll enrollments --email jane@example.org --active
  async-enroll enrollments --username jane --format jsonl | jq .course_id
  async-enroll enrollments --count
  async-enroll enrollments --output everyone.csv

Exit status:
  0  success
  2  invalid arguments, or no such course or learner
  3  the listing failed"""

Format = Literal["table", "csv", "jsonl"]
_FORMS = {"table": table, "csv": csv_records, "jsonl": json_lines}
_SUFFIXES: dict[str, Format] = {".csv": "csv", ".jsonl": "jsonl"}
_CHUNK = 1000
_PATIENCE = 60.0


def enrollments(
    *,
    course_id: Annotated[
        tuple[str, ...], Parameter(negative="", metavar="KEY", show_default=False)
    ] = (),
    username: str | None = None,
    email: str | None = None,
    days: int | None = None,
    active: Flag = False,
    count: Flag = False,
    format: Format | None = None,  # noqa: A002  # the option's name
    output: Path | None = None,
    concurrency: int = 8,
    connection: Connection = Connection(),
) -> ExitStatus:
    """List current and former enrollments.

    Args:
        course_id: Only enrollments in this course. Can be repeated.
        username: Only enrollments of this learner.
        email: Only enrollments of the learner with this e-mail address.
        days: Only enrollments created in the last DAYS days.
        active: Only current enrollments.
        count: Count enrollments by course instead of listing them.
        format: Output format. Default: a table on a terminal, otherwise CSV.
        output: Write to a .csv or .jsonl file, readable only by you.
        concurrency: Number of courses to query at once.
        connection: The site.

    """
    if username is not None and "@" in username:
        raise ConfigurationError(f"--username {username}: is an e-mail address; use --email")
    if email is not None and "@" not in email:
        raise ConfigurationError(f"--email {email}: is no e-mail address; use --username")
    if username is not None and email is not None:
        raise ConfigurationError("--username and --email are both given; use one of them")
    for key in course_id:
        if key.strip() and (why := why_unsendable_course(key, BatchLimits())):
            raise ConfigurationError(f"--course-id {key}: {why}")
    form = _format(format, output)
    chosen = _Chosen(course_id, username, days, active)
    chosen.queries()  # which checks the filters before anything is asked
    client = connection.client(concurrency=concurrency, on_event=tell_of_window)
    if email is not None:
        chosen = run(_of_address, connection.transport(), chosen, email)
    writer = counting(form, course_id) if count else _FORMS[form]
    with naming(output), destination(output, marked=form == "csv") as file, writer(file) as write:
        found = run(_list, client, chosen, write)
    return run(_explain, connection, chosen, found)


@frozen
class _Chosen:
    """Which enrollments to list. `known`: whether the learner is known to have an account."""

    courses: tuple[str, ...]
    username: str | None
    days: int | None
    active: bool
    known: bool = False

    def queries(self) -> list[EnrollmentQuery]:
        keys = self.courses or (None,)
        return [EnrollmentQuery(key, self.username, self.days) for key in keys]


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


async def _list(client: EnrollmentClient, chosen: _Chosen, write: Write) -> set[str]:
    """List enrollments; return the courses that have any, current or not."""
    chunk: list[Enrollment] = []
    found: set[str] = set()
    async with client, aclosing(client.enrollments_for(chosen.queries())) as records:
        async for record in records:
            found.add(record.course_id)
            if chosen.active and not record.is_active:
                continue
            chunk.append(record)
            if len(chunk) == _CHUNK:
                await to_thread.run_sync(write, chunk)
                chunk = []
    await to_thread.run_sync(write, chunk)
    return found


async def _of_address(transport: Transport, chosen: _Chosen, address: str) -> _Chosen:
    """Choose the learner who has an address: the listings have no filter by it."""
    async with transport:
        try:
            username = await _accounts(transport).username(address)
        except TransportError:
            raise
        except EnrollError as error:
            raise EnrollError(
                f"--email {address}: the site does not tell whose it is ({error}); use --username"
            ) from None
    if username is None:
        raise ConfigurationError(f"--email {address}: no account has this address")
    return evolve(chosen, username=username, known=True)


async def _explain(connection: Connection, chosen: _Chosen, found: set[str]) -> ExitStatus:
    """Where nothing was found, say if there is no such learner or course."""
    status = ExitStatus.OK
    if chosen.username is not None and not (found or chosen.known):
        async with connection.transport() as transport:
            with _doubt(f"whether there is a learner {chosen.username}"):
                if not await _accounts(transport).exists(chosen.username):
                    complain(f"--username {chosen.username}: there is no such account")
                    status = ExitStatus.UNUSABLE
    lacking = [key for key in chosen.courses if key not in found]
    if lacking:
        with _doubt(f"whether {' and '.join(lacking)} exist{'s' if len(lacking) == 1 else ''}"):
            async with connection.client(concurrency=1) as client:
                bad = await client.preflight(_plan_for(lacking))
            for place, why in bad.items():
                complain(f"--course-id {place.course_id}: {why}")
                status = ExitStatus.UNUSABLE
    return status


@contextmanager
def _doubt(what: str) -> Iterator[None]:
    """Warn that `what` could not be found out if the body raises EnrollError."""
    try:
        yield
    except EnrollError as error:
        warn(f"{what} could not be found out: {error}")


def _accounts(transport: Transport) -> Accounts:
    throttle = Throttle(RequestWindow(), concurrency=1, patience=_PATIENCE)
    return Accounts(transport, throttle, RequestSlots(1))


def _plan_for(courses: Sequence[str]) -> Plan:
    """A plan that names courses, for a check without effect."""
    desired = Desired()
    for key in courses:
        desired.add(NOBODY, key, Action.ENROLL)
    return Plan.of(desired, BatchLimits(), source="")
