"""`async-enroll sandbox`: a platform to try things on."""

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

Paste what it prints into another terminal, and try the other commands there.
Learners are learner000001 <learner000001@example.org> and so on, courses
course-v1:Demo+C001+2026 and so on, each with cohorts "Group A" and "Group B".

Exit status: 0 ended by Ctrl-C · 2 unusable arguments"""


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
    """Serve an embedded platform, until Ctrl-C.

    Args:
        port: Where to listen; 0 is any free port.
        release: MOOCit, or the year of the Open edX code to behave like.
        learners: How many learners have an account.
        courses: How many courses there are.
        listing: The form of MOOCit's enrollment listing; other releases have none.
        seconds_per_pair: How long the platform takes to enroll one learner in one course.
        window_calls: How many calls it takes in …
        window_seconds: … so many seconds.

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
        note("The platform is being served; Ctrl-C ends it.")
        await anyio.sleep_forever()
