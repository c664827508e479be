"""`async-enroll apply`: what it prints, writes and returns."""

import csv
import json
import signal
import stat
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest

from async_enroll import JournalReport
from async_enroll.sandbox import Platform
from tests.cli.command import C0, C1, COMMAND, environment, roster_file, run

APPLY = ("apply", "--yes", "--quiet")


@pytest.fixture
def roster(tmp_path: Path) -> Path:
    return roster_file(tmp_path / "roster.csv", f"learner0,{C0}", f"new@example.org,{C1}")


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    """A roster with one pair that fails."""
    return roster_file(tmp_path / "faulty.csv", f"learner0,{C0}", f"nobody,{C1}")


async def test_all_well(platform: Platform, roster: Path) -> None:
    ended = await run(*APPLY, roster, env=environment(platform))
    assert (ended.status, ended.err) == (0, "")
    assert "enrolled" in ended.out
    assert "Failed" not in ended.out
    assert platform.is_enrolled("learner0", C0)
    assert platform.is_allowed("new@example.org", C1)
    assert platform.outbox == []


async def test_some_pairs_fail(platform: Platform, faulty: Path) -> None:
    ended = await run(*APPLY, faulty, env=environment(platform))
    assert ended.status == 1
    assert "Failed\n1 not a valid address or user\n" in ended.out
    assert f"\n  nobody  {C1}\n" in ended.out
    assert platform.is_enrolled("learner0", C0)


async def test_the_culprits_are_named_with_their_reasons_and_no_others(tmp_path: Path) -> None:
    async with Platform() as platform:
        platform.add_course(C0, cohorts=["red"])
        platform.add_course(C1, forbidden=True)
        platform.add_user("poison", "poison@example.org", poisonous=True)
        rows = [f"someone{number}@example.org,{C0},red" for number in range(20)]
        rows += [
            f"poison,{C0},red",
            f"nobody@example.org,{C0},green",
            f"nobody@example.org,{C1},",
            "nobody@example.org,course-v1:Org+None+2026,",
        ]
        header = "identifier,course_id,cohort"
        roster = roster_file(tmp_path / "r.csv", *rows, header=header)
        ended = await run(*APPLY, roster, "--email-students", env=environment(platform))
        assert len(platform.outbox) == len({mail.to for mail in platform.outbox})
    assert ended.status == 1
    failures = ended.out[ended.out.index("Failed") : ended.out.index("\nThe learners")]
    assert failures.count("nobody@example.org") == 3
    assert failures.count("  poison ") == 1
    assert "someone" not in failures
    for reason in (
        "the platform fails on this learner",
        "cohort green not found in course [course]",
        "the platform fails on this course",
        "the course does not exist",
    ):
        assert failures.count(reason) == 1


async def test_the_first_fifty_failures_are_shown(platform: Platform, tmp_path: Path) -> None:
    rows = [f"nobody{number},{C0}" for number in range(53)]
    roster = roster_file(tmp_path / "r.csv", *rows)
    ended = await run(*APPLY, roster, env=environment(platform))
    assert ended.status == 1
    assert ended.out.count(C0) == 50
    assert "  … and 3 more\n" in ended.out
    again = (
        "to apply the roster again, and have all failures in a file:\n"
        f"  async-enroll apply {roster} --report FILE.csv\n"
    )
    assert again in ended.out


async def test_words_of_others_are_no_commands_to_a_terminal(
    platform: Platform, tmp_path: Path
) -> None:
    header = "identifier,course_id,cohort"
    roster = roster_file(tmp_path / "r.csv", f"learner0,{C0},[bold]", header=header)
    ended = await run(*APPLY, roster, env=environment(platform))
    assert ended.status == 1
    assert "cohort [bold] not found" in ended.out
    roster = roster_file(tmp_path / "r.csv", f"[bold]\x1b[2J,{C0}")
    ended = await run(*APPLY, roster, env=environment(platform))
    assert ended.status == 2
    assert r"[bold]\x1b[2J" in ended.err


async def test_from_standard_input(platform: Platform) -> None:
    stdin = f"identifier,course_id\nlearner0,{C0}\n".encode()
    ended = await run(*APPLY, "-", env=environment(platform), stdin=stdin)
    assert ended.status == 0
    assert platform.is_enrolled("learner0", C0)


async def test_mail_and_registration_are_choices(platform: Platform, roster: Path) -> None:
    arguments = ("--email-students", "--no-auto-enroll")
    ended = await run(*APPLY, roster, *arguments, env=environment(platform))
    assert ended.status == 0
    assert len(platform.outbox) == 2
    platform.add_user("new", "new@example.org")
    assert not platform.is_enrolled("new", C1)


async def test_the_reason_stands_in_the_journal_and_on_the_page(
    platform: Platform, roster: Path, tmp_path: Path
) -> None:
    env, journal, page = environment(platform), tmp_path / "job.db", tmp_path / "page.html"
    because = ("--reason", "the <autumn> term", "--report", page)
    assert (await run(*APPLY, roster, *because, env=env)).status == 0
    assert "the &lt;autumn&gt; term" in page.read_text()
    page.unlink()
    assert (await run(*APPLY, roster, *because, "--journal", journal, env=env)).status == 0
    assert "the &lt;autumn&gt; term" in page.read_text()
    with JournalReport(journal) as kept:
        assert kept.description.reason == "the <autumn> term"


@pytest.mark.parametrize(
    ("reason", "words"),
    [("x" * 256, "has 256 characters"), (" ", "is blank"), ("\udcff", "holds half a character")],
)
async def test_a_reason_that_cannot_be_kept(
    platform: Platform, roster: Path, reason: str, words: str
) -> None:
    ended = await run(*APPLY, roster, "--reason", reason, env=environment(platform))
    assert (ended.status, ended.out) == (2, "")
    assert f"error: reason {words}; expected text of up to 255 characters" in ended.err
    assert platform.requests == []


async def test_calls_are_as_large_as_told(platform: Platform, roster: Path) -> None:
    tuning = ("--batch-pairs", "1", "--concurrency", "1")
    assert (await run(*APPLY, roster, *tuning, env=environment(platform))).status == 0
    assert [request.pairs for request in platform.requests] == [1] * 4  # half of them preflights


async def test_json_is_the_whole_report(platform: Platform, faulty: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    ended = await run(*APPLY, faulty, "--json", "--report", report, env=environment(platform))
    assert ended.status == 1
    told = json.loads(ended.out)
    assert told["counts"] == {"enrolled": 1, "invalid_identifier": 1}
    assert told == json.loads(report.read_text())


async def test_the_report_is_private(platform: Platform, faulty: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.csv"
    ended = await run(*APPLY, faulty, "--report", report, env=environment(platform))
    assert ended.status == 1
    assert ended.err == f"report of 2 enrollments: {report}\n"
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    with report.open(newline="", encoding="utf-8-sig") as file:
        rows = {(row["identifier"], row["outcome"], row["line"]) for row in csv.DictReader(file)}
    assert rows == {("learner0", "enrolled", "2"), ("nobody", "invalid_identifier", "3")}


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (
            "report.xls",
            "expected a file name ending in .csv or .json or .jsonl or .parquet or .xlsx or .html",
        ),
        ("missing/report.csv", "there is no directory"),
        ("taken.csv", "is a directory"),
        ("nowhere.csv", "is a broken link"),
    ],
)
async def test_a_report_that_cannot_be_written_is_found_first(
    platform: Platform, roster: Path, tmp_path: Path, place: str, words: str
) -> None:
    (tmp_path / "taken.csv").mkdir()
    (tmp_path / "nowhere.csv").symlink_to("missing.csv")
    ended = await run(*APPLY, roster, "--report", tmp_path / place, env=environment(platform))
    assert ended.status == 2
    assert words in ended.err
    assert platform.requests == []


async def test_an_unusable_roster(platform: Platform, tmp_path: Path) -> None:
    roster = tmp_path / "roster.csv"
    roster.write_text(f"email,course_id,action\na@example.org,{C0},enlist\n,{C0},\n")
    ended = await run(*APPLY, roster, env=environment(platform))
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == (
        f"error: {roster}: 2 problems; nothing was sent\n"
        "  line 2, column action: found 'enlist', expected enroll or unenroll\n"
        "  line 3, column email: found '', expected an e-mail address or a username\n"
    )
    assert platform.requests == []


async def test_a_missing_roster(platform: Platform, tmp_path: Path) -> None:
    ended = await run(*APPLY, tmp_path / "none.csv", env=environment(platform))
    assert (ended.status, ended.out) == (2, "")
    assert "no such file or directory" in ended.err


@pytest.mark.parametrize(
    "tuning",
    [("--concurrency", "0"), ("--window-calls", "0"), ("--batch-pairs", "0")],
)
async def test_unusable_tuning(platform: Platform, roster: Path, tuning: tuple[str, str]) -> None:
    ended = await run(*APPLY, roster, *tuning, env=environment(platform))
    assert ended.status == 2
    assert "expected" in ended.err
    assert platform.requests == []


@pytest.mark.parametrize(
    ("staff", "words"), [(None, "the token is not accepted"), (False, "may not do this")]
)
async def test_a_token_that_will_not_do(
    platform: Platform, roster: Path, staff: bool | None, words: str
) -> None:
    token = "wrong-token" if staff is None else platform.add_token(staff=staff)
    env = {**environment(platform), "ASYNC_ENROLL_TOKEN": token}
    ended = await run(*APPLY, roster, env=env)
    assert ended.status == 2
    assert f"error: {words}" in ended.err.replace("the token's user ", "")
    assert "; nothing was sent" in ended.err
    assert ended.out == ""  # a list of failures would be the roster
    ended = await run("sync", roster, "--yes", env=env)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.endswith("; nothing was sent\n")


async def test_an_endpoint_switched_off(roster: Path) -> None:
    async with Platform(bulk_enrollment_view=False) as platform:
        ended = await run(*APPLY, roster, env=environment(platform))
    assert ended.status == 2
    assert "error: the site has no such endpoint" in ended.err


async def test_nobody_listens(platform: Platform, roster: Path) -> None:
    env = {**environment(platform), "ASYNC_ENROLL_URL": "http://127.0.0.1:1"}
    ended = await run(*APPLY, roster, env=env)
    assert ended.status == 2
    assert "error: no connection to http://127.0.0.1:1" in ended.err
    assert ended.err.endswith("; nothing was sent\n")


async def test_nobody_listens_to_a_job_with_a_journal(
    platform: Platform, roster: Path, tmp_path: Path
) -> None:
    env = {**environment(platform), "ASYNC_ENROLL_URL": "http://127.0.0.1:1"}
    journal = tmp_path / "job.db"
    for status in (2, 3):  # what an earlier run has sent is not known
        ended = await run(*APPLY, roster, "--journal", journal, env=env)
        assert ended.status == status
        assert f"to continue: async-enroll resume {journal}" in ended.err
    assert (await run("resume", journal, env=env)).status == 3


@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
async def test_interrupted(tmp_path: Path, twice: bool) -> None:
    """Once: what is in flight is finished. Twice: it is cut off."""
    rows = [f"someone{number}@example.org,{C0}" for number in range(20)]
    roster, report = roster_file(tmp_path / "r.csv", *rows), tmp_path / "report.csv"
    tuning = ("--batch-pairs", "1", "--concurrency", "1")
    command = [*COMMAND, "apply", "--yes", str(roster), "--report", str(report), *tuning]
    async with Platform(seconds_per_call=0.5) as platform:
        platform.add_course(C0)
        async with await anyio.open_process(command, env=environment(platform)) as process:
            while len(platform.requests) < 4:
                await anyio.sleep(0.01)
            await anyio.sleep(0.2)  # well into the next call
            process.send_signal(signal.SIGINT)
            if twice:
                await anyio.sleep(0.1)
                process.send_signal(signal.SIGINT)
            assert process.stdout is not None
            assert process.stderr is not None
            out = b"".join([piece async for piece in process.stdout]).decode()
            err = b"".join([piece async for piece in process.stderr]).decode()
            assert await process.wait() == 130
    assert "Traceback" not in err
    assert "finishing the calls in flight; press Ctrl-C again to cancel them" in err
    assert err.endswith("error: interrupted\n")
    assert "waiting for registration or activation" in out
    outcomes = Counter(
        row["outcome"] for row in csv.DictReader(report.read_text("utf-8-sig").splitlines())
    )
    assert outcomes["allowed"] >= 2
    if twice:
        assert outcomes["unconfirmed"] == 1
        assert outcomes.total() < 20
    else:
        assert outcomes.keys() == {"allowed", "rejected"}  # the others were not sent
        assert outcomes.total() == 20


async def test_nobody_is_there_to_be_asked(platform: Platform, roster: Path) -> None:
    ended = await run("apply", roster, env=environment(platform))
    assert ended.status == 2
    assert "--yes goes ahead without" in ended.err
    assert platform.requests == []


async def test_the_plan_is_shown_before(platform: Platform, roster: Path) -> None:
    ended = await run("apply", roster, "--yes", env=environment(platform))
    assert ended.status == 0
    assert "  enrollments            2   enroll 2\n" in ended.err
    assert "  calls                  2   at most 500 enrollments each\n" in ended.err


async def test_failures_are_told_as_they_happen(platform: Platform, faulty: Path) -> None:
    ended = await run("apply", faulty, "--yes", env=environment(platform))
    assert f"✗ nobody in {C1}: not a valid address or user\n" in ended.err


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet", ".html"])
async def test_every_form_of_report(
    platform: Platform, faulty: Path, tmp_path: Path, suffix: str
) -> None:
    report = tmp_path / f"report{suffix}"
    ended = await run(*APPLY, faulty, "--report", report, env=environment(platform))
    assert ended.status == 1
    assert b"nobody" in report.read_bytes()
    assert stat.S_IMODE(report.stat().st_mode) == 0o600


async def test_bad_rows_can_be_left_out(platform: Platform, tmp_path: Path) -> None:
    roster = roster_file(tmp_path / "r.csv", f"learner0,{C0}", f",{C0}")
    ended = await run("apply", "--yes", roster, "--skip-bad-rows", env=environment(platform))
    assert ended.status == 0
    assert "warning: 1 bad rows are left out\n  line 3, " in ended.err
    assert platform.is_enrolled("learner0", C0)


async def test_a_file_with_names_of_its_own(platform: Platform, tmp_path: Path) -> None:
    roster = tmp_path / "r.txt"
    roster.write_text("Contact;Nom\nlearner0;Jane\n")
    columns = ("--columns", "identifier=Contact", "--course-id", C0, "--cohort", "red")
    ended = await run(*APPLY, roster, *columns, env=environment(platform))
    assert (ended.status, ended.err) == (0, "")
    assert platform.cohort_of("learner0", C0) == "red"


@pytest.mark.parametrize("option", ["--report", "--journal"])
async def test_the_roster_is_not_written_over(
    platform: Platform, tmp_path: Path, option: str
) -> None:
    roster = roster_file(tmp_path / "roster.csv", f"learner0,{C0}")
    before = roster.read_text()
    ended = await run("apply", roster, "--yes", option, roster, env=environment(platform))
    assert (ended.status, roster.read_text()) == (2, before)
    assert "is the roster itself" in ended.err
    assert not platform.requests


async def test_where_to_find_all_failures(platform: Platform, tmp_path: Path) -> None:
    roster = roster_file(tmp_path / "roster.csv", *(f"nobody{n},{C0}" for n in range(60)))
    out, journal = tmp_path / "out.csv", tmp_path / "my job.db"
    env = environment(platform)
    ended = await run("apply", roster, "--yes", "--report", out, env=env)
    assert "  … and 48 more\n" in ended.out
    assert "--report FILE.csv" not in ended.out
    ended = await run("apply", roster, "--yes", "--journal", journal, env=env)
    assert (
        f"to list all failures:\n  async-enroll report '{journal}' --only failures\n"
        "to correct the failures, and apply them again:\n"
        f"  async-enroll report '{journal}' --as-roster --output mend.csv\n"
    ) in ended.out
    ended = await run("report", journal, "--only", "failures", "--format", "csv", env=env)
    assert len(ended.out.splitlines()) == 61
    ended = await run("report", journal, "--only", "failures", env=env)
    assert (ended.status, len(ended.out.splitlines())) == (1, 60)


async def test_terminated_as_by_ctrl_c(tmp_path: Path) -> None:
    async with Platform(window=None, seconds_per_call=0.3) as platform:
        platform.add_course(C0)
        rows = [f"new{number}@example.org,{C0}" for number in range(40)]
        roster = roster_file(tmp_path / "roster.csv", *rows)
        command = [*COMMAND, "apply", str(roster), "--yes", "--batch-identifiers", "1", "--quiet"]
        async with await anyio.open_process(command, env=environment(platform)) as process:
            while len(platform.requests) < 4:
                await anyio.sleep(0.01)
            process.terminate()
            await process.wait()
            assert process.stderr
            said = (await process.stderr.receive()).decode()
    assert process.returncode == 130
    assert "apply the roster again" in said


@pytest.mark.parametrize("options", [(), ("--json",), ("--email-students",), ("--skip-bad-rows",)])
async def test_a_dry_run_is_a_plan(
    platform: Platform, tmp_path: Path, options: tuple[str, ...]
) -> None:
    good = roster_file(tmp_path / "good.csv", f"learner0,{C0}")
    bad = roster_file(tmp_path / "bad.csv", f"learner0,{C0}", f",{C0}")
    for roster in (good, bad):
        planned = await run("plan", roster, *options, env=environment(platform))
        applied = await run("apply", "--dry-run", roster, *options, env=environment(platform))
        assert applied == planned
    assert platform.requests == []


async def test_what_the_report_says_of_a_pair(platform: Platform, tmp_path: Path) -> None:
    header = "identifier,course_id,cohort"
    rows = (f"learner0,{C0},red", f"new@example.org,{C1},", f"nobody,{C1},")
    roster, report = roster_file(tmp_path / "r.csv", *rows, header=header), tmp_path / "out.csv"
    before = datetime.now(UTC).replace(microsecond=0)
    for job in ((), ("--journal", tmp_path / "job.db")):
        command = (*APPLY, roster, "--report", report, *job)
        assert (await run(*command, env=environment(platform))).status == 1
        found = list(csv.DictReader(report.read_text("utf-8-sig").splitlines()))
        told = {
            row["identifier"]: [row[name] for name in ("line", "cohort", "before", "after")]
            for row in found
        }
        done = ["enrolled", "allowed"] if job else ["none", "none"]
        assert told == {
            "learner0": ["2", "red", done[0], "enrolled"],
            "new@example.org": ["3", "", done[1], "allowed"],
            "nobody": ["4", "", "", ""],
        }
        times = {datetime.fromisoformat(row["time"]) for row in found}
        assert before <= min(times)
        assert max(times) <= datetime.now(UTC)


@pytest.mark.parametrize("kept", [False, True], ids=["in memory", "with a journal"])
async def test_a_report_that_cannot_be_written_costs_nothing(
    platform: Platform, roster: Path, tmp_path: Path, kept: bool
) -> None:
    report, journal = tmp_path / "full.csv", tmp_path / "job.db"
    report.symlink_to("/dev/full")
    job = ("--journal", journal) if kept else ()
    ended = await run(*APPLY, roster, "--report", report, *job, env=environment(platform))
    assert ended.status == 0
    again = f"report {journal} --output FILE" if kept else f"apply {roster} --report FILE"
    assert ended.err == (
        f"error: {report} cannot be written: No space left on device\n"
        f"to write the report elsewhere: async-enroll {again}\n"
    )
    assert "2 enrollments in 2 courses: all as requested" in ended.out


async def test_a_directory_that_is_gone_meanwhile(tmp_path: Path) -> None:
    roster = roster_file(tmp_path / "r.csv", f"learner0,{C0}")
    directory = tmp_path / "reports"
    directory.mkdir()
    async with Platform(seconds_per_call=0.5) as platform:
        platform.add_course(C0)
        platform.add_user("learner0", "learner0@example.org")
        command = [*COMMAND, *APPLY, str(roster), "--report", str(directory / "out.html")]
        async with await anyio.open_process(command, env=environment(platform)) as process:
            while not platform.requests:
                await anyio.sleep(0.01)
            directory.rmdir()
            assert process.stderr
            said = b"".join([piece async for piece in process.stderr]).decode()
            assert await process.wait() == 0
    assert f"error: {directory}/out.html cannot be written: No such file or directory" in said
