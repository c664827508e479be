"""A job that is killed again and again, and gone on with each time, often from a lone copy."""

import os
import random
import shutil
import sys
from pathlib import Path
from subprocess import PIPE

import anyio
import pytest

from async_enroll import ConfigurationError, EnrollmentClient, Roster
from async_enroll.journal.store import Store
from async_enroll.sandbox import Platform
from tests.account import assert_account

KILLS = 15
LEARNERS, COURSES = 5_000, 10


def roster_file(path: Path) -> Path:
    rows = [
        f"learner{learner:06}@example.org,course-v1:Demo+C{course:03}+2026"
        for learner in range(1, LEARNERS + 1)
        for course in range(1, COURSES + 1)
    ]
    path.write_text("\n".join(["email,course_id", *rows, ""]))
    return path


def move(journal: Path, copy: Path) -> bool:
    """Replace a journal by a copy of its file alone, if that is taken for whole."""
    shutil.copy(journal, copy)
    try:
        Store(copy, writable=True).close()
    except ConfigurationError:
        return False
    copy.replace(journal)
    Path(f"{journal}-journal").unlink(missing_ok=True)
    return True


@pytest.mark.parametrize("seed", [1])
async def test_killed_again_and_again(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    roster = roster_file(tmp_path / "roster.csv")
    journal = tmp_path / "job.db"
    async with Platform(window=None, seconds_per_call=0.15) as platform:
        platform.seed(LEARNERS, COURSES)
        environment = {
            **os.environ,
            "ASYNC_ENROLL_URL": platform.url,
            "ASYNC_ENROLL_TOKEN": platform.token,
        }
        command = [sys.executable, "-m", "tests.journal.job", str(journal)]
        kills = moved = 0
        for _ in range(KILLS):
            arguments = [] if journal.exists() else [str(roster)]
            async with await anyio.open_process(
                [*command, *arguments], stdout=PIPE, stderr=None, env=environment
            ) as process:
                assert process.stdout
                try:
                    await process.stdout.receive()
                except anyio.EndOfStream:
                    break
                await anyio.sleep(chance.uniform(0, 0.2))
                process.kill()
                kills += 1
            moved += move(journal, tmp_path / f"job{kills}.db")
        assert kills == KILLS
        assert moved > KILLS / 2
        await anyio.run_process([*command], stdout=None, stderr=None, env=environment)
        calls = len(platform.requests)
        async with EnrollmentClient(platform.url, platform.token) as client:
            entries = Roster.read(roster)
            report = await client.apply(entries, journal=journal, email_students=True)
        assert len(platform.requests) == calls
        pairs = [(entry.identifier, entry.course_id) for entry in entries]
        assert_account(report, platform, pairs)
        assert report.ok
