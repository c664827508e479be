"""`undo` and `report --verify`: what they print, ask and return."""

import json
import stat
import sys
from collections import Counter
from pathlib import Path

import anyio
import pytest

from async_enroll.sandbox import Fault, Faults, Platform
from tests.cli.command import C0, C1, environment, names_in, roster_file, run
from tests.cli.test_terminal import at_a_terminal


@pytest.fixture
async def journal(platform: Platform, tmp_path: Path) -> Path:
    """The journal of a job that has enrolled five learners of whom others have removed one."""
    platform.enroll("learner5", C0)
    rows = [*(f"learner{number},{C0}" for number in range(6)), f"new@example.org,{C1}"]
    roster = roster_file(tmp_path / "r.csv", *rows)
    journal = tmp_path / "job.db"
    command = ("apply", roster, "--yes", "--quiet", "--journal", journal)
    assert (await run(*command, env=environment(platform))).status == 0
    out = roster_file(tmp_path / "out.csv", f"learner4,{C0}")
    unenroll = ("--action", "unenroll", "--yes", "--quiet")
    assert (await run("apply", out, *unenroll, env=environment(platform))).status == 0
    return journal


def enrolled(platform: Platform) -> set[str]:
    return {row.username for row in platform.enrollments if row.is_active}


async def test_dry_run_tells_all_and_changes_nothing(platform: Platform, journal: Path) -> None:
    env = environment(platform)
    before = enrolled(platform)
    ended = await run("undo", journal, "--dry-run", env=env)
    assert (ended.status, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0] == "undo of job.db"
    assert lines[1].split() == ["enrollments", "5", "unenroll", "5"]
    assert lines[lines.index("Left alone: 2 enrollments") :] == [
        "Left alone: 2 enrollments",
        "  1: the job has not changed it",
        f"    learner5 in {C0}",
        "  1: it has changed since",
        f"    learner4 in {C0}",
    ]
    ended = await run("undo", journal, "--dry-run", "--json", env=env)
    told = json.loads(ended.out)
    assert Counter(one["action"] for one in told["undo"]) == {"unenroll": 5}
    assert told["left_alone"] == [
        {"identifier": "learner5", "course_id": C0, "reason": "the job has not changed it"},
        {"identifier": "learner4", "course_id": C0, "reason": "it has changed since"},
    ]
    assert (told["plan"]["pairs"], told["not_sent"], told["keep_cohort"]) == (5, 0, 0)
    assert enrolled(platform) == before
    assert names_in(journal.parent) == ["job.db", "job.db.lock", "out.csv", "r.csv"]


async def test_undone_and_its_undo_undone(platform: Platform, journal: Path) -> None:
    env = environment(platform)
    before = enrolled(platform)
    ended = await run("undo", journal, "--yes", env=env)
    assert ended.status == 0
    assert "unenrolled" in ended.out
    assert f"learner4 in {C0}" in ended.err
    assert enrolled(platform) == {"learner5"}
    undo = journal.with_name("job.undo.db")
    assert stat.S_IMODE((await anyio.Path(undo).stat()).st_mode) == 0o600
    ended = await run("resume", journal, env=env)
    assert (ended.status, ended.out) == (2, "")
    assert "an undo of this job began on " in ended.err
    ended = await run("report", journal, env=env)
    assert ended.err.startswith("an undo of this job began on 20")
    ended = await run("report", undo, env=env)
    assert ended.err.splitlines() == [
        "the undo leaves 1 enrollment alone: the job has not changed it",
        "the undo leaves 1 enrollment alone: it has changed since",
    ]
    calls = len(platform.requests)
    ended = await run("undo", journal, "--yes", env=env)
    assert (ended.status, ended.out) == (0, "")
    assert "to undo what is left: use a new --undo-journal" in ended.err
    assert len(platform.requests) == calls
    ended = await run("undo", journal, "--dry-run", env=env)
    assert ended.status == 0
    assert ended.err.startswith("an undo of this job began on 20")
    assert ended.err.endswith("; another undo needs a new --undo-journal\n")
    ended = await run("undo", undo, "--yes", "--quiet", "--json", env=env)
    assert json.loads(ended.out)["counts"] == {"enrolled": 4, "allowed": 1}
    assert enrolled(platform) == before
    assert not platform.outbox


async def test_the_journal_of_another_undo_is_left_alone(
    platform: Platform, journal: Path, tmp_path: Path
) -> None:
    env = environment(platform)
    roster = roster_file(tmp_path / "other.csv", f"learner6,{C0}")
    other = tmp_path / "other.db"
    await run("apply", roster, "--yes", "--journal", other, env=env)
    before = enrolled(platform)
    await run("undo", other, "--yes", "--undo-journal", tmp_path / "job.undo.db", env=env)
    ended = await run("undo", journal, "--yes", env=env)
    assert ended.status == 2
    assert ended.err == (
        f"error: {tmp_path / 'job.undo.db'}: is the journal of another job; name a new file with "
        "--undo-journal\n"
    )
    ended = await run("undo", journal, "--yes", "--undo-journal", journal, env=env)
    assert ended.status == 2
    assert (
        ended.err
        == f"error: --undo-journal {journal}: is the journal of the job itself; name another file\n"
    )
    assert enrolled(platform) == before - {"learner6"}


async def test_where_nothing_is_left_to_undo(platform: Platform, tmp_path: Path) -> None:
    roster = roster_file(tmp_path / "r.csv", f"learner0,{C0}")
    platform.enroll("learner0", C0)
    journal, env = tmp_path / "job.db", environment(platform)
    await run("apply", roster, "--yes", "--journal", journal, env=env)
    ended = await run("undo", journal, "--yes", "--quiet", env=env)
    assert (ended.status, ended.err) == (0, "nothing is left to undo; nothing was sent\n")
    assert enrolled(platform) == {"learner0"}
    assert not journal.with_name("job.undo.db").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no such terminals there")
@pytest.mark.parametrize(("typed", "sent"), [(b"n\n", False), (b"y\n", True)])
async def test_asked_first(platform: Platform, journal: Path, typed: bytes, sent: bool) -> None:
    status, seen = await at_a_terminal("undo", str(journal), env=environment(platform), typed=typed)
    assert status == 0
    words = " ".join(seen.split())
    assert "Undo 5 enrollments of 5 learners in 2 courses on 127.0.0.1" in words
    assert ", without e-mail?" in words
    assert ("nothing was sent" in words) is not sent
    assert (enrolled(platform) == {"learner5"}) is sent


async def test_nobody_there_to_be_asked(platform: Platform, journal: Path) -> None:
    ended = await run("undo", journal, env=environment(platform))
    assert (ended.status, ended.out) == (2, "")
    assert "--yes goes ahead without" in ended.err


async def test_a_platform_that_cannot_be_asked(platform: Platform, journal: Path) -> None:
    env = {**environment(platform), "ASYNC_ENROLL_TOKEN": "wrong-token"}
    calls = len(platform.requests)
    for how in ("--yes", "--dry-run"):
        ended = await run("undo", journal, how, env=env)
        assert (ended.status, ended.out) == (2, "")
        assert ended.err.endswith("; nothing was sent\n")
    assert len(platform.requests) > calls
    assert not journal.with_name("job.undo.db").exists()
    ended = await run("report", journal, env=environment())
    assert "undone" not in ended.err


async def test_on_a_site_of_the_configuration_file(
    platform: Platform, journal: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "config" / "async-enroll"
    folder.mkdir(parents=True)
    token, config = folder / "school.token", folder / "config.toml"
    token.write_text(platform.token)
    token.chmod(0o600)
    config.write_text(f'[site.school]\nurl = "{platform.url}"\ntoken_file = "school.token"\n')
    env = {**environment(), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    assert (await run("undo", journal, "--site", "school", "--dry-run", env=env)).status == 0
    assert (await run("report", journal, "--site", "school", "--verify", env=env)).status == 1


async def test_an_undone_job_is_not_said_to_be_resumable(tmp_path: Path) -> None:
    journal = tmp_path / "job.db"
    rows = [f"learner{number},{C0}" for number in range(6)]
    roster = roster_file(tmp_path / "r.csv", *rows)
    command = ("apply", roster, "--yes", "--quiet", "--journal", journal)
    small = ("--batch-identifiers", "2", "--concurrency", "1", "--patience", "0.1")
    faults = Faults.schedule(dict.fromkeys((3, 4), Fault.UNAUTHORIZED))
    async with Platform(faults=faults) as platform:
        platform.add_course(C0)
        for number in range(6):
            platform.add_user(f"learner{number}", f"learner{number}@example.org")
        env = environment(platform)
        assert (await run(*command, *small, env=env)).status == 3
        ended = await run("report", journal, env=env)
        assert "if the job has stopped: async-enroll resume" in ended.err
        assert (await run("undo", journal, "--yes", "--quiet", env=env)).status == 0
        assert not enrolled(platform)
    ended = await run("report", journal, env=env)
    assert "have no result yet" in ended.err
    assert "an undo of this job began on 20" in ended.err
    assert "resume" not in ended.err


async def test_no_such_journal(platform: Platform, tmp_path: Path) -> None:
    for command in (("undo", "--yes"), ("report", "--verify")):
        ended = await run(*command, tmp_path / "none.db", env=environment(platform))
        assert ended.status == 2
        assert "there is no" in ended.err


async def test_verified(platform: Platform, journal: Path) -> None:
    env = environment(platform)
    ended = await run("report", journal, "--verify", env=env)
    assert (ended.status, ended.err) == (1, "")
    assert ended.out.splitlines() == [
        "No longer as reported",
        f"  learner4 in {C0}: enrolled; now: not enrolled",
        "Cannot be seen",
        f"  new@example.org in {C1}: waiting for registration or activation; "
        "now: no account has this address",
        "7 enrollments looked up",
        "  still as reported               5",
        "  no longer as reported           1",
        "  cannot be seen                  1",
    ]
    ended = await run("report", journal, "--verify", "--json", env=env)
    told = json.loads(ended.out)
    assert (ended.status, told["counts"]) == (
        1,
        {"holds": 5, "no_longer": 1, "cannot_be_seen": 1},
    )
    assert {one["identifier"]: one["holds"] for one in told["pairs"]} == {
        **{f"learner{number}": number != 4 for number in range(6)},
        "new@example.org": None,
    }
    platform.enroll("learner4", C0)
    ended = await run("report", journal, "--verify", env=env)
    assert ended.status == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--verify", "--format", "csv"), "--verify takes no other option than --json"),
        (("--json",), "--json belongs to --verify"),
        (("--verify",), "no site URL"),
    ],
)
async def test_unusable_arguments(journal: Path, arguments: tuple[str, ...], words: str) -> None:
    ended = await run("report", journal, *arguments, env=environment())
    assert (ended.status, ended.out) == (2, "")
    assert words in ended.err
