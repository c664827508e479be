"""`apply --journal`, `resume`, `report`: a job that is interrupted, gone on with, accounted for."""

import csv
import json
import signal
import stat
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from async_enroll import JournalReport, Roster
from async_enroll.sandbox import Fault, Faults, Platform
from tests.cli.command import C0, C1, COMMAND, environment, names_in, roster_file, run

LINE = 12
"""Where `nobody` stands in the roster."""

SLOW = ("--batch-pairs", "2", "--concurrency", "1", "--settle", "0.3")


@pytest.fixture
def roster(tmp_path: Path) -> Path:
    rows = [f"learner{number},{C0},red" for number in range(10)]
    return roster_file(
        tmp_path / "roster.csv", *rows, f"nobody,{C1},", header="identifier,course_id,cohort"
    )


@pytest.fixture
async def journal(platform: Platform, roster: Path, tmp_path: Path) -> Path:
    """The journal of a finished job."""
    journal = tmp_path / "job.db"
    command = ("apply", roster, "--yes", "--quiet", "--journal", journal)
    ended = await run(*command, env=environment(platform))
    assert (ended.status, ended.err) == (1, "")
    assert "Failed\n1 not a valid address or user\n  nobody  " in ended.out
    return journal


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
async def test_interrupted_and_gone_on_with(
    roster: Path, tmp_path: Path, how: signal.Signals
) -> None:
    journal, page = tmp_path / "job.db", tmp_path / "page.html"
    command = [*COMMAND, "apply", "--yes", "--email-students", str(roster), *SLOW]
    async with Platform(seconds_per_call=0.2) as platform:
        platform.add_course(C0, cohorts=["red"])
        platform.add_course(C1)
        for number in range(10):
            platform.add_user(f"learner{number}", f"learner{number}@example.org")
        async with await anyio.open_process(
            [*command, "--journal", str(journal)], env=environment(platform)
        ) as process:
            while len(platform.requests) < 4:
                await anyio.sleep(0.01)
            await anyio.sleep(0.1)
            process.send_signal(how)
            assert process.stderr is not None
            err = b"".join([piece async for piece in process.stderr]).decode()
            status = await process.wait()
        if how is signal.SIGINT:
            assert status == 130
            assert f"to continue: async-enroll resume {journal}\nerror: interrupted\n" in err
        ended = await run("report", journal, env=environment())
        assert "no result yet" in ended.err
        ended = await run("resume", journal, "--report", page, *SLOW, env=environment(platform))
        assert ended.status == 1
        assert "enrolled" in ended.out
        calls = len(platform.requests)
        ended = await run("resume", journal, "--quiet", env=environment(platform))
        assert (ended.status, ended.out, len(platform.requests)) == (1, "", calls)
        assert "; nothing was sent\n" in ended.err
        mailed = [mail.to for mail in platform.outbox]
        assert len(mailed) == len(set(mailed)) == 10
        assert all(platform.cohort_of(f"learner{n}", C0) == "red" for n in range(10))
    assert "nobody" in page.read_text()
    assert len(csv_rows((await run("report", journal, "--format", "csv", env={})).out)) == 11


async def test_interrupted_in_its_last_call_a_job_is_done(tmp_path: Path) -> None:
    roster, journal = roster_file(tmp_path / "r.csv", f"nobody,{C1}"), tmp_path / "job.db"
    command = [*COMMAND, "apply", "--yes", "--quiet", str(roster), "--journal", str(journal)]
    async with Platform(seconds_per_call=1) as platform:
        platform.add_course(C1)
        async with await anyio.open_process(command, env=environment(platform)) as process:
            while len(platform.requests) < 2:  # the course is checked first
                await anyio.sleep(0.01)
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            err = b"".join([piece async for piece in process.stderr]).decode()
            status = await process.wait()
    assert status == 1
    assert err == ("warning: finishing the calls in flight; press Ctrl-C again to cancel them\n")


def csv_rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


async def test_the_journal_is_private_and_its_files_are_few(journal: Path) -> None:
    assert names_in(journal.parent) == ["job.db", "job.db.lock", "roster.csv"]
    assert stat.S_IMODE((await anyio.Path(journal).stat()).st_mode) == 0o600


@pytest.mark.parametrize("command", ["apply", "resume"])
async def test_a_finished_job_is_no_fresh_success(
    platform: Platform, tmp_path: Path, command: str
) -> None:
    roster = roster_file(tmp_path / "r.csv", f"learner0,{C0}")
    journal, page = tmp_path / "job.db", tmp_path / "page.html"
    env = {**environment(platform), "TZ": "UTC-2"}
    kept = ("--journal", journal, "--yes", "--quiet")
    assert (await run("apply", roster, *kept, env=env)).status == 0
    with JournalReport(journal) as report:
        then = report.finished() + timedelta(hours=2)
    out = roster_file(tmp_path / "out.csv", f"learner0,{C0}")
    unenroll = ("--action", "unenroll", "--yes")
    assert (await run("apply", out, *unenroll, env=environment(platform))).status == 0
    calls = len(platform.requests)
    again = ("apply", roster, *kept) if command == "apply" else ("resume", journal)
    ended = await run(*again, "--report", page, env=env)
    assert (ended.status, ended.out, len(platform.requests)) == (0, "", calls)
    assert ended.err == (
        f"this job finished on {then:%Y-%m-%d %H:%M}; nothing was sent\n"
        f"for its results: async-enroll report {journal}\n"
        "to apply the roster again: use a new --journal\n"
        f"report of 1 enrollment: {page}\n"
    )
    assert "The one enrollment is as requested" in page.read_text()
    ended = await run(*again, "--json", env=env)
    assert (ended.status, json.loads(ended.out)["counts"]) == (0, {"enrolled": 1})


async def test_once_anything_was_sent_no_ending_says_that_nothing_was(tmp_path: Path) -> None:
    """The journal is gone when the report is to be made of it."""
    journal = tmp_path / "job.db"
    rows = [f"learner{number}@example.org,{C0}" for number in range(6)]
    roster = roster_file(tmp_path / "roster.csv", *rows)
    command = [*COMMAND, "apply", str(roster), "--yes", "--quiet", "--journal", str(journal)]
    tuning = ["--batch-pairs", "1", "--concurrency", "1"]
    async with Platform(seconds_per_call=0.2) as platform:
        platform.add_course(C0)
        async with await anyio.open_process(
            [*command, *tuning], env=environment(platform)
        ) as process:
            while len(platform.requests) < 3:
                await anyio.sleep(0.01)
            journal.unlink()
            assert process.stderr is not None
            said = b"".join([piece async for piece in process.stderr]).decode()
            assert await process.wait() == 3
        assert platform.is_allowed("learner0@example.org", C0)
    assert "error: " in said
    assert "Traceback" not in said


async def test_report_in_every_form(journal: Path, tmp_path: Path) -> None:
    for form in ("csv", "json", "jsonl", "html"):
        ended = await run("report", journal, "--format", form, env=environment())
        assert (ended.status, ended.err) == (1, "")
        assert "nobody" in ended.out
        if form == "json":
            assert json.loads(ended.out)["counts"] == {"enrolled": 10, "invalid_identifier": 1}
    for suffix in (".csv", ".json", ".jsonl", ".html", ".parquet"):
        output = tmp_path / f"report{suffix}"
        ended = await run("report", journal, "--output", output, env=environment())
        assert (ended.status, ended.out, ended.err) == (1, "", "")
        assert b"nobody" in output.read_bytes()
        assert stat.S_IMODE(output.stat().st_mode) == 0o600


async def test_a_report_needs_no_site_unless_it_asks_it(journal: Path, tmp_path: Path) -> None:
    config = tmp_path / "config" / "async-enroll" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("[site.school\n")
    env = {**environment(), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    assert (await run("report", journal, env=env)).status == 1  # some of the job's pairs failed
    ended = await run("report", journal, "--verify", env=env)
    assert ended.status == 2
    assert str(config) in ended.err


async def test_only_failures(journal: Path) -> None:
    ended = await run("report", journal, "--only", "failures", "--format", "csv", env=environment())
    (row,) = csv_rows(ended.out)
    assert (row["identifier"], row["outcome"]) == ("nobody", "invalid_identifier")


async def test_failures_as_a_roster_to_mend(
    platform: Platform, journal: Path, tmp_path: Path
) -> None:
    mend = tmp_path / "mend.csv"
    ended = await run("report", journal, "--as-roster", "--output", mend, env=environment())
    assert ended.status == 0
    text = mend.read_text("utf-8-sig")
    assert f"nobody,{C1},enroll,,invalid_identifier: neither a user" in text
    (row,) = csv_rows(text)
    assert row["line"] == str(LINE)
    mend.write_text(text.replace("nobody", "learner0@example.org"), "utf-8-sig")
    # What was mended is not lost by doing it again.
    again = await run("report", journal, "--as-roster", "--output", mend, env=environment())
    assert again.status == 2
    assert "exists already" in again.err
    assert "learner0@example.org" in mend.read_text()
    ended = await run("apply", "--yes", mend, env=environment(platform))
    assert ended.status == 0
    assert platform.is_enrolled("learner0", C1)


async def test_what_failed_as_a_workbook(journal: Path, tmp_path: Path) -> None:
    mend = tmp_path / "mend.xlsx"
    ended = await run("report", journal, "--as-roster", "--output", mend, env=environment())
    assert ended.status == 0
    assert [entry.identifier for entry in Roster.read(mend)] == ["nobody"]


async def test_reports_name_the_line(journal: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.csv"
    await run("report", journal, "--output", report, env=environment())
    rows = csv_rows(report.read_text("utf-8-sig"))
    assert sorted(int(row["line"]) for row in rows) == [*range(2, 2 + len(rows))]
    told = await run(
        "report", journal, "--format", "jsonl", "--only", "failures", env=environment()
    )
    assert json.loads(told.out)["line"] == LINE


@pytest.fixture
async def half_mailed(tmp_path: Path) -> AsyncIterator[tuple[Platform, Path]]:
    """A platform, and the journal of a job that mailed, was undone, and went on without mail."""
    journal = tmp_path / "job.db"
    async with Platform() as platform:
        platform.add_course(C0, cohorts=["red"])
        for number in range(4):
            platform.add_user(f"learner{number}", f"learner{number}@example.org")
        platform.add_user("poison", "poison@example.org", poisonous=True)
        names = [*(f"learner{number}" for number in range(4)), "poison"]
        rows = [f"{name},{C0},red" for name in names]
        roster = roster_file(tmp_path / "r.csv", *rows, header="identifier,course_id,cohort")
        command = ("apply", roster, "--yes", "--quiet", "--email-students", "--journal", journal)
        ended = await run(*command, env=environment(platform))
        assert ended.status == 1
        assert (
            "\nThe learners of 4 enrollments may not have been notified\n"
            f"  learner0  {C0}\n  learner1  {C0}\n  learner2  {C0}\n  learner3  {C0}\n"
        ) in ended.out
        assert (
            "to mail those who may not have been notified; some may get a second mail:\n"
            f"  async-enroll report {journal} --only unnotified --as-roster "
            "--output mail-again.csv\n"
        ) in ended.out
        yield platform, journal


async def test_those_who_may_not_have_been_notified_are_mailed_knowingly(
    half_mailed: tuple[Platform, Path], tmp_path: Path
) -> None:
    platform, journal = half_mailed
    again = tmp_path / "mail-again.csv"
    only = ("--only", "unnotified", "--as-roster")
    ended = await run("report", journal, *only, "--output", again, env=environment())
    assert (ended.status, ended.out) == (0, "")
    assert ended.err == f"roster of learners who may not have been notified: {again}\n"
    rows = csv_rows(again.read_text("utf-8-sig"))
    assert {(row["identifier"], row["cohort"], row["error"]) for row in rows} == {
        (f"learner{number}", "red", "enrolled: may not have been notified") for number in range(4)
    }
    before = len(platform.outbox)
    mail = ("--yes", "--quiet", "--email-students")
    assert (await run("apply", *mail, again, env=environment(platform))).status == 0
    assert {mail.to for mail in platform.outbox[before:]} == {
        f"learner{number}@example.org" for number in range(4)
    }


async def test_those_who_may_not_have_been_notified_are_listed(
    half_mailed: tuple[Platform, Path],
) -> None:
    _, journal = half_mailed
    ended = await run("report", journal, "--only", "unnotified", env=environment())
    assert (ended.status, ended.err) == (1, "")
    assert sorted(ended.out.splitlines()) == [
        f"learner{number} in {C0}: enrolled: may not have been notified" for number in range(4)
    ]
    ended = await run(
        "report", journal, "--only", "unnotified", "--format", "csv", env=environment()
    )
    assert [row["notified"] for row in csv_rows(ended.out)] == [""] * 4
    ended = await run("report", journal, "--only", "failures", env=environment())
    assert ended.out.startswith(f"poison in {C0}: ")
    assert len(ended.out.splitlines()) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="no such files there")
@pytest.mark.parametrize("form", ["csv", "html"])
async def test_a_report_into_an_open_file(journal: Path, tmp_path: Path, form: str) -> None:
    file = tmp_path / "both.txt"
    file.write_text("before\n")
    command = [*COMMAND, "report", str(journal), "--format", form, "--output", "/dev/stdout"]
    with file.open("ab") as opened:
        done = await anyio.run_process(command, stdout=opened, env=environment(), check=False)
    assert done.returncode == 1
    text = file.read_text()
    assert text.startswith("before\n")
    assert "nobody" in text


async def test_a_journal_of_another_roster(
    platform: Platform, journal: Path, tmp_path: Path
) -> None:
    other = roster_file(tmp_path / "other.csv", f"learner1,{C1}")
    command = ("apply", "--yes", other, "--email-students", "--journal", journal)
    ended = await run(*command, env=environment(platform))
    assert ended.status == 2
    assert "belongs to another job" in ended.err
    assert "e-mail to learners was off, and is on; the roster had " in ended.err
    assert ended.out == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--output", "x.docx"), "expected a file name ending in"),
        (("--as-roster", "--output", "x.html"), "--as-roster writes .csv or .xlsx"),
        (("--as-roster", "--format", "html"), "--as-roster writes .csv or .xlsx"),
    ],
)
async def test_unusable_arguments(journal: Path, arguments: tuple[str, ...], words: str) -> None:
    ended = await run("report", journal, *arguments, env=environment())
    assert ended.status == 2
    assert words in ended.err


async def test_no_such_journal(platform: Platform, tmp_path: Path) -> None:
    for command in ("report", "resume"):
        ended = await run(command, tmp_path / "none.db", env=environment(platform))
        assert ended.status == 2
        assert "there is no" in ended.err


async def test_a_damaged_journal_is_named(
    platform: Platform, roster: Path, journal: Path, tmp_path: Path
) -> None:
    """Nothing is sent, the status says so, and the words say what to do."""
    data = bytearray(await anyio.Path(journal).read_bytes())
    damaged = anyio.Path(tmp_path / "damaged.db")
    commands = [
        ("resume", "damaged.db"),
        ("report", "damaged.db"),
        ("report", "damaged.db", "--format", "csv"),
        ("apply", str(roster), "--yes", "--quiet", "--journal", "damaged.db"),
    ]
    cut = data[: len(data) // 2]
    without_results = data.replace(b'[["', b'[{"')
    calls = len(platform.requests)
    for content, used in ((cut, commands), (without_results, commands[1:3])):
        await damaged.write_bytes(content)
        for command in used:
            arguments = [str(damaged) if one == damaged.name else one for one in command]
            ended = await run(*arguments, env=environment(platform))
            assert ended.status == 2, ended
            assert f"error: journal {damaged}: damaged, or not all of it is here" in ended.err
            assert "take it once more" in ended.err
    assert len(platform.requests) == calls


async def test_a_roster_to_mend_is_not_written_over(journal: Path, tmp_path: Path) -> None:
    mend = tmp_path / "mend.csv"
    mend.write_text("what somebody has worked on")
    for _ in range(2):
        command = ("report", journal, "--as-roster", "--output", mend)
        ended = await run(*command, env=environment())
        assert ended.status == 2
        assert f"--output {mend}: exists already" in ended.err
        assert mend.read_text() == "what somebody has worked on"


async def test_an_output_that_cannot_be_written(journal: Path, tmp_path: Path) -> None:
    full = tmp_path / "full.csv"
    full.symlink_to("/dev/full")
    for how in ((), ("--format", "jsonl")):
        ended = await run("report", journal, "--output", full, *how, env=environment())
        assert (ended.status, ended.out) == (3, "")
        assert ended.err == f"error: {full} cannot be written: No space left on device\n"


async def test_only_those_are_mailed_whose_enrollment_changes(tmp_path: Path) -> None:
    journal, page = tmp_path / "job.db", tmp_path / "report.html"
    # The second call with learners is lost: of these it is not known who was in before.
    faults = Faults.schedule({2: Fault.RESET_AFTER})
    async with Platform(faults=faults) as platform:
        platform.add_course(C0)
        for number in range(20):
            platform.add_user(f"learner{number}", f"learner{number}@example.org")
            if number % 2:
                platform.enroll(f"learner{number}", C0)
        rows = [f"learner{number},{C0}" for number in range(20)]
        ended = await run(
            *("apply", roster_file(tmp_path / "r.csv", *rows), "--yes", "--quiet"),
            *("--email-changed", "--journal", journal, "--report", page),
            *("--batch-identifiers", "10", "--concurrency", "1", "--settle", "0.2"),
            env=environment(platform),
        )
        assert ended.status == 0
        assert {mail.to for mail in platform.outbox} == {
            f"learner{number}@example.org" for number in range(0, 10, 2)
        }
    lines = ended.out.splitlines()
    first = lines.index("The learners of 10 enrollments may not have been notified")
    assert lines[first + 1 : first + 8] == [
        *(f"  learner{number}  {C0}" for number in range(10, 16)),
        "  … and 4 more",
    ]
    assert "only to those whose enrollment changed" in page.read_text()
    ended = await run("report", journal, "--only", "unnotified", env=environment())
    assert sorted(ended.out.splitlines()) == sorted(
        f"learner{number} in {C0}: enrolled: may not have been notified" for number in range(10, 20)
    )


async def test_no_report_is_written_over_a_journal(platform: Platform, tmp_path: Path) -> None:
    roster = roster_file(tmp_path / "roster.csv", f"jane@example.org,{C0}")
    journal = tmp_path / "job.csv"  # a name that a report may have, too
    env = environment(platform)
    for command in ("apply", "sync"):
        ended = await run(
            command, roster, "--yes", "--journal", journal, "--report", journal, env=env
        )
        assert ended.status == 2
        assert f"--report {journal}: is the journal itself" in ended.err
    assert platform.requests == []
    ended = await run("apply", roster, "--yes", "--journal", journal, env=env)
    assert ended.status == 0
    before = journal.read_bytes()
    for arguments in (
        ("resume", journal, "--report", journal),
        ("report", journal, "--output", journal),
        ("report", journal, "--format", "jsonl", "--output", journal),
        ("undo", journal, "--yes", "--report", journal),
    ):
        ended = await run(*arguments, env=env)
        assert ended.status == 2
        assert f"{journal}: is " in ended.err
        assert ended.err.endswith(" itself; name another file\n")
    assert journal.read_bytes() == before
