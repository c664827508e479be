"""`async-enroll sandbox`: an embedded platform to test against."""

from __future__ import annotations

import csv
from pathlib import Path
from textwrap import wrap
from typing import Annotated, Literal

import anyio
from cyclopts import Parameter
from cyclopts.types import NonNegativeFloat, NonNegativeInt, Port

from async_enroll.cli.console import note
from async_enroll.cli.options.destination import check_destination, naming
from async_enroll.cli.options.flag import Flag
from async_enroll.cli.output.ending import ExitStatus
from async_enroll.cli.output.loop import run
from async_enroll.errors import ConfigurationError
from async_enroll.files import private_file
from async_enroll.models import Action, RequestWindow
from async_enroll.sandbox import Fault, Faults, ListingForm, Platform, Population

_FAULTS = "\n".join(wrap(", ".join(Fault.__members__), 76))

EXAMPLES = f"""\
Examples:
  async-enroll sandbox --roster-out roster.csv
  async-enroll sandbox --learners 10000 --seconds-per-pair 0.02
  async-enroll sandbox --fault RESET_AFTER:0.1 --fault SERVER_ERROR:0.05
  async-enroll sandbox --window-calls 5 --window-seconds 10
  async-enroll sandbox --release 2026 --no-throttle

Paste its output into another terminal, and run other commands there. Open its
URL in a browser to see courses, enrollments, mails and calls as they come.
Learners are learner000001 <learner000001@example.org> and so on, courses
course-v1:Demo+C001+2026 and so on, each with cohorts "Group A" and "Group B".

Faults:
{_FAULTS}

Exit status: 0 stopped with Ctrl-C · 2 invalid arguments"""


def sandbox(
    *,
    port: Port = 0,
    release: Literal["moocit", "2020", "2022", "2025", "2026"] = "moocit",
    learners: NonNegativeInt = 1000,
    courses: NonNegativeInt = 10,
    listing: Annotated[ListingForm, Parameter(metavar="FORM")] = ListingForm.ARRAY,
    seconds_per_pair: NonNegativeFloat = 0.0,
    window_calls: int = RequestWindow().calls,
    window_seconds: float = RequestWindow().seconds,
    no_throttle: Flag = False,
    fault: Annotated[
        tuple[str, ...], Parameter(negative="", metavar="NAME:SHARE", show_default=False)
    ] = (),
    roster_out: Annotated[Path | None, Parameter(metavar="FILE")] = None,
) -> ExitStatus:
    """Run an embedded platform until Ctrl-C.

    Args:
        port: Port to listen on; 0 for any free port.
        release: Release to behave like: MOOCit, or the year of an Open edX release.
        learners: Number of learners with an account.
        courses: Number of courses.
        listing: Format of MOOCit's enrollment listing; other releases have none.
        seconds_per_pair: Seconds to enroll one learner in one course.
        window_calls: Number of calls that the throttle allows per window.
        window_seconds: Length of the throttle's window, in seconds.
        no_throttle: Allow any number of calls.
        fault: What goes wrong with this share of the bulk calls, as in RESET_AFTER:0.1. Can be
            repeated.
        roster_out: Write a sample roster of these learners to a CSV file, to apply. It enrolls
            most, unenrolls some, and misspells a few.

    """
    platform = Platform(
        release=release,
        window=None if no_throttle else RequestWindow(window_calls, window_seconds),
        listing=listing,
        seconds_per_pair=seconds_per_pair,
        faults=_faults(fault),
        port=port,
        playground=True,
    )
    population = platform.seed(learners, courses)
    if roster_out:
        _write_sample(platform, population, roster_out)
    try:
        run(_serve, platform)
    except KeyboardInterrupt:
        note("stopped")
    except OSError as error:
        raise ConfigurationError(f"--port {port}: {error.strerror}") from None
    return ExitStatus.OK


def _faults(options: tuple[str, ...]) -> Faults:
    shares: dict[Fault, float] = {}
    for option in options:
        name, _, share = option.partition(":")
        try:
            fault = Fault[name.strip().upper().replace("-", "_")]
        except KeyError:
            known = ", ".join(Fault.__members__)
            raise ConfigurationError(f"--fault {option}: expected one of {known}") from None
        try:
            shares[fault] = float(share)
        except ValueError:
            words = f"--fault {option}: expected a share of the calls, as in {fault.name}:0.1"
            raise ConfigurationError(words) from None
    try:
        return Faults.shares(shares, seed=0)
    except ValueError as error:
        raise ConfigurationError(f"--fault {' '.join(options)}: {error}") from None


def _write_sample(platform: Platform, population: Population, path: Path) -> None:
    """Write a roster of the population, and enroll some whom it names beforehand."""
    if not (population.usernames and population.courses):
        raise ConfigurationError("--roster-out needs at least one learner and one course")
    check_destination(path, "--roster-out")
    with naming(path), private_file(path, newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["identifier", "course_id", "action"])
        for number, username in enumerate(population.usernames):
            course_id = population.courses[number % len(population.courses)]
            identifier, action = population.emails[number], Action.ENROLL
            match number % 100:
                case 1:  # nobody has that address: it waits for registration
                    identifier = identifier.replace("example", "exmaple")
                case 2:  # nobody is called so: it fails
                    identifier = f"{username}x"
                case 3 | 23 | 43:
                    platform.enroll(username, course_id)
                    action = Action.UNENROLL
                case 4 | 54:
                    platform.enroll(username, course_id)
                case 5:
                    identifier = username
            rows.writerow([identifier, course_id, action.value])


async def _serve(platform: Platform) -> None:
    async with platform:
        print(f"export ASYNC_ENROLL_URL={platform.url}")
        print(f"export ASYNC_ENROLL_TOKEN={platform.token}", flush=True)
        note("Platform running; press Ctrl-C to stop it.")
        await anyio.sleep_forever()
