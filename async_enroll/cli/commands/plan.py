"""`async-enroll plan`: what applying a roster would send."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from cyclopts import Parameter
from rich.text import Text

from async_enroll.cli.console import OUT, busy, printable, say, warn
from async_enroll.cli.options.connection import Connection
from async_enroll.cli.options.flag import Flag
from async_enroll.cli.options.mail import whom_to_mail
from async_enroll.cli.options.rosters import Reading
from async_enroll.cli.options.tuning import Tuning
from async_enroll.cli.output.ending import ExitStatus
from async_enroll.cli.output.loop import run
from async_enroll.cli.output.outlook import place_in_words, plan_object, show_plan
from async_enroll.client import EnrollmentClient
from async_enroll.errors import EnrollError, RosterError
from async_enroll.planning.batching import Place
from async_enroll.planning.plan import Plan

EXAMPLES = """\
Examples:
  async-enroll plan roster.xlsx
  async-enroll plan roster.csv --preflight       check courses and cohorts
  async-enroll plan roster.csv --json      with all rows that cannot be sent
  async-enroll plan list.txt --columns identifier=Mail \\
    --course-id course-v1:Org+C1+2026

Exit status:
  0    the roster can be applied
  1    the platform refuses courses or cohorts (--preflight)
  2    invalid arguments, configuration or roster
  3    the check of the platform failed (--preflight)"""


def plan(
    roster: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    email_students: Flag = False,
    email_changed: Flag = False,
    preflight: Flag = False,
    json: Flag = False,
    reading: Reading = Reading(),
    connection: Connection = Connection(),
    tuning: Tuning = Tuning(),
) -> ExitStatus:
    """Show what applying a roster would do, without sending anything.

    Args:
        roster: Roster file; - for standard input.
        email_students: Plan with e-mail: warn about learners who may get it twice.
        email_changed: Plan with e-mail to those alone who were neither enrolled nor waiting.
        preflight: Check that the platform accepts all courses and cohorts. Changes nothing.
        json: Print the plan as JSON.
        reading: How to read the roster.
        connection: The site, for --preflight.
        tuning: Rate and size of calls.

    """
    mail = whom_to_mail(email_students=email_students, email_changed=email_changed)
    limits = tuning.limits()
    client = connection.client_for(tuning) if preflight else None
    try:
        with busy(f"reading {roster}"):
            found = reading.read(roster)
            made = Plan.of(
                found.desired,
                limits,
                source=found.source,
                skipped=found.skipped,
                unused=found.unused,
                lines=found.lines,
            )
    except RosterError as error:
        if json:
            print(_json({"roster": error.source, "problems": error.problems, "count": error.count}))
        raise
    warnings = made.warnings(email_students=mail)
    for warning in warnings:
        warn(warning)
    bad = run(_checked, client, made) if client else {}
    if json:
        told: dict[str, Any] = plan_object(
            made, tuning, (*found.warnings, *warnings), email_students=mail
        )
        if preflight:
            told["refused"] = {place_in_words(place): str(why) for place, why in bad.items()}
        print(_json(told))
    else:
        show_plan(OUT, made, tuning, email_students=mail)
        if preflight:
            _show_checked(made, bad)
    return ExitStatus.FAILED_PAIRS if bad else ExitStatus.OK


def _json(told: dict[str, Any]) -> str:
    return msgspec.json.format(msgspec.json.encode(told)).decode()


async def _checked(client: EnrollmentClient, made: Plan) -> dict[Place, EnrollError]:
    async with client:
        return await client.preflight(made)


def _show_checked(made: Plan, bad: dict[Place, EnrollError]) -> None:
    if not bad:
        say(OUT, Text("  the platform takes all courses and cohorts", "green"))
    for place, why in bad.items():
        say(OUT, Text("  ✗ ", "red").append(printable(f"{place_in_words(place)}: {why}"), ""))
