"""The example of a bot, run as it stands, against a stand-in for Telegram on loopback."""

from __future__ import annotations

import csv
import sys
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from async_enroll import BatchLimits, EnrollmentClient, RequestWindow, Roster
from async_enroll.sandbox import Platform
from tests.cli.command import names_in
from tests.examples.loading import program
from tests.examples.telegram_server import TOKEN, Person, Said, Telegram
from tests.waiting import until

if TYPE_CHECKING:
    from aiogram import Dispatcher
    from aiogram.client.session.aiohttp import AiohttpSession

WINDOW = RequestWindow(20, 0.3)
COURSE = "course-v1:Org+C0+2026"
STAFF = {1, 2, 3}
PACE = 0.1

# Calls so small that a few hundred learners make a long migration.
SETTINGS: dict[str, Any] = {
    "window": WINDOW,
    "concurrency": 4,
    "batch": BatchLimits(identifiers=4),
}


@pytest.fixture
async def telegram() -> AsyncIterator[Telegram]:
    async with Telegram() as telegram:
        yield telegram


@asynccontextmanager
async def platform_of(*, seconds_per_call: float) -> AsyncIterator[Platform]:
    """A platform with a throttle, and learners enough to keep it busy for a while."""
    async with Platform(window=WINDOW, seconds_per_call=seconds_per_call) as site:
        site.add_course(COURSE)
        for number in range(200):
            site.add_user(f"learner{number}", f"learner{number}@example.org")
        yield site


@pytest.fixture
async def site() -> AsyncIterator[Platform]:
    async with platform_of(seconds_per_call=0.01) as site:
        yield site


def session_at(telegram: Telegram) -> AiohttpSession:
    # Only who runs these tests has to wait for it: aiogram takes seconds to import.
    from aiogram.client.session.aiohttp import AiohttpSession
    from aiogram.client.telegram import TelegramAPIServer

    return AiohttpSession(api=TelegramAPIServer.from_base(telegram.url))


@asynccontextmanager
async def serving(
    telegram: Telegram, site: Platform, folder: Path, *, token: str | None = None
) -> AsyncIterator[ModuleType]:
    """Run the bot; give its program."""
    module, session = program("telegram_bot"), session_at(telegram)
    async with EnrollmentClient(site.url, token or site.token, **SETTINGS) as client:
        dispatcher = module.commands(client, site.url, STAFF, folder, PACE)
        options = {"handle_signals": False, "close_bot_session": False}
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(
                partial(dispatcher.start_polling, module.Bot(TOKEN, session), **options)
            )
            try:
                yield module
            finally:
                with anyio.CancelScope(shield=True):
                    await dispatcher.stop_polling()
                    # The session's own way to close takes a quarter of a second.
                    await (await session.create_session()).close()


def roster(learners: Iterable[str]) -> bytes:
    return "\n".join(["username,course_id", *(f"{who},{COURSE}" for who in learners)]).encode()


def people(first: int, last: int) -> list[str]:
    return [f"learner{number}" for number in range(first, last)]


async def migrate(
    telegram: Telegram,
    person: Person,
    content: bytes,
    answer: str = "Yes, without e-mail",
    *,
    command: str = "/migrate",
) -> Said:
    """Send a roster and answer the question; return that."""
    before = len(person.heard)
    person.attach(command, telegram.upload(content, "people.csv"))
    await until(lambda: any("Go ahead?" in said.text for said in person.heard[before:]), seconds=20)
    (asked,) = [said for said in person.heard[before:] if "Go ahead?" in said.text]
    person.press(asked, answer)
    return asked


def enrolled(site: Platform) -> int:
    return sum(record.is_active for record in site.enrollments)


def named(said: Said) -> list[str]:
    """The identifiers in a report that was sent."""
    assert said.document is not None
    return [
        row["identifier"] for row in csv.DictReader(said.document.decode("utf-8-sig").splitlines())
    ]


async def test_in_and_out(telegram: Telegram, site: Platform, tmp_path: Path) -> None:
    ann = telegram.person(1)
    async with serving(telegram, site, tmp_path):
        ann.say(f"/enroll learner1 learner2@example.org nobody {COURSE}")
        said = await ann.hear("3 enrollments in 1 course: 1 failed")
        assert "nobody" in said.text
        ann.say(f"/unenroll learner1 {COURSE}")
        await ann.hear("unenrolled")
        ann.say(f"/who {COURSE}")
        assert (await ann.hear("1 enrolled\n")).text == "1 enrolled\nlearner2"
        for number in range(100, 130):
            site.enroll(f"learner{number}", COURSE)
        ann.say(f"/who {COURSE}")
        said = await ann.hear("31 enrolled")
        assert said.text.splitlines()[1:3] == ["learner100", "learner101"]
        assert said.text.splitlines()[20:] == ["learner119", "… and 11 more"]


async def test_nobody_else_is_served(telegram: Telegram, site: Platform, tmp_path: Path) -> None:
    mallory, ann = telegram.person(666), telegram.person(1)
    async with serving(telegram, site, tmp_path):
        mallory.say(f"/enroll learner1 {COURSE}")
        mallory.attach("/migrate", telegram.upload(roster(people(0, 9)), "people.csv"))
        mallory.say(f"/who {COURSE}")
        mallory.say("/cancel")
        ann.say(f"/enroll learner2 {COURSE}")
        await ann.hear("as requested")
    assert not mallory.heard
    assert [record.username for record in site.enrollments] == ["learner2"]


async def test_what_cannot_be_done_is_said_in_words(
    telegram: Telegram, site: Platform, tmp_path: Path
) -> None:
    ann, bob = telegram.person(1), telegram.person(2)
    async with serving(telegram, site, tmp_path):
        ann.say("/enroll learner1")
        await ann.hear("/enroll jane@example.org")
        bob.say("/migrate")
        await bob.hear("/migrate with a roster")
        ann.say("/cancel")
        await ann.hear("Nothing to stop")
        bad = roster(["learner1", *["learner2,more"] * 300])
        bob.attach("/migrate", telegram.upload(bad, "../people.csv"))
        said = await bob.hear("300 problems; nothing was sent")
        assert said.text.startswith("../people.csv: ")
        assert "line 3" in said.text
        telegram.failing["getFile"] = (400, "Bad Request: file is too big")
        bob.attach("/migrate", telegram.upload(b"", "people.csv"))
        await bob.hear("file is too big")
    telegram.failing.clear()
    async with serving(telegram, site, tmp_path, token="wrong"):
        ann.say(f"/enroll learner1 {COURSE}")
        await ann.hear("the token is not accepted")
        bob.attach("/migrate", telegram.upload(roster(["learner1"]), "people.csv"))
        await bob.hear("the token is not accepted")
        bob.say("/resume")
        await bob.hear("Nothing to resume")
    assert not site.enrollments


async def test_a_migration_is_shown_before_it_starts(
    telegram: Telegram, site: Platform, tmp_path: Path
) -> None:
    ann = telegram.person(1)
    missing = "course-v1:Org+None+2026"
    rows = [*people(0, 4), f"learner4,{COURSE}\nlearner5,{missing}\nlearner6"]
    async with serving(telegram, site, tmp_path):
        asked = await migrate(telegram, ann, roster(rows), "No")
        first, *lines = asked.text.splitlines()
        assert first == f"people.csv: 7 learners in 2 courses on {site.url}"
        assert "To enroll: 7" in lines
        assert any(line.startswith(f"{missing} is refused: ") for line in lines)
        assert any(line.startswith("E-mail would go to those for whom") for line in lines)
        await until(lambda: not asked.buttons)
        asked.buttons = {"again": "go"}
        ann.press(asked, "again")  # as somebody with an old screen can
        await until(lambda: len(telegram.notices) == 2)
        assert telegram.notices == ["", "This question is closed. Send the roster again."]
        mallory = telegram.person(666)
        mallory.press(await migrate_unanswered(telegram, ann), "Yes, without e-mail")
        ann.say("/help")
        await ann.hear("/who")
    assert len(telegram.notices) == 2
    assert not site.enrollments
    assert not names_in(tmp_path)


async def migrate_unanswered(telegram: Telegram, person: Person) -> Said:
    person.heard.clear()
    person.attach("/migrate", telegram.upload(roster(["learner1"]), "people.csv"))
    return await person.hear("Go ahead?")


async def test_a_sync_shows_what_differs_before_it_starts(
    telegram: Telegram, site: Platform, tmp_path: Path
) -> None:
    ann = telegram.person(1)
    for who in people(0, 40):
        site.enroll(who, COURSE)
    wanted = roster([*people(5, 45), "new@example.org"])
    async with serving(telegram, site, tmp_path):
        asked = await migrate(telegram, ann, wanted, "No", command="/sync")
        for line in (
            f"people.csv, compared with 1 course on {site.url}",
            f"{COURSE}: 40 enrolled",
            "- 5 to enroll: learner40, learner41, learner42, learner43, learner44",
            "- 1 to enroll or invite, for no listing shows them: new@example.org",
        ):
            assert line in asked.text.splitlines()
        assert "- 5 not in the roster, but stay: learner" in asked.text
        await until(lambda: not asked.buttons)
        assert enrolled(site) == 40
        asked = await migrate(telegram, ann, wanted, "Yes, with e-mail", command="/sync remove")
        assert "- 5 to unenroll: learner0, learner1, learner2, learner3, learner4" in asked.text
        await ann.hear("Finished\n11 of 11 as asked")
        assert {record.username for record in site.enrollments if record.is_active} == {
            *people(5, 45)
        }
        assert len(site.outbox) == 6
        ann.attach("/sync remove", telegram.upload(roster(people(5, 45)), "people.csv"))
        await ann.hear("In sync: there is nothing to do.")
        ann.attach("/sync remove", telegram.upload(roster(["learner5"]), "people.csv"))
        said = await ann.hear("max_removals")
        ann.attach("/sync everything", telegram.upload(roster(["learner5"]), "people.csv"))
        await ann.hear("/sync remove also unenrolls")
    assert "Go ahead?" not in said.text
    assert enrolled(site) == 40


@pytest.mark.parametrize(("answer", "mails"), [("without e-mail", 0), ("with e-mail", 1)])
async def test_mail_leaves_only_where_it_was_agreed_to(
    telegram: Telegram, site: Platform, tmp_path: Path, answer: str, mails: int
) -> None:
    ann = telegram.person(1)
    async with serving(telegram, site, tmp_path):
        site.enroll("learner2", COURSE)
        await migrate(telegram, ann, roster(["learner1", "learner2"]), f"Yes, {answer}")
        await ann.hear("2 of 2 as asked")
    assert len(site.outbox) == mails


async def test_a_migration(telegram: Telegram, site: Platform, tmp_path: Path) -> None:
    ann = telegram.person(1)
    async with serving(telegram, site, tmp_path):
        everybody = roster([*people(0, 180), "nobody1", "nobody2"])
        await migrate(telegram, ann, everybody)
        progress = await ann.hear(" of 182")
        ending = await ann.hear("Finished")
    assert ending.text == "Finished\n180 of 182 as asked"
    assert len(progress.texts) >= 2
    gaps = [
        after - before for before, after in zip(progress.times, progress.times[1:], strict=False)
    ]
    assert min(gaps) > PACE
    counts = [int(text.split()[0]) for text in progress.texts]
    assert counts == sorted(set(counts))
    assert enrolled(site) == 180
    assert ann.heard[-1].file_name == "failures.csv"
    assert named(ann.heard[-1]) == ["nobody1", "nobody2"]
    assert len(ann.heard) == 4
    assert not names_in(tmp_path)  # nothing is kept of a job that is done


async def test_a_migration_outlives_trouble_with_its_progress(
    telegram: Telegram, site: Platform, tmp_path: Path
) -> None:
    ann = telegram.person(1)
    telegram.failing["editMessageText"] = (429, "Too Many Requests: retry after 5")
    async with serving(telegram, site, tmp_path):
        await migrate(telegram, ann, roster(people(0, 100)))
        await ann.hear("100 of 100 as asked")
    assert enrolled(site) == 100


async def test_a_roster_that_takes_long_to_read_holds_nobody_up(
    telegram: Telegram, site: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = telegram.person(1), telegram.person(2)
    reading, go_on = threading.Event(), threading.Event()

    class LongRoster(Roster):
        @classmethod
        def read(cls, path: Path) -> Roster:  # type: ignore[override]  # as the bot reads
            reading.set()
            assert go_on.wait(2), "whoever was to answer others has waited for this"
            return Roster.read(path)

    async with serving(telegram, site, tmp_path) as module:
        assert module.BotJob
        monkeypatch.setattr(sys.modules["bot_job"], "Roster", LongRoster)
        ann.attach("/migrate", telegram.upload(roster(["learner1"]), "people.csv"))
        await until(reading.is_set)
        bob.say(f"/enroll learner2 {COURSE}")
        await bob.hear("as requested")
        go_on.set()
        await ann.hear("1 learner in 1 course")


async def test_three_people_at_once(telegram: Telegram, site: Platform, tmp_path: Path) -> None:
    """Who asks for one call waits for a place in the window, not for a migration to end."""
    ann, bob, cid = (telegram.person(number) for number in (1, 2, 3))
    async with serving(telegram, site, tmp_path):
        await migrate(telegram, ann, roster(people(0, 160)))
        await until(lambda: enrolled(site) > 0)
        for who in people(160, 163):
            begun = len(site.requests)
            bob.say(f"/enroll {who} {COURSE}")
            cid.say(f"/unenroll {who} {COURSE}")
            await bob.hear("as requested")
            await cid.hear("as requested")
            bob.heard.clear()
            cid.heard.clear()
            pairs = [request.pairs for request in site.requests[begun:]]
            assert pairs.count(1) == 2
            assert pairs.index(1) < WINDOW.calls
        assert not any("Finished" in said.text for said in ann.heard)
        await ann.hear("160 of 160 as asked")


async def test_a_migration_is_stopped_by_whose_it_is(
    telegram: Telegram, site: Platform, tmp_path: Path
) -> None:
    ann, bob = telegram.person(1), telegram.person(2)
    async with serving(telegram, site, tmp_path):
        await migrate(telegram, ann, roster(people(0, 120)))
        await migrate(telegram, bob, roster(people(120, 140)))
        await until(lambda: enrolled(site) > 20)
        ann.attach("/migrate", telegram.upload(roster(people(0, 120)), "people.csv"))
        await ann.hear("One at a time")
        ann.say("/cancel")
        ending = await ann.hear("Stopped: the job was asked to stop")
        await bob.hear("20 of 20 as asked")
        done = sum(site.is_enrolled(who, COURSE) for who in people(0, 120))
        assert f"{done} of 120 as asked\n{120 - done} left. /resume continues." in ending.text
        assert 0 < done < 120
        ann.heard.clear()
        ann.say("/resume")
        await ann.hear("Finished\n120 of 120 as asked")
        assert any(
            int(said.texts[0].split()[0]) >= done for said in ann.heard if len(said.texts) > 1
        )
    assert enrolled(site) == 140
    assert not names_in(tmp_path)


async def test_what_was_stopped_waits_and_what_was_interrupted_goes_on(
    telegram: Telegram, site: Platform, tmp_path: Path
) -> None:
    ann, bob = telegram.person(1), telegram.person(2)
    async with serving(telegram, site, tmp_path):
        await migrate(telegram, ann, roster(people(0, 80)))
        await migrate(telegram, bob, roster(people(100, 180)))
        await until(lambda: enrolled(site) > 20)
        ann.say("/cancel")
        await ann.hear("/resume continues")
    assert "I go on when I am back" in bob.heard[-1].text
    before = sum(site.is_enrolled(who, COURSE) for who in people(0, 80))
    bob.heard.clear()
    async with serving(telegram, site, tmp_path):
        await bob.hear("Finished\n80 of 80 as asked")
        assert sum(site.is_enrolled(who, COURSE) for who in people(0, 80)) == before
        asked = await migrate(telegram, ann, roster(["learner99"]))
        assert "The unfinished job would be forgotten; /resume continues it instead" in asked.text
        await ann.hear("1 of 1 as asked")
        ann.say("/resume")
        await ann.hear("Nothing to resume")


async def test_the_whole_program_ends_in_good_order(
    telegram: Telegram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = telegram.person(1)
    module = program("telegram_bot")
    made: list[Dispatcher] = []

    def commands(*arguments: Any) -> Dispatcher:
        made.append(written(*arguments))
        return made[0]

    written = module.commands
    monkeypatch.setattr(module, "commands", commands)
    # Where Telegram is and how small calls are is all that differs from the example.
    monkeypatch.setattr(module, "Bot", partial(module.Bot, session=session_at(telegram)))
    monkeypatch.setattr(module, "EnrollmentClient", partial(EnrollmentClient, **SETTINGS))
    monkeypatch.setenv("BOT_STAFF", "1,2")
    monkeypatch.setenv("BOT_TOKEN", TOKEN)
    monkeypatch.setenv("BOT_JOBS", str(tmp_path / "jobs"))
    async with platform_of(seconds_per_call=0.35) as site:
        monkeypatch.setenv("ASYNC_ENROLL_URL", site.url)
        monkeypatch.setenv("ASYNC_ENROLL_TOKEN", site.token)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(module.main)
            await migrate(telegram, ann, roster(people(0, 200)))
            await until(lambda: enrolled(site) > 10)
            await made[0].stop_polling()
        ending = f"Stopped: the job was asked to stop\n{enrolled(site)} of 200"
        assert ann.heard[-1].text.startswith(ending)
        assert "job.db" in names_in(tmp_path / "jobs" / "1")
