"""The enrollment job of a chat bot, for any messenger: plan, ask, run, show progress, stop, resume.

Install:  async_enroll

Copy this file beside your bot; telegram_bot.py shows its use. It knows no messenger: it gives
text and files to a `Chat`, which you write. ::

    job = BotJob(client, Path("jobs", chat_id))      # one job at a time for each chat
    roster = await job.read(path, "people.csv")      # raises RosterError, in words
    text = await job.question(roster, site)          # ask it, with ANSWERS to choose from
    await job.start(roster, chat, email=False)

To make courses equal to a roster instead, ask about and start what `compare` gives. ::

    diff = await job.compare(roster, remove=True)

The job's folder holds its journal. A bot that was killed finds what it left by `interrupted`,
and `resume` continues it: nobody is enrolled or mailed twice. All files are readable by the
bot's own user only, and deleted when the job is finished and the chat has been told.
"""

import logging
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Literal, Protocol

import anyio
from anyio.to_thread import run_sync
from attrs import evolve

from async_enroll import (
    BatchLimits,
    EnrollError,
    EnrollmentClient,
    JournalReport,
    Plan,
    Roster,
    RosterDiff,
    RosterError,
)
from async_enroll.reports import write

ANSWERS = {
    "go": "Yes, without e-mail",
    "mail": "Yes, with e-mail",
    "no": "No",
}
"""What can be answered to `BotJob.question`, and the words for it."""


class Chat(Protocol):
    """Where a job reports."""

    async def progress(self, done: int, total: int) -> None:
        """Show how many enrollments have a result. What it raises is logged; the job goes on."""

    async def ended(self, text: str, failures: Path | None) -> None:
        """Say how the job ended, and send the file of the enrollments that failed, if any did."""


def chats_in(folder: Path) -> list[str]:
    """The chats that have a folder there, and may have an `interrupted` job."""
    return [path.name for path in folder.glob("*") if path.is_dir()]


class BotJob:
    """The job of one chat, kept in `folder`; `pace` is the seconds between reports of progress."""

    def __init__(self, client: EnrollmentClient, folder: Path, *, pace: float = 2.0) -> None:
        self._client = client
        self._folder = folder
        self._journal = folder / "job.db"
        self._stopped = folder / "stopped"  # resume only if somebody asks for it
        self._pace = pace
        self._stop: anyio.Event | None = None

    @property
    def running(self) -> bool:
        """Whether it is running, or the chat is being told how it ended."""
        return self._stop is not None

    @property
    def unfinished(self) -> bool:
        """Whether an earlier run left something to `resume`."""
        return not self.running and self._journal.exists()

    @property
    def interrupted(self) -> bool:
        """Whether it ran when the bot ended, so that the bot resumes it by itself."""
        return self.unfinished and not self._stopped.exists()

    async def read(self, path: Path, name: str) -> Roster:
        """Read a roster; `name` is its sender's name for it.

        Raises:
            RosterError: It has problems. `str` of the exception lists them.

        """
        try:
            return evolve(await run_sync(Roster.read, path), source=name)
        except RosterError as error:
            error.source = name
            raise

    async def compare(self, roster: Roster, *, remove: bool) -> RosterDiff:
        """Compare the roster's courses with it; `remove`: others are to be unenrolled.

        Raises:
            SyncRefused: Too many would be unenrolled.
            EnrollError: The enrollments could not be read.

        """
        diff = await self._client.diff(roster, remove=remove)
        if diff.refused:
            raise diff.refused
        return diff

    async def question(self, wanted: Roster | RosterDiff, site: str) -> str:
        """Say what doing it means, and what the platform refuses; changes nothing.

        Raises:
            EnrollError: The platform could not be asked.

        """
        if isinstance(wanted, RosterDiff):
            lines = list(_differences(wanted))
            mail = "E-mail would go to those who are newly enrolled, and to nobody else."
        else:
            lines = [line async for line in self._planned(wanted, site)]
            mail = "E-mail would go to those for whom this changes something, and nobody else."
        if self.unfinished:
            lines.append("The unfinished job would be forgotten; /resume continues it instead.")
        return "\n".join([*lines, mail, "Go ahead?"])

    async def _planned(self, roster: Roster, site: str) -> AsyncIterator[str]:
        plan = await run_sync(lambda: Plan.of(roster.desired, BatchLimits(), source=roster.source))
        whom, where = _counted(plan.learners, "learner"), _counted(plan.courses, "course")
        yield f"{plan.source}: {whom} in {where} on {site}"
        for action, count in plan.actions().items():
            yield f"To {action.value}: {count:,}"
        if plan.unsendable:
            yield f"Cannot be sent: {plan.unsendable:,}"
        if roster.unused:
            yield f"Columns that are not used: {', '.join(roster.unused)}"
        refused = await self._client.preflight(plan)
        listed = [f"{place.course_id} is refused: {refused[place]}" for place in [*refused][:10]]
        if len(refused) > 10:
            listed.append(f"… and {len(refused) - 10:,} more are refused")
        for line in (*roster.warnings, *listed):
            yield line

    async def start(self, wanted: Roster | RosterDiff, chat: Chat, *, email: bool) -> None:
        """Apply a roster, or sync courses to it, as a new job; report to the chat.

        `email`: the platform mails those for whom the job changes something.

        Raises:
            EnrollError: Nothing was sent.

        """
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True, mode=0o700)

        async def send(stop: anyio.Event) -> None:
            journal = self._journal
            if isinstance(wanted, RosterDiff):
                await self._client.sync(wanted, email_students=email, journal=journal, stop=stop)
            else:
                changed: Literal["changed", False] = "changed" if email else False
                await self._client.apply(wanted, email_students=changed, journal=journal, stop=stop)

        await self._run(send, chat)

    async def resume(self, chat: Chat) -> None:
        """Continue the unfinished job, with the options it was started with.

        Raises:
            EnrollError: The journal cannot be read.

        """
        self._stopped.unlink(missing_ok=True)

        async def go_on(stop: anyio.Event) -> None:
            async with aclosing(self._client.resume(self._journal, stop=stop)) as results:
                async for _ in results:
                    pass  # the journal has them

        await self._run(go_on, chat)

    def stop(self) -> None:
        """Finish the calls in flight and send no others; the job waits for `resume`."""
        if self._stop:
            self._stopped.touch()
            self._stop.set()

    def interrupt(self) -> None:
        """Stop as the bot ends: the job is `interrupted`, and resumed when the bot is back."""
        if self._stop:
            self._stop.set()

    async def _run(self, work: Callable[[anyio.Event], Awaitable[None]], chat: Chat) -> None:
        stop = self._stop = anyio.Event()
        stopped_by: EnrollError | None = None
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._show, chat)
                try:
                    await work(stop)
                except EnrollError as error:
                    stopped_by = error
                tasks.cancel_scope.cancel()
            if stopped_by and not self._journal.exists():
                raise stopped_by
            if stopped_by and not stop.is_set():
                self._stopped.touch()
            text, failures, left = await run_sync(self._ending, stopped_by)
            await chat.ended(text, failures)
            if not left:
                shutil.rmtree(self._folder)
        finally:
            self._stop = None

    async def _show(self, chat: Chat) -> None:
        """Show progress beside the job, which waits for no messenger."""
        shown = None
        while True:
            try:
                found = await run_sync(self._progress)
                if found and found != shown:
                    shown = found
                    await chat.progress(*found)
            except Exception:
                logging.exception("progress could not be shown; the job goes on")
            await anyio.sleep(self._pace)

    def _progress(self) -> tuple[int, int] | None:
        """How many enrollments have a result, of how many, once there is a journal to tell."""
        if not self._journal.exists():
            return None
        with JournalReport(self._journal) as report:
            total = report.description.pairs
            return total - report.pending, total

    def _ending(self, stopped_by: EnrollError | None) -> tuple[str, Path | None, int]:
        with JournalReport(self._journal) as report:
            summary, _ = report.account()
            total, left = report.description.pairs, report.pending
            failures = self._folder / "failures.csv" if summary.failed else None
            if failures:
                write(failures, report.failures())
        lines = [f"Stopped: {stopped_by}" if stopped_by else "Finished"]
        lines.append(f"{summary.pairs - summary.failed:,} of {total:,} as asked")
        if left:
            then = "/resume continues." if self._stopped.exists() else "I go on when I am back."
            lines.append(f"{left:,} left. {then}")
        if summary.notification:
            lines.append(summary.notification)
        return "\n".join(lines), failures, left


def _differences(diff: RosterDiff) -> Iterator[str]:
    """How many learners differ in each course, and the names of the first."""
    yield f"{diff.source}, compared with {_counted(len(diff.courses), 'course')} on {diff.site}"
    for course in [*diff.courses.values()][:10]:
        yield f"{course.course_id}: {course.enrolled:,} enrolled"
        removed = set(course.removals(remove=diff.options.remove))
        staying = [entry for entry in course.to_unenroll if entry not in removed]
        for words, entries in (
            ("to enroll", course.to_enroll),
            ("to enroll or invite, for no listing shows them", course.not_listed),
            ("to unenroll", [entry for entry in course.to_unenroll if entry in removed]),
            ("not in the roster, but stay", staying),
        ):
            if entries:
                names = ", ".join(entry.identifier for entry in entries[:5])
                yield f"- {len(entries):,} {words}: {names}{', …' if len(entries) > 5 else ''}"
        if course.kept:
            yield f"- {len(course.kept):,} kept: {', '.join([*course.kept][:5])}"
    if len(diff.courses) > 10:
        yield f"… and {_counted(len(diff.courses) - 10, 'more course')}"
    for course_id, why in diff.withheld.items():
        yield f"Nobody is unenrolled from {course_id}: {why}"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
