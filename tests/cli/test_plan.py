"""`async-enroll plan`: what it tells, and that it touches nobody."""

import json
from pathlib import Path

import pytest

from async_enroll.sandbox import Platform
from tests.cli.command import C0, C1, environment, roster_file, run


@pytest.fixture
def roster(tmp_path: Path) -> Path:
    rows = [f"learner{number},{course},red" for number in range(10) for course in (C0, C1)]
    return roster_file(tmp_path / "roster.csv", *rows, header="identifier,course_id,cohort")


async def test_without_a_site(roster: Path) -> None:
    ended = await run("plan", roster, env=environment())
    assert (ended.status, ended.err) == (0, "")
    lines = [line.split(maxsplit=2) for line in ended.out.splitlines()]
    assert lines[1:] == [
        ["enrollments", "20", "enroll 20"],
        ["learners", "10"],
        ["courses", "2", "with 2 cohorts"],
        ["calls", "1", "at most 500 enrollments each"],
        ["shortest", "0:00:00", "120 calls in 60 s"],
        ["expected", "0:00:00", "at 20 ms per enrollment, 8 calls at once"],
    ]


async def test_as_json(roster: Path) -> None:
    tuning = ("--batch-pairs", "1", "--window-calls", "5", "--window-seconds", "10")
    ended = await run("plan", roster, "--json", *tuning, env=environment())
    told = json.loads(ended.out)
    assert told["roster"] == str(roster)
    assert (told["pairs"], told["calls"], told["unsendable"]) == (20, 20, 0)
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


@pytest.mark.parametrize(
    ("option", "words"),
    [("--columns", "expected our name, =, and theirs"), ("--where", "expected a column, =, and")],
)
async def test_an_unusable_option(roster: Path, option: str, words: str) -> None:
    ended = await run("plan", roster, option, "identifier", env=environment())
    assert ended.status == 2
    assert words in ended.err


@pytest.mark.parametrize("command", ["plan", "apply"])
async def test_what_cannot_be_sent_is_known_before(
    platform: Platform, tmp_path: Path, command: str
) -> None:
    rows = [f"learner0,{C0}", "learner1,course-v1:Org", f"learner 2,{C0}", f"a@b,{C0}"]
    roster = roster_file(tmp_path / "roster.csv", *rows)
    options = ["--yes"] if command == "apply" else ["--preflight"]
    ended = await run(command, roster, *options, env=environment(platform))
    assert ended.status == 2
    assert [line.split(":")[0].strip() for line in ended.err.splitlines()[1:]] == [
        "line 3, column course_id",
        "line 4, column identifier",
        "line 5, column identifier",
    ]
    assert platform.enrollments == []
    skipping = await run("plan", roster, "--skip-bad-rows", "--json", env=environment())
    assert (skipping.status, json.loads(skipping.out)["pairs"]) == (0, 1)


async def test_which_rows_count(tmp_path: Path) -> None:
    rows = [f"learner0,{C0},active,Zoe", f"learner1,{C0},deleted,Max"]
    roster = roster_file(tmp_path / "roster.csv", *rows, header="user,course,status,First name")
    refused = await run("plan", roster, env=environment())
    assert refused.status == 2
    assert "--where status=active" in refused.err
    chosen = await run("plan", roster, "--where", "status=active", "--json", env=environment())
    told = json.loads(chosen.out)
    assert (told["pairs"], told["unused_columns"]) == (1, ["First name"])
    assert "1 row is left out by --where" in chosen.err
    ignored = await run("plan", roster, "--ignore-column", "status", env=environment())
    assert ignored.status == 0
    assert "columns that are not used: 'status', 'First name'" in ignored.out


async def test_a_file_without_a_header(tmp_path: Path) -> None:
    roster = roster_file(tmp_path / "roster.csv", f"{C1},b@x.org", header=f"{C0},a@x.org")
    refused = await run("plan", roster, env=environment())
    assert refused.status == 2
    assert "say --no-header" in refused.err
    told = await run("plan", roster, "--no-header", "--json", env=environment())
    assert json.loads(told.out)["pairs"] == 2


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
    for mail in ([], ["--email-changed"]):
        unwarned = await run("apply", roster, "--yes", "--quiet", *mail, env=environment(platform))
        assert unwarned.err == ""


async def test_rows_that_cannot_be_sent_are_named(tmp_path: Path) -> None:
    long = "\U0001f600" * 200  # within 255 characters, yet of many bytes
    rows = [f"learner{number},{C0},{long}" for number in range(25)] + [f"learner99,{C0},red"]
    roster = roster_file(tmp_path / "r.csv", *rows, header="identifier,course_id,cohort")
    small = ("--batch-bytes", "16384")
    ended = await run("plan", roster, *small, env=environment())
    assert ended.status == 0
    told = ended.out[ended.out.index("25 enrollments cannot be sent and will fail:\n") :]
    lines = told.splitlines()[1:]
    assert len(lines) == 21
    why = "the cohort's name is longer than 682 bytes"
    assert lines[0] == f"    line 2: learner0 in {C0}: {why}"
    assert lines[-1] == "    … and 5 more; plan --json lists all"
    ended = await run("plan", roster, *small, "--json", env=environment())
    assert json.loads(ended.out)["cannot_be_sent"] == [
        {"line": 2 + number, "identifier": f"learner{number}", "course_id": C0, "reason": why}
        for number in range(25)
    ]


async def test_all_bad_rows_as_json(tmp_path: Path) -> None:
    roster = roster_file(tmp_path / "r.csv", *[f",{C0}"] * 150)
    ended = await run("plan", roster, "--json", env=environment())
    assert ended.status == 2
    assert "… and 50 more" in ended.err
    told = json.loads(ended.out)
    assert (told["count"], len(told["problems"])) == (150, 150)
    assert told["problems"][149].startswith("line 151, column identifier: ")


async def test_items_of_a_line_are_numbered(tmp_path: Path) -> None:
    roster = tmp_path / "r.json"
    items = [{"email": "jane@example.org", "course": C0}, {"email": "", "course": C0}]
    roster.write_text(json.dumps([*items, *items]))
    ended = await run("plan", roster, env=environment())
    assert ended.status == 2
    assert [line.split(",")[0].strip() for line in ended.err.splitlines()[1:]] == [
        "item 2",
        "item 4",
    ]


async def test_the_calls_that_mail_only_whom_they_change(tmp_path: Path) -> None:
    rows = [f"learner{number},{course}" for number in range(300) for course in (C0, C1)]
    roster = roster_file(tmp_path / "roster.csv", *rows)
    ended = await run("plan", roster, "--email-changed", env=environment())
    lines = [line.split(maxsplit=3) for line in ended.out.splitlines()]
    assert ["to", "e-mail", "4", "more calls at most, for those who are newly in"] in lines
    ended = await run("plan", roster, "--email-changed", "--json", env=environment())
    told = json.loads(ended.out)
    assert (told["calls"], told["mail_calls"]) == (2, 4)
    ended = await run("plan", roster, "--email-students", "--json", env=environment())
    told = json.loads(ended.out)
    assert (told["calls"], told["mail_calls"]) == (2, 0)
    both = await run("plan", roster, "--email-changed", "--email-students", env=environment())
    assert both.status == 2
    assert "--email-students and --email-changed are both given" in both.err
