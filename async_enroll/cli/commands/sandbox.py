"""`async-enroll sandbox`: an embedded platform to test against."""

from __future__ import annotations

from typing import Annotated, Literal

import anyio
from cyclopts import Parameter
from cyclopts.types import NonNegativeFloat, NonNegativeInt, Port

from async_enroll.cli.console import note
from async_enroll.cli.output.ending import ExitStatus
from async_enroll.cli.output.loop import run
from async_enroll.errors import ConfigurationError
from async_enroll.models import RequestWindow
from async_enroll.sandbox import ListingForm, Platform

EXAMPLES = """\
Examples:
  async-enroll sandbox --learners 10000 --seconds-per-pair 0.02
  async-enroll sandbox --window-calls 5 --window-seconds 10
  async-enroll sandbox --release 2026

Paste its output into another terminal, and run other commands there.
Learners are learner000001 <learner000001@example.org> and so on, courses
course-v1:Demo+C001+2026 and so on, each with cohorts "Group A" and "Group B".

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

    """
    platform = Platform(
        release=release,
        window=RequestWindow(window_calls, window_seconds),
        listing=listing,
        seconds_per_pair=seconds_per_pair,
        port=port,
    )
    platform.seed(learners, courses)
    try:
        run(_serve, platform)
    except KeyboardInterrupt:
        note("stopped")
    except OSError as error:
        raise ConfigurationError(f"--port {port}: {error.strerror}") from None
    return ExitStatus.OK


async def _serve(platform: Platform) -> None:
    async with platform:
        print(f"export ASYNC_ENROLL_URL={platform.url}")
        print(f"export ASYNC_ENROLL_TOKEN={platform.token}", flush=True)
        note("Platform running; press Ctrl-C to stop it.")
        await anyio.sleep_forever()
