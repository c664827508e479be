"""Runs a job without a journal from the command line, and outputs its results."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from async_enroll.cli.console import note
from async_enroll.cli.output.account import hand_over, in_memory
from async_enroll.cli.output.display import JobDisplay
from async_enroll.cli.output.ending import ExitStatus
from async_enroll.cli.output.running import once_sent, run_job
from async_enroll.client import EnrollmentClient
from async_enroll.errors import EnrollError
from async_enroll.jobs.runner import Signal
from async_enroll.planning.plan import Plan
from async_enroll.reports.report import EnrollmentReport


def run_in_memory(
    client: EnrollmentClient,
    start: Callable[[Signal], Awaitable[EnrollmentReport]],
    plan: Plan,
    display: JobDisplay,
    settings: Sequence[tuple[str, str]],
    report: Path | None,
    *,
    json: bool,
    again: str,
) -> ExitStatus:
    """Run the job of `plan` that `start` begins, and output its results.

    `again` says how to go on if it is stopped. Raises as `run_job`.
    """
    found = EnrollmentReport({})

    async def job(stop: Signal) -> None:
        nonlocal found
        try:
            found = await start(stop)
        except (EnrollError, asyncio.CancelledError) as error:
            found = getattr(error, "report", None) or found
            raise

    with once_sent(display):
        try:
            run_job(client, job, display.progress)
        except (EnrollError, KeyboardInterrupt):
            if display.begun:
                note(again)
            raise
        finally:
            account = in_memory(found, plan, display.timeline, settings, report)
            if display.begun:
                hand_over(account, report, json=json)
        return account.status
