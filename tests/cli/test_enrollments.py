"""`async-enroll enrollments`: forms, filters, failures."""

import csv
import json
import os
import stat
import sys
from datetime import datetime
from pathlib import Path
from subprocess import PIPE

import anyio
import pytest

from async_enroll import EnrollmentClient
from async_enroll.sandbox import Platform
from tests.cli.command import C0, C1, C2, COMMAND, environment, names_in, run
from tests.servers import answer, saying

CREATED = datetime(2026, 3, 9, 20, 15)  # without a zone, as the platform tells it
ROW = f"learner0,learner0@example.org,{C0},true,audit,2026-03-09T20:15:00"


@pytest.fixture
def peopled(platform: Platform) -> Platform:
    for course in (C0, C1, C2):
        platform.enroll("learner0", course, created=CREATED)
    platform.enroll("learner1", C1, created=CREATED)
    return platform


async def test_csv_where_nobody_looks(peopled: Platform) -> None:
    ended = await run("enrollments", env=environment(peopled))
    assert (ended.status, ended.err) == (0, "")
    header, *rows = ended.out.splitlines()
    assert header == "username,email,course_id,is_active,mode,created"
    assert ROW in rows
    assert len(rows) == 4


@pytest.mark.parametrize("tells", [True, False])
async def test_open_edx_tells_addresses_or_not(tells: bool) -> None:
    async with Platform(window=None, accounts_tell_addresses=tells) as platform:
        platform.add_course(C0)
        platform.add_user("learner0", "learner0@example.org")
        platform.enroll("learner0", C0, created=CREATED)
        ended = await run("enrollments", "--listing", "core", env=environment(platform))
    assert (ended.status, ended.err) == (0, "")
    rows = list(csv.DictReader(ended.out.splitlines()))
    assert [row["email"] for row in rows] == ["learner0@example.org" if tells else ""]
    assert all(row["created"].endswith("+00:00") for row in rows)


async def test_json_lines(peopled: Platform) -> None:
    ended = await run("enrollments", "--format", "jsonl", env=environment(peopled))
    records = [json.loads(line) for line in ended.out.splitlines()]
    assert len(records) == 4
    assert records[0] == {
        "username": "learner0",
        "email": "learner0@example.org",
        "course_id": C0,
        "is_active": True,
        "mode": "audit",
        "created": "2026-03-09T20:15:00",
    }


async def test_a_table(peopled: Platform) -> None:
    ended = await run("enrollments", "--format", "table", env=environment(peopled))
    assert ended.status == 0
    assert ended.out.count("learner0@") == 3
    assert ended.err == "4 enrollments\n"


@pytest.mark.parametrize(
    ("form", "told"), [("csv", ",audit,\n"), ("jsonl", '"created":null'), ("table", " - ")]
)
async def test_a_record_without_its_time(form: str, told: str) -> None:
    listed = ["learner0", "learner0@example.org", C0, True, "audit", None]
    names = ["username", "email", "course_id", "is_active", "mode", "created"]
    body = json.dumps([dict(zip(names, listed, strict=True))]).encode()
    async with saying(answer("200 OK", body)) as url:
        env = {**environment(), "ASYNC_ENROLL_URL": url, "ASYNC_ENROLL_TOKEN": "s3cret"}
        ended = await run("enrollments", "--format", form, env=env)
    assert ended.status == 0
    assert told in ended.out.replace("\r\n", "\n")


async def test_a_long_table_ends(platform: Platform) -> None:
    for number in range(1003):
        platform.add_user(f"member{number}", f"member{number}@example.org")
        platform.enroll(f"member{number}", C0)
    ended = await run("enrollments", "--format", "table", env=environment(platform))
    assert ended.status == 0
    assert "… and 3 more; use --format csv to list all 1,003" in ended.err
    assert "member999" in ended.out
    assert "member1000" not in ended.out


async def test_filters(peopled: Platform) -> None:
    arguments = ("--course-id", C0, "--course-id", C1, "--username", "learner0")
    ended = await run("enrollments", *arguments, env=environment(peopled))
    rows = list(csv.DictReader(ended.out.splitlines()))
    assert {(row["username"], row["course_id"]) for row in rows} == {
        ("learner0", C0),
        ("learner0", C1),
    }
    ended = await run("enrollments", "--days", "1", env=environment(peopled))
    assert len(ended.out.splitlines()) == 1


async def test_a_cell_is_never_a_formula(platform: Platform) -> None:
    platform.add_user("-learner", "=learner@example.org")
    platform.enroll("-learner", C0)
    ended = await run("enrollments", env=environment(platform))
    assert "\n'-learner,'=learner@example.org," in ended.out


@pytest.mark.parametrize("name", ["list.csv", "list.jsonl"])
async def test_into_a_private_file(peopled: Platform, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    printed = await run("enrollments", "--format", file.suffix[1:], env=environment(peopled))
    ended = await run("enrollments", "--output", file, env=environment(peopled))
    assert (ended.status, ended.out, ended.err) == (0, "", "")
    # A file has the mark by which Excel knows UTF-8.
    assert file.read_bytes().startswith(b"\xef\xbb\xbf") is (file.suffix == ".csv")
    assert file.read_text("utf-8-sig") == printed.out
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_the_format_wins_over_the_suffix(peopled: Platform, tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    arguments = ("--output", file, "--format", "csv")
    assert (await run("enrollments", *arguments, env=environment(peopled))).status == 0
    assert ROW in file.read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="no such files there")
async def test_into_what_can_only_be_written_on(peopled: Platform, tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text("before\n")
    command = [*COMMAND, "enrollments", "--format", "csv", "--output", "/dev/stdout"]
    with file.open("ab") as opened:
        await anyio.run_process(command, stdout=opened, env=environment(peopled))
    before, *rows = file.read_text().splitlines()
    assert before == "before"
    assert ROW in "\n".join(rows)
    assert names_in(tmp_path) == ["list.csv"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--output", "list.txt"), "expected a file name ending in .csv or .jsonl"),
        (("--output", "list.csv", "--format", "table"), "cannot be written to a file"),
        (("--output", "missing/list.csv"), "there is no directory missing"),
        (("--format", "xml"), '"xml"'),
        (("--days", "-1"), "expected a number of days"),
        (("--course-id", ""), "course_id is empty"),
        (("--course-id", "Demo"), "--course-id Demo: does not look like course-v1:Org+Number+Run"),
        (("--course-id", "course-v1:Org C1 2026"), "course-v1:Org C1 2026: holds white space"),
        (("--concurrency", "0"), "concurrency is 0"),
    ],
)
async def test_unusable_arguments(
    platform: Platform, arguments: tuple[str, ...], words: str
) -> None:
    ended = await run("enrollments", *arguments, env=environment(platform))
    assert (ended.status, ended.out) == (2, "")
    assert words in ended.err
    assert platform.requests == []


async def test_a_failing_query(platform: Platform, tmp_path: Path) -> None:
    env = {**environment(platform), "ASYNC_ENROLL_TOKEN": "wrong-token"}
    file = tmp_path / "list.csv"
    ended = await run("enrollments", "--output", file, env=env)
    assert ended.status == 3
    assert "error: the token is not accepted" in ended.err
    assert names_in(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal there")
async def test_a_reader_that_leaves(platform: Platform) -> None:
    for number in range(3000):
        platform.add_user(f"member{number}", f"member{number}@example.org")
        platform.enroll(f"member{number}", C0)
    reading, writing = os.pipe()
    os.close(reading)
    command = [*COMMAND, "enrollments"]
    process = await anyio.run_process(
        command, stdout=writing, stderr=PIPE, env=environment(platform), check=False
    )
    os.close(writing)
    assert (process.returncode, process.stderr) == (141, b"")


async def test_a_course_that_does_not_exist(peopled: Platform) -> None:
    peopled.add_course("course-v1:Org+Empty+2026")
    none = "course-v1:Org+None+2026"
    courses = ("--course-id", none, "--course-id", C0, "--course-id", "course-v1:Org+Empty+2026")
    ended = await run("enrollments", *courses, env=environment(peopled))
    assert ended.status == 2
    assert ended.err.startswith(f"error: --course-id {none}: the course does not exist")
    assert len(ended.err.splitlines()) == 1
    assert ROW in ended.out
    ended = await run("enrollments", *courses[2:], env=environment(peopled))
    assert (ended.status, ended.err) == (0, "")
    assert peopled.audit == []


async def test_a_course_that_cannot_be_checked(peopled: Platform) -> None:
    env = {**environment(peopled), "ASYNC_ENROLL_TOKEN": peopled.add_token(staff=False)}
    ended = await run("enrollments", "--course-id", "course-v1:Org+None+2026", env=env)
    if ended.status == 0:  # a token that may list, and may not enroll
        words = "warning: whether course-v1:Org+None+2026 exists could not be found out: "
        assert ended.err.startswith(words)


async def test_learners_who_do_not_exist(peopled: Platform) -> None:
    for arguments, words in (
        (("--username", "jane@example.org"), "is an e-mail address; use --email"),
        (("--email", "jane"), "is no e-mail address; use --username"),
        (("--email", "jane@example.org"), "no account has this address"),
        (("--username", "jane"), "there is no such account"),
        (("--username", "a", "--email", "a@x.org"), "are both given"),
    ):
        ended = await run("enrollments", *arguments, env=environment(peopled))
        assert ended.status == 2
        assert words in ended.err
    peopled.add_user("idle", "idle@example.org")
    ended = await run("enrollments", "--username", "idle", env=environment(peopled))
    assert (ended.status, ended.err) == (0, "")


@pytest.mark.parametrize("listing", ["so2", "core"])
async def test_a_learner_by_address(peopled: Platform, listing: str) -> None:
    command = ("enrollments", "--email", "LEARNER1@example.org", "--listing", listing)
    ended = await run(*command, env=environment(peopled))
    assert (ended.status, ended.err) == (0, "")
    assert [row["course_id"] for row in csv.DictReader(ended.out.splitlines())] == [C1]


async def test_a_site_that_tells_no_addresses() -> None:
    async with Platform(accounts_tell_addresses=False) as platform:
        platform.add_user("jane", "jane@example.org")
        command = ("enrollments", "--email", "jane@example.org")
        ended = await run(*command, env=environment(platform))
    assert ended.status == 3
    assert "the site does not tell whose it is" in ended.err


async def test_current_ones_and_counts(peopled: Platform) -> None:
    peopled.enroll("learner2", C1)
    async with EnrollmentClient(peopled.url, peopled.token) as client:
        await client.bulk_unenroll(["learner2"], [C1])
    env = environment(peopled)
    assert len((await run("enrollments", env=env)).out.splitlines()) == 6
    ended = await run("enrollments", "--active", env=env)
    assert [row["username"] for row in csv.DictReader(ended.out.splitlines())].count(
        "learner2"
    ) == 0
    counted = await run("enrollments", "--count", env=env)
    expected = ["course_id,enrollments,active", f"{C0},1,1", f"{C1},3,2", f"{C2},1,1"]
    assert counted.out.splitlines() == expected
    courses = ("--course-id", C1, "--course-id", "course-v1:Org+None+2026")
    ended = await run("enrollments", "--count", *courses, "--format", "jsonl", env=env)
    assert ended.status == 2
    assert [json.loads(line)["enrollments"] for line in ended.out.splitlines()] == [3, 0]
    ended = await run("enrollments", "--count", "--active", "--format", "table", env=env)
    assert (ended.status, ended.err) == (0, "4 enrollments in 3 courses\n")
