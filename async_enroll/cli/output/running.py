"""Runs a job from the command line, and stops it on Ctrl-C.

Hands the results over to `account`.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path
from shlex import quote

import anyio

from async_enroll.cli.console import note, warn
from async_enroll.cli.output.account import Account, hand_over, in_memory, journaled
from async_enroll.cli.output.display import JobDisplay
from async_enroll.cli.output.ending import ExitStatus
from async_enroll.cli.output.loop import run
from async_enroll.cli.output.progress import JobProgress
from async_enroll.client import EnrollmentClient
from async_enroll.errors import ConfigurationError, EnrollError, JobStopped
from async_enroll.jobs.options import Signal
from async_enroll.journal import JournalReport
from async_enroll.models import EnrollmentResult
from async_enroll.planning.plan import Plan
from async_enroll.reports.report import EnrollmentReport

_ASKING = (signal.SIGINT, signal.SIGTERM)
"""Ctrl-C, and the signal that stops services and containers."""

Job = Callable[[anyio.Event], Awaitable[object]]
"""Runs a job. Once the event is set, it finishes the calls in flight and stops."""


@contextmanager
def once_sent(display: JobDisplay, *, earlier: bool = False) -> Iterator[None]:
    """Raise the errors of a job as what their exit status says: whether anything was sent.

    The exit status of ConfigurationError means that nothing was sent. `earlier`: an earlier run
    of the job may have sent something.

    Raises:
        ConfigurationError: The message of the error that stopped the body; nothing was sent.
        EnrollError: The same if something was, or an earlier run was to be continued.

    """
    try:
        yield
    except ConfigurationError as error:
        if display.sent:
            raise EnrollError(str(error)) from None
        raise
    except EnrollError as error:
        if display.sent or earlier:
            raise
        raise ConfigurationError(f"{error}; nothing was sent") from None


def run_job(client: EnrollmentClient, job: Job, progress: JobProgress) -> None:
    """Run a job.

    Ctrl-C sets the event that `job` takes, so that calls in flight are finished. A second
    Ctrl-C cancels them.

    Raises:
        KeyboardInterrupt: Ctrl-C stopped the job before its end.
        EnrollError: Anything else stopped the job.

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
    earlier: bool = True,
    again: str = "to apply the roster again: use a new --journal",
) -> ExitStatus:
    """Run the job that `start` begins with a journal, output its results, and say how to resume.

    If an earlier run finished the job, say so, and how to do it `again`; write the report and the
    JSON all the same. `earlier`: whether there may be an earlier run.

    Raises as `run_job` and `once_sent`.
    """

    async def job(stop: anyio.Event) -> None:
        async with aclosing(start(stop)) as results:
            async for _ in results:  # the journal has them
                pass

    with once_sent(display, earlier=earlier):
        try:
            run_job(client, job, display.progress)
        except (EnrollError, KeyboardInterrupt) as error:
            if display.begun:
                account = _hand_over(journal, report, json=json)
                if isinstance(error, KeyboardInterrupt) and not account.pending:
                    return account.status  # the calls in flight were the last ones
                note(f"to continue: async-enroll resume {quote(str(journal))}")
            raise
        if display.begun:
            return _hand_over(journal, report, json=json).status
        return _say_finished(journal, report, again, json=json)


def _hand_over(journal: Path, path: Path | None, *, json: bool) -> Account:
    with JournalReport(journal) as report:
        account = journaled(journal, report)
        hand_over(account, path, json=json)
        return account


def _say_finished(journal: Path, path: Path | None, again: str, *, json: bool) -> ExitStatus:
    """Say that an earlier run finished the job: its results may no longer be current."""
    with JournalReport(journal) as report:
        account = journaled(journal, report)
        then = report.finished().astimezone()
        note(f"this job finished on {then:%Y-%m-%d %H:%M}; nothing was sent")
        note(f"for its results: async-enroll report {quote(str(journal))}")
        note(again)
        hand_over(account, path, json=json, shown=False)
        return account.status


def run_in_memory(
    client: EnrollmentClient,
    start: Callable[[Signal], Awaitable[EnrollmentReport]],
    plan: Plan,
    display: JobDisplay,
    settings: Sequence[tuple[str, str]],
    command: str,
    report: Path | None,
    *,
    json: bool,
    again: str,
) -> ExitStatus:
    """Run the job of `plan` that `start` begins, and output its results.

    `command` is what the user has typed, `again` says how to go on if it is stopped. Raises as
    `run_job`.
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
        ended = False
        try:
            run_job(client, job, display.progress)
            ended = True
        except (EnrollError, KeyboardInterrupt):
            if display.sent:
                note(again)
            raise
        finally:
            account = in_memory(found, plan, display.timeline, settings, command, report)
            if display.begun:
                # If nothing was sent, the error says all: the failures are the whole roster.
                hand_over(account, report, json=json, shown=ended or display.sent)
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
    # Without signal support (Windows), Ctrl-C cancels at once.
    with suppress(NotImplementedError), anyio.open_signal_receiver(*_ASKING) as interrupts:
        async for _ in interrupts:
            if stop.is_set():
                warn("cancelling the calls in flight")
                everything.cancel()
                return
            stop.set()
            warn("finishing the calls in flight; press Ctrl-C again to cancel them")
