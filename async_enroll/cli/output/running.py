"""Runs a job from the command line, and ends it as Ctrl-C asks."""

from __future__ import annotations

import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path
from shlex import quote

import anyio

from async_enroll.cli.console import note, warn
from async_enroll.cli.output.account import hand_over, journaled
from async_enroll.cli.output.display import JobDisplay
from async_enroll.cli.output.ending import ExitStatus
from async_enroll.cli.output.loop import run
from async_enroll.cli.output.progress import JobProgress
from async_enroll.client import EnrollmentClient
from async_enroll.errors import ConfigurationError, EnrollError, JobStopped
from async_enroll.journal import JournalReport
from async_enroll.models import EnrollmentResult

_ASKING = (signal.SIGINT, signal.SIGTERM)
"""Ctrl-C, and what services and containers are stopped with."""

Job = Callable[[anyio.Event], Awaitable[object]]
"""Does a job; once the event is set, no more than to finish what is in flight."""


@contextmanager
def once_sent(display: JobDisplay) -> Iterator[None]:
    """See to it that a job ends as stopped, whatever has ended it, once calls were sent.

    An unusable configuration says that nothing was sent; where something was, the same error
    is raised as one that has stopped the job.

    Raises:
        EnrollError: what the body has raised.

    """
    try:
        yield
    except ConfigurationError as error:
        if display.sent:
            raise EnrollError(str(error)) from None
        raise


def run_job(client: EnrollmentClient, job: Job, progress: JobProgress) -> None:
    """Run a job to its end.

    Ctrl-C sets the event that `job` is given: calls in flight are finished. Once more, and
    they are cut off.

    Raises:
        KeyboardInterrupt: where Ctrl-C has left work undone.
        EnrollError: what else has stopped the job.

    """
    run(_run, client, job, progress)


def run_with_journal(
    client: EnrollmentClient,
    start: Callable[[anyio.Event], AsyncGenerator[EnrollmentResult]],
    journal: Path,
    display: JobDisplay,
    report: Path | None,
    *,
    json: bool,
) -> ExitStatus:
    """Run the job that `start` begins and a journal keeps; hand it over, say how to go on.

    Of a job that an earlier run has finished, say so, and hand over what was asked for.
    Raises as `run_job`.
    """

    async def job(stop: anyio.Event) -> None:
        async with aclosing(start(stop)) as results:
            async for _ in results:  # the journal has them
                pass

    with once_sent(display):
        try:
            run_job(client, job, display.progress)
        except (EnrollError, KeyboardInterrupt):
            if display.begun:
                _hand_over(journal, report, json=json)
                note(f"to go on: async-enroll resume {quote(str(journal))}")
            raise
        if display.begun:
            return _hand_over(journal, report, json=json)
        return _say_finished(journal, report, json=json)


def _hand_over(journal: Path, path: Path | None, *, json: bool) -> ExitStatus:
    with JournalReport(journal) as report:
        account = journaled(journal, report)
        hand_over(account, path, json=json)
        return account.status


def _say_finished(journal: Path, path: Path | None, *, json: bool) -> ExitStatus:
    """Say that the job was finished before: what became of it then may no longer be so."""
    with JournalReport(journal) as report:
        account = journaled(journal, report)
        then = report.finished().astimezone()
        note(f"this job finished on {then:%Y-%m-%d %H:%M}; nothing was sent")
        note(f"what became of it then: async-enroll report {quote(str(journal))}")
        note("to do it again: apply the roster with a new --journal")
        hand_over(account, path, json=json, shown=False)
        return account.status


async def _run(client: EnrollmentClient, job: Job, progress: JobProgress) -> None:
    stop = anyio.Event()
    stopped_by: EnrollError | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_heed_interrupts, stop, tasks.cancel_scope)
        try:
            with progress.shown():
                tasks.start_soon(progress.report)
                async with client:
                    await job(stop)
        except EnrollError as error:
            stopped_by = error
        finally:
            finished = not tasks.cancel_scope.cancel_called
            tasks.cancel_scope.cancel()
    if isinstance(stopped_by, JobStopped) or not finished:
        raise KeyboardInterrupt
    if stopped_by:
        raise stopped_by


async def _heed_interrupts(stop: anyio.Event, everything: anyio.CancelScope) -> None:
    # Where there are no such signals, Ctrl-C cuts off at once.
    with suppress(NotImplementedError), anyio.open_signal_receiver(*_ASKING) as interrupts:
        async for _ in interrupts:
            if stop.is_set():
                warn("cutting off what is in flight")
                everything.cancel()
                return
            stop.set()
            warn("finishing what is in flight; Ctrl-C once more cuts it off")
