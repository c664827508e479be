"""`async-enroll plan`: what it tells, and that it touches nobody."""

import json
from pathlib import Path

import pytest

from async_enroll.sandbox import Platform
from tests.cli.command import C0, C1, environment, roster_file, run


@pytest.fixture
def roster(tmp_path: Path) -> Path:
    rows = [f"learner{number},{course},red" for number in range(10) for course in (C0, C1)]
    return roster_file(
        tmp_path / "roster.csv", *rows, "a b,c,", header="identifier,course_id,cohort"
    )


async def test_without_a_site(roster: Path) -> None:
    ended = await run("plan", roster, env=environment())
    assert (ended.status, ended.err) == (0, "")
    lines = [line.split(maxsplit=2) for line in ended.out.splitlines()]
    assert lines[1:] == [
        ["enrollments", "21", "enroll 20"],
        ["learners", "11"],
        ["courses", "3", "with 2 cohorts"],
        ["calls", "1", "at most 500 enrollments each"],
        ["shortest", "0:00:00", "120 calls in 60 s"],
        ["expected", "0:00:00", "at 20 ms per enrollment, 8 calls at once"],
        ["1", "enrollment", "cannot be sent and will fail"],
    ]


async def test_as_json(roster: Path) -> None:
    tuning = ("--batch-pairs", "1", "--window-calls", "5", "--window-seconds", "10")
    ended = await run("plan", roster, "--json", *tuning, env=environment())
    told = json.loads(ended.out)
    assert told["roster"] == str(roster)
    assert (told["pairs"], told["calls"], told["unsendable"]) == (21, 20, 1)
    assert told["shortest_seconds"] == 30
    assert told["actions"] == {"enroll": 20}


async def test_preflight_touches_nobody(platform: Platform, roster: Path, tmp_path: Path) -> None:
    ended = await run("plan", roster, "--preflight", env=environment(platform))
    assert ended.status == 0
    assert "the platform takes all courses and cohorts" in ended.out
    bad = roster_file(
        tmp_path / "bad.csv",
        f"learner1,{C0},green",
        "learner1,course-v1:Org+None+2026,",
        f"learner1,{C1},blue",
        header="identifier,course_id,cohort",
    )
    ended = await run("plan", bad, "--preflight", "--json", env=environment(platform))
    assert ended.status == 1
    assert set(json.loads(ended.out)["refused"]) == {
        f"{C0}, cohort green",
        "course-v1:Org+None+2026",
    }
    ended = await run("plan", bad, "--preflight", env=environment(platform))
    assert f"✗ {C0}, cohort green: " in ended.out
    assert platform.enrollments == []
    assert platform.audit == []
    assert platform.outbox == []


async def test_a_platform_that_cannot_be_asked(roster: Path) -> None:
    env = {**environment(), "ASYNC_ENROLL_URL": "http://127.0.0.1:1", "ASYNC_ENROLL_TOKEN": "t-o-k"}
    ended = await run("plan", roster, "--preflight", env=env)
    assert ended.status == 3


async def test_an_unusable_option(roster: Path) -> None:
    ended = await run("plan", roster, "--columns", "identifier", env=environment())
    assert ended.status == 2
    assert "expected our name, =, and theirs" in ended.err


@pytest.mark.parametrize("option", ["--concurrency", "--settle"])
async def test_unusable_tuning(tmp_path: Path, option: str) -> None:
    roster = roster_file(tmp_path / "roster.csv", f"jane@example.org,{C0}")
    ended = await run("plan", roster, option, "0", env=environment())
    assert ended.status == 2
    assert f"{option} 0: expected" in ended.err


async def test_who_may_be_mailed_twice(platform: Platform, tmp_path: Path) -> None:
    roster = roster_file(tmp_path / "roster.csv", f"learner0,{C0}", f"learner1@example.org,{C0}")
    words = "warning: 1 course names learners by username and by e-mail address"
    quiet = await run("plan", roster, env=environment())
    assert quiet.err == ""
    planned = await run("plan", roster, "--email-students", "--json", env=environment())
    assert words in planned.err
    assert [f"warning: {told}" in planned.err for told in json.loads(planned.out)["warnings"]] == [
        True
    ]
    applied = await run(
        "apply", roster, "--email-students", "--yes", "--quiet", env=environment(platform)
    )
    assert (applied.status, words in applied.err) == (0, True)
    unmailed = await run("apply", roster, "--yes", "--quiet", env=environment(platform))
    assert unmailed.err == ""
