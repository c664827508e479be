"""`async-enroll diff` and `async-enroll sync`: what they print, write and return."""

import csv
import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from async_enroll.sandbox import Platform
from tests.cli.command import C0, C1, environment, names_in, roster_file, run
from tests.jobs.test_diff import site

QUIET = ("--yes", "--quiet")


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    """Thirty learners, all of them enrolled in three courses."""
    async with site(learners=30) as platform:
        platform.add_user("new", "new@example.org")
        yield platform


@pytest.fixture
def roster(tmp_path: Path) -> Path:
    """A class list without a course: two are missing, one is new, one is unknown."""
    known = [f"Learner{number:03}@Example.org" for number in range(2, 30)]
    return roster_file(tmp_path / "class.csv", *known, "new", "stranger@example.org", header="who")


def options(roster: Path, course: str = C0) -> tuple[str | Path, ...]:
    return (roster, "--columns", "identifier=who", "--course-id", course)


def count(platform: Platform, course_id: str = C0) -> int:
    return sum(row.is_active for row in platform.enrollments if row.course_id == course_id)


def posts(platform: Platform) -> list[str]:
    return [request.path for request in platform.requests if request.method == "POST"]


async def test_a_diff_is_a_table_with_names(platform: Platform, roster: Path) -> None:
    ended = await run("diff", *options(roster), env=environment(platform))
    assert (ended.status, ended.err) == (1, "")
    for name in ("course", "enrolled", "enroll", "unenroll", "unchanged", "not listed", "kept"):
        assert f" {name} " in f" {ended.out.splitlines()[1]} "
    row = next(line for line in ended.out.splitlines() if line.split()[1:] and "28" in line)
    assert row.split()[1:] == ["30", "1", "2", "28", "1", "0"]
    assert "  to enroll: new\n" in ended.out
    assert "  not in the roster: learner000, learner001\n" in ended.out
    assert "  not listed: stranger@example.org\n" in ended.out
    assert posts(platform) == []


async def test_in_sync(platform: Platform, tmp_path: Path) -> None:
    everybody = [f"learner{number:03},{C0}" for number in range(29)]
    roster = roster_file(tmp_path / "class.csv", *everybody)
    ended = await run("diff", roster, env=environment(platform))
    assert ended.status == 0
    assert ended.out.endswith("in sync\n")
    ended = await run("diff", roster, "--remove", env=environment(platform))
    assert ended.status == 1
    assert "to unenroll: learner029" in ended.out


async def test_rows_of_courses_that_are_not_compared_are_counted(
    platform: Platform, tmp_path: Path
) -> None:
    rows = [*(f"learner{number:03},{C0}" for number in range(30)), f"new,{C0}"]
    roster = roster_file(tmp_path / "class.csv", *rows)
    ended = await run("diff", roster, "--course-id", C1, env=environment(platform))
    assert ended.status == 0
    assert "ignored: 31 rows of courses that are not compared" in ended.out
    assert ended.out.endswith("in sync\n")
    ended = await run("diff", roster, "--course-id", C1, "--remove", env=environment(platform))
    assert ended.status == 2
    assert "in sync" not in ended.out


async def test_as_json(platform: Platform, roster: Path) -> None:
    ended = await run("diff", *options(roster), "--remove", "--json", env=environment(platform))
    assert ended.status == 1
    told = json.loads(ended.out)
    assert told["in_sync"] is False
    assert told["refused"] == []
    assert told["courses"] == {
        C0: {
            "enrolled": 30,
            "to_enroll": ["new"],
            "returning": [],
            "not_looked_up": [],
            "to_unenroll": ["learner000", "learner001"],
            "unchanged": 28,
            "not_listed": ["stranger@example.org"],
            "kept": {},
            "withheld": None,
        }
    }


async def test_the_guard_refuses(platform: Platform, roster: Path, tmp_path: Path) -> None:
    changes = tmp_path / "changes.csv"
    bounded = (*options(roster), "--remove", "--max-removals", "1")
    ended = await run("diff", *bounded, "--output", changes, env=environment(platform))
    assert ended.status == 2
    assert (
        f"error: sync refused, nothing was sent: {C0}: would remove 2 of 30 learners, more than 1; "
        "--max-removals 2 allows it\n"
    ) in ended.err
    with changes.open(newline="", encoding="utf-8-sig") as file:
        assert {row["action"] for row in csv.DictReader(file)} == {"enroll"}
    ended = await run("sync", *bounded, *QUIET, env=environment(platform))
    assert (ended.status, ended.out) == (2, "")
    assert "would remove 2 of 30 learners" in ended.err
    assert posts(platform) == []


async def test_the_changes_are_a_roster(platform: Platform, roster: Path, tmp_path: Path) -> None:
    changes = tmp_path / "changes.csv"
    ended = await run(
        "diff", *options(roster), "--remove", "--output", changes, env=environment(platform)
    )
    assert ended.status == 1
    assert ended.err == f"3 changes, and 1 row of learners who are not listed: {changes}\n"
    assert stat.S_IMODE(changes.stat().st_mode) == 0o600
    ended = await run("apply", changes, *QUIET, env=environment(platform))
    assert ended.status == 0
    ended = await run("diff", *options(roster), "--remove", env=environment(platform))
    assert ended.status == 0
    assert platform.is_allowed("stranger@example.org", C0)
    ended = await run("diff", *options(roster), "--output", changes, env=environment(platform))
    assert ended.out.endswith("in sync\n")
    assert ended.err == f"0 changes, and 1 row of learners who are not listed: {changes}\n"


async def test_a_sync_tells_what_it_has_done(
    platform: Platform, roster: Path, tmp_path: Path
) -> None:
    keep, page = tmp_path / "keep.txt", tmp_path / "out.html"
    keep.write_text("LEARNER001\n")
    ended = await run(
        "sync", *options(roster), "--remove", "--keep", keep, "--yes", "--report", page,
        env=environment(platform),
    )  # fmt: skip
    assert ended.status == 0
    assert "unenrolled" in ended.out
    assert "  kept: learner001 (is to be kept)\n" in ended.err
    assert "sync: 2 added, 1 removed, 1 kept, 0 withheld\n" in ended.err
    assert "sync: 2 added, 1 removed, 1 kept, 0 withheld" in page.read_text()
    assert count(platform) == 30
    assert count(platform, C1) == 30


async def test_a_dry_run_sends_nothing(platform: Platform, roster: Path, tmp_path: Path) -> None:
    dry = ("sync", *options(roster), "--dry-run", "--remove")
    env = environment(platform)
    ended = await run(*dry, "--journal", tmp_path / "job.db", env=env)
    assert (ended.status, ended.err) == (0, "")
    assert "  to enroll: new\n" in ended.out
    assert "  enrollments            4   enroll 2 · unenroll 2\n" in ended.out
    ended = await run(*dry, "--max-removals", "1", env=env)
    assert ended.status == 2
    listed = [f"learner{number:03},{C0}" for number in range(30)]
    same = roster_file(tmp_path / "same.csv", *listed)
    ended = await run("sync", same, "--dry-run", env=env)
    assert (ended.status, ended.out.splitlines()[-1]) == (0, "in sync")
    assert posts(platform) == []
    assert not (tmp_path / "job.db").exists()


async def test_from_cron_with_a_journal(platform: Platform, roster: Path, tmp_path: Path) -> None:
    journal = tmp_path / "sync.db"
    command = ("sync", *options(roster), "--remove", *QUIET, "--journal", journal)
    ended = await run(*command, env=environment(platform))
    assert ended.status == 0
    assert ended.err == "sync: 2 added, 2 removed, 0 kept, 0 withheld\n"
    sent = len(posts(platform))
    ended = await run(*command, env=environment(platform))
    assert ended.status == 0
    assert "this job finished on" in ended.err
    assert len(posts(platform)) == sent
    ended = await run("report", journal, env=environment(platform))
    assert ended.status == 0
    assert "sync: 2 added, 2 removed, 0 kept, 0 withheld" in ended.err
    ended = await run("resume", journal, env=environment(platform))
    assert ended.status == 0


async def test_by_a_plan(platform: Platform, roster: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    ended = await run(
        "diff", *options(roster), "--remove", "--output", plan, env=environment(platform)
    )
    assert ended.status == 1
    ended = await run("sync", "--plan", plan, *QUIET, env=environment(platform))
    assert ended.status == 0
    assert count(platform) == 29
    ended = await run("sync", "--plan", plan, *QUIET, env=environment(platform))
    assert ended.status == 2
    assert "the platform has changed since the plan was made" in ended.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "expected either a roster or --plan"),
        (("{roster}", "--plan", "p.json", "--yes"), "expected either a roster or --plan"),
        (("--plan", "p.json", "--yes", "--remove"), "--plan has what is compared"),
        (("--plan", "{missing}", "--yes"), "No such file"),
        (("--plan", "{roster}", "--yes"), "expected the file of a planned sync"),
        (("{roster}",), "there is no terminal to ask for confirmation at; --yes"),
        (("{roster}", "--yes", "--max-removals", "0.2"), "--max-removals 0.2: expected a number"),
        (("{roster}", "--yes", "--max-removals", "120%"), "--max-removals 120%: expected"),
        (("{roster}", "--yes", "--max-removals", "nan%"), "--max-removals nan%: expected"),
        (("{roster}", "--yes", "--max-removals", "9" * 5000), "expected a number of people"),
        (("{roster}", "--yes", "--course-id", ""), "error: --course-id: is blank"),
        (("{roster}", "--yes", "--remove-mode", " "), "error: --remove-mode: is blank"),
        (("{roster}", "--yes", "--keep", "{missing}"), "error: --keep {missing}: No such file"),
        (("{roster}", "--yes", "--keep", "{roster}"), "error: --keep {roster}, line 1: found 'id"),
        (("{roster}", "--yes", "--journal", "{roster}"), "is the roster itself"),
    ],
)
async def test_unusable_arguments(
    platform: Platform, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    roster = roster_file(tmp_path / "r.csv", f"learner000,{C0}")
    given = [one.format(roster=roster, missing=tmp_path / "none") for one in arguments]
    ended = await run("sync", *given, env=environment(platform))
    assert (ended.status, ended.out) == (2, "")
    assert words.format(roster=roster, missing=tmp_path / "none") in ended.err
    assert posts(platform) == []
    assert names_in(tmp_path) == ["r.csv"]


async def test_with_rows_left_out_nobody_is_removed(platform: Platform, tmp_path: Path) -> None:
    """Of a learner whose row cannot be read, nobody knows that they are wanted."""
    rows = [f"learner{number:03},{C0}" for number in range(29)]
    roster = roster_file(tmp_path / "r.csv", *rows, f"learner 029,{C0}")
    arguments = ("sync", roster, "--skip-bad-rows", *QUIET)
    ended = await run(*arguments, "--remove", env=environment(platform))
    assert ended.status == 2
    assert ended.err.endswith(
        "error: sync refused, nothing was sent: 1 of the roster's rows cannot be read, and their "
        "learners would be removed; mend these rows; --max-removals none allows it\n"
    )
    assert count(platform) == 30
    ended = await run(*arguments, env=environment(platform))
    assert ended.status == 0
    ended = await run(*arguments, "--remove", "--max-removals", "none", env=environment(platform))
    assert ended.status == 0
    assert count(platform) == 29


async def test_a_course_is_emptied_with_none(platform: Platform, tmp_path: Path) -> None:
    roster = roster_file(tmp_path / "r.csv", f"stranger@example.org,{C0}", f"learner000,{C1}")
    narrowed = ("sync", roster, "--course-id", C0, "--remove", *QUIET)
    ended = await run(*narrowed, env=environment(platform))
    assert ended.status == 2
    assert "leave none" in ended.err
    ended = await run(*narrowed, "--max-removals", "none", env=environment(platform))
    assert ended.status == 0
    assert (count(platform), count(platform, C1)) == (0, 30)


async def test_withheld_removals_are_failures(roster: Path) -> None:
    async with site(learners=30, core_listing=False) as platform:
        platform.add_user("new", "new@example.org")
        ended = await run("sync", *options(roster), "--remove", *QUIET, env=environment(platform))
        assert ended.status == 1
        assert "removals are withheld: the token's own user" in ended.out
        assert f"nobody is removed from {C0}: the token's own user" in ended.err
        assert count(platform) == 31


async def test_nothing_to_do(platform: Platform, tmp_path: Path) -> None:
    roster = roster_file(tmp_path / "r.csv", f"learner000,{C0}")
    ended = await run("sync", roster, "--yes", env=environment(platform))
    assert ended.status == 0
    assert "in sync\n" in ended.err
    assert posts(platform) == []
