"""Runs a job from the command line, and ends it as Ctrl-C asks."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing, suppress
from pathlib import Path

import anyio

from async_enroll.cli.account import hand_over, journaled
from async_enroll.cli.console import note, warn
from async_enroll.cli.display import JobDisplay
from async_enroll.cli.ending import ExitStatus
from async_enroll.cli.progress import JobProgress
from async_enroll.client import EnrollmentClient
from async_enroll.errors import EnrollError, JobStopped
from async_enroll.journal import JournalReport
from async_enroll.models import EnrollmentResult

Results = AsyncGenerator[EnrollmentResult]
Take = Callable[[Iterable[EnrollmentResult]], object]


def run_job(
    client: EnrollmentClient,
    start: Callable[[anyio.Event], Results],
    take: Take,
    progress: JobProgress,
) -> None:
    """Run the job that `start` begins, to its end; `take` its results.

    Ctrl-C sets the event that `start` is given: calls in flight are finished. Once more, and
    they are cut off.

    Raises:
        KeyboardInterrupt: where Ctrl-C has left work undone.
        EnrollError: what else has stopped the job.

    """
    anyio.run(_run, client, start, take, progress)


def run_with_journal(
    client: EnrollmentClient,
    start: Callable[[anyio.Event], Results],
    journal: Path,
    job: JobDisplay,
    report: Path | None,
    *,
    json: bool,
) -> ExitStatus:
    """Run a job that keeps a journal, and hand over the whole of it; say how to go on.

    Raises as `run_job`.
    """
    try:
        run_job(client, start, lambda results: None, job.progress)
    except (EnrollError, KeyboardInterrupt):
        if job.begun:
            _hand_over(journal, report, json=json)
            note(f"to go on: async-enroll resume {journal}")
        raise
    return _hand_over(journal, report, json=json)


def _hand_over(journal: Path, path: Path | None, *, json: bool) -> ExitStatus:
    with JournalReport(journal) as report:
        account = journaled(journal, report)
        hand_over(account, path, json=json)
        return account.status


async def _run(
    client: EnrollmentClient,
    start: Callable[[anyio.Event], Results],
    take: Take,
    progress: JobProgress,
) -> None:
    stop = anyio.Event()
    stopped_by: EnrollError | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_heed_interrupts, stop, tasks.cancel_scope)
        try:
            with progress.shown():
                tasks.start_soon(progress.report)
                await carry_out(client, start(stop), take)
        except EnrollError as error:
            stopped_by = error
        finally:
            finished = not tasks.cancel_scope.cancel_called
            tasks.cancel_scope.cancel()
    if isinstance(stopped_by, JobStopped) or not finished:
        raise KeyboardInterrupt
    if stopped_by:
        raise stopped_by


async def carry_out(client: EnrollmentClient, results: Results, take: Take) -> None:
    """Take the results of a job as they come; when it is cancelled, those that came meanwhile."""
    async with client, aclosing(results):
        try:
            async for result in results:
                take([result])
        except asyncio.CancelledError as cancelled:
            take(getattr(cancelled, "results", ()))
            raise


async def _heed_interrupts(stop: anyio.Event, everything: anyio.CancelScope) -> None:
    # Where there are no such signals, Ctrl-C cuts off at once.
    with suppress(NotImplementedError), anyio.open_signal_receiver(signal.SIGINT) as interrupts:
        async for _ in interrupts:
            if stop.is_set():
                warn("cutting off what is in flight")
                everything.cancel()
                return
            stop.set()
            warn("finishing what is in flight; Ctrl-C once more cuts it off")
