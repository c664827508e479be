"""The example of a bot's job: whatever happens to the bot or the messenger, nobody is lost."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import DEVNULL
from types import ModuleType
from typing import Any

import anyio
import pytest
from attrs import define, field

from async_enroll import BatchLimits, EnrollError, EnrollmentClient, RosterError
from async_enroll.sandbox import Fault, Faults, Platform
from tests.cli.command import names_in, roster_file
from tests.examples.loading import program
from tests.waiting import until

COURSE = "course-v1:Org+C0+2026"
PEOPLE = [f"learner{number}" for number in range(60)]
SETTINGS: dict[str, Any] = {"concurrency": 2, "batch": BatchLimits(identifiers=3), "settle": 0.5}


@define
class Heard:
    """A chat, and what it was told."""

    shown: list[tuple[int, int]] = field(factory=list)
    endings: list[str] = field(factory=list)
    failures: list[str] = field(factory=list)
    broken: bool = False

    async def progress(self, done: int, total: int) -> None:
        self.shown.append((done, total))
        if self.broken:
            raise OSError("the messenger is down")

    async def ended(self, text: str, failures: Path | None) -> None:
        if self.broken:
            raise OSError("the messenger is down")
        self.endings.append(text)
        if failures:
            self.failures += identifiers(failures)


def identifiers(report: Path) -> list[str]:
    assert report.stat().st_mode & 0o777 == 0o600
    with report.open(encoding="utf-8-sig", newline="") as file:
        return [row["identifier"] for row in csv.DictReader(file)]


@pytest.fixture
def module() -> ModuleType:
    return program("bot_job")


@asynccontextmanager
async def platform_of(**settings: Any) -> AsyncIterator[Platform]:
    async with Platform(window=None, **settings) as site:
        site.add_course(COURSE)
        for who in PEOPLE:
            site.add_user(who, f"{who}@example.org")
        yield site


@pytest.fixture
async def site() -> AsyncIterator[Platform]:
    async with platform_of(seconds_per_call=0.02) as site:
        yield site


def client_of(site: Platform) -> EnrollmentClient:
    return EnrollmentClient(site.url, site.token, **SETTINGS)


def file(folder: Path, *people: str) -> Path:
    return roster_file(folder / "people.csv", *[f"{who},{COURSE}" for who in people])


def enrolled(site: Platform) -> int:
    return len(site.enrollments)


async def test_a_job_from_question_to_ending(
    site: Platform, module: ModuleType, tmp_path: Path
) -> None:
    chat, folder = Heard(), tmp_path / "jobs" / "1"
    async with client_of(site) as client:
        job = module.BotJob(client, folder, pace=0.05)
        roster = await job.read(file(tmp_path, *PEOPLE, "nobody", "nobody2"), "list")
        question = await job.question(roster, site.url)
        assert question.startswith("list: 62 learners in 1 course on http://127.0.0.1")
        assert not enrolled(site)
        assert not (tmp_path / "jobs").exists()
        await job.start(roster, chat, email=True)
    assert chat.endings == ["Finished\n60 of 62 as asked"]
    assert chat.failures == ["nobody", "nobody2"]
    assert chat.shown == sorted(set(chat.shown))
    assert {total for _, total in chat.shown} == {62}
    assert len(chat.shown) > 2
    assert len(site.outbox) == 60
    assert not folder.exists()


async def test_a_roster_that_cannot_be_read(
    site: Platform, module: ModuleType, tmp_path: Path
) -> None:
    async with client_of(site) as client:
        job = module.BotJob(client, tmp_path / "1")
        with pytest.raises(RosterError, match="1 problem; nothing was sent") as raised:
            await job.read(file(tmp_path, "jane doe"), "their list.csv")
        assert str(raised.value).startswith("their list.csv: ")


async def test_many_courses_that_are_refused_are_not_all_named(
    site: Platform, module: ModuleType, tmp_path: Path
) -> None:
    rows = [f"learner1,course-v1:Org+None{number}+2026" for number in range(13)]
    async with client_of(site) as client:
        job = module.BotJob(client, tmp_path / "1")
        roster = await job.read(roster_file(tmp_path / "people.csv", *rows), "people.csv")
        question = await job.question(roster, site.url)
    assert question.count(" is refused: ") == 10
    assert "… and 3 more are refused" in question


async def test_a_job_is_stopped_and_resumed(
    site: Platform, module: ModuleType, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chat, folder = Heard(), tmp_path / "1"
    async with client_of(site) as client, anyio.create_task_group() as tasks:
        job = module.BotJob(client, folder, pace=0.05)
        roster = await job.read(file(tmp_path, *PEOPLE), "people.csv")

        async def start() -> None:
            await job.start(roster, chat, email=True)

        tasks.start_soon(start)
        await until(lambda: enrolled(site) > 10)
        assert job.running
        assert not job.unfinished
        job.stop()
        await until(lambda: chat.endings)
        await until(lambda: not job.running)
        done = int(chat.endings[0].splitlines()[1].split()[0])
        assert done <= enrolled(site) < 60  # who is still to be mailed is not done
        assert chat.endings[0].splitlines()[1:] == [
            f"{done} of 60 as asked",
            f"{60 - done} left. /resume continues.",
        ]
        assert job.unfinished
        assert not job.interrupted
        assert folder.stat().st_mode & 0o777 == 0o700
        assert "job.db" in names_in(folder)
        question = await job.question(roster, site.url)
        assert "/resume continues it instead" in question
        # Another bot, or this one after a restart: it waits to be told.
        again = module.BotJob(client, folder, pace=0.05)
        assert not again.interrupted
        await again.resume(chat)
    assert chat.endings[1] == "Finished\n60 of 60 as asked"
    assert "could not be shown" not in caplog.text
    assert len(site.outbox) == 60
    assert not folder.exists()


async def test_a_messenger_that_is_down_costs_nothing_but_its_messages(
    site: Platform, module: ModuleType, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chat = Heard(broken=True)
    async with client_of(site) as client:
        job = module.BotJob(client, tmp_path / "1", pace=0.05)
        roster = await job.read(file(tmp_path, *PEOPLE, "nobody"), "people.csv")
        with pytest.raises(OSError, match="messenger"):
            await job.start(roster, chat, email=True)
        assert enrolled(site) == 60
        assert "the job goes on" in caplog.text
        assert not job.running
        assert job.interrupted  # so its ending is told once the bot is back
        chat.broken, calls = False, len(site.requests)
        await job.resume(chat)
    assert chat.endings == ["Finished\n60 of 61 as asked"]
    assert chat.failures == ["nobody"]
    assert len(site.requests) == calls
    assert len(site.outbox) == 60


async def test_a_platform_that_is_down_leaves_a_job_to_resume(
    module: ModuleType, tmp_path: Path
) -> None:
    chat = Heard()
    async with platform_of(seconds_per_call=0.02) as site:
        async with (
            EnrollmentClient(site.url, site.token, **{**SETTINGS, "patience": 0.5}) as client,
            anyio.create_task_group() as tasks,
        ):
            job = module.BotJob(client, tmp_path / "1", pace=0.05)
            roster = await job.read(file(tmp_path, *PEOPLE), "people.csv")

            async def start() -> None:
                await job.start(roster, chat, email=True)

            tasks.start_soon(start)
            await until(lambda: enrolled(site) > 10)
            await site.crash()
            await until(lambda: chat.endings, seconds=20)
            assert chat.endings[0].startswith("Stopped: ")
            assert " left. /resume continues." in chat.endings[0]
            assert not job.interrupted
            await site.restart()
            await until(lambda: not job.running)
            await job.resume(chat)
            assert chat.endings[1].startswith("Finished\n60 of 60 as asked")
            assert enrolled(site) == 60
            mailed = [mail.to for mail in site.outbox]
            assert len(mailed) == len(set(mailed))


async def test_a_job_that_cannot_begin_is_told_and_forgotten(
    site: Platform, module: ModuleType, tmp_path: Path
) -> None:
    chat = Heard()
    client = client_of(site)  # never opened
    job = module.BotJob(client, tmp_path / "1")
    roster = await job.read(file(tmp_path, "learner1"), "people.csv")
    with pytest.raises(EnrollError, match="not open"):
        await job.question(roster, site.url)
    (tmp_path / "not a folder").write_text("")
    async with client:
        job = module.BotJob(client, tmp_path / "not a folder")
        with pytest.raises(OSError, match="not a folder"):
            await job.start(roster, chat, email=False)
    assert not job.running
    assert not chat.endings


BOT = """
import sys
from pathlib import Path

import anyio
from bot_job import BotJob

from async_enroll import BatchLimits, EnrollmentClient

url, token, path, folder = sys.argv[1:]


class Terminal:
    async def progress(self, done, total):
        print(done, flush=True)

    async def ended(self, text, failures):
        print(text)


async def main():
    limits = BatchLimits(identifiers=3)
    async with EnrollmentClient(url, token, concurrency=2, batch=limits, settle=0.5) as client:
        job = BotJob(client, Path(folder), pace=0.02)
        if job.interrupted:
            await job.resume(Terminal())
        else:
            roster = await job.read(Path(path), "people.csv")
            await job.start(roster, Terminal(), email=True)


anyio.run(main)
"""


async def test_a_killed_bot_goes_on_and_mails_nobody_twice(tmp_path: Path) -> None:
    faults = Faults.schedule({4: Fault.RESET_AFTER, 9: Fault.SERVER_ERROR})
    async with platform_of(seconds_per_call=0.05, faults=faults) as site:
        path = file(tmp_path, *PEOPLE)
        command = [sys.executable, "-c", BOT, site.url, site.token, path, tmp_path / "jobs" / "1"]
        where = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
        for kills in range(3):
            async with await anyio.open_process(
                list(map(str, command)), env=where, stdout=DEVNULL
            ) as process:
                await until(lambda: enrolled(site) > 12 * (kills + 1), seconds=20)  # noqa: B023
                process.kill()
        done = await anyio.run_process(list(map(str, command)), env=where)
    assert "60 of 60 as asked" in done.stdout.decode()
    assert enrolled(site) == 60
    mailed = [mail.to for mail in site.outbox]
    assert len(mailed) == len(set(mailed))
    assert not (tmp_path / "jobs" / "1").exists()
