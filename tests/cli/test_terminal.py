"""What people see who sit at a terminal."""

import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from async_enroll import RequestWindow
from async_enroll.sandbox import Platform
from tests.cli.command import C0, COMMAND, environment, roster_file

pty = pytest.importorskip("pty")
termios = pytest.importorskip("termios")


def pieces(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            yield os.read(terminal, 65536)
        except OSError:  # how Linux says that nobody writes to the terminal any more
            return


async def at_a_terminal(
    *arguments: str,
    env: dict[str, str],
    typed: bytes = b"",
    columns: int = 80,
    interrupted_at: bytes | None = None,
) -> tuple[int, str]:
    """Run the command at a terminal of its own; give its status and what was seen.

    It is interrupted once it has shown `interrupted_at`.
    """
    ours, its = pty.openpty()
    os.write(ours, typed)
    command = [*COMMAND, *arguments]
    env = {**env, "TERM": "xterm"}
    termios.tcsetwinsize(its, (25, columns))
    async with await anyio.open_process(
        command, stdin=its, stdout=its, stderr=its, env=env
    ) as process:
        os.close(its)
        shown = pieces(ours)
        seen = b""
        while interrupted_at is not None and interrupted_at not in seen:
            seen += await to_thread.run_sync(next, shown)
        if interrupted_at is not None:
            await anyio.sleep(0.2)  # until it waits for an answer
            process.send_signal(signal.SIGINT)
        seen += await to_thread.run_sync(lambda: b"".join(shown))
        status = await process.wait()
    os.close(ours)
    return status, seen.decode()


@pytest.mark.skipif(sys.platform == "win32", reason="no such terminals there")
@pytest.mark.parametrize("columns", [60, 120])
async def test_the_common_help_is_as_wide_as_the_terminal(columns: int) -> None:
    status, seen = await at_a_terminal("--help", env=environment(), columns=columns)
    assert status == 0
    assert f"╭{'─ Commands ':─<{columns - 2}}╮\r\n" in seen
    assert "\x1b[36mapply " in seen
    _, seen = await at_a_terminal("--help", env={**environment(), "NO_COLOR": "1"})
    assert "\x1b" not in seen


@pytest.mark.skipif(sys.platform == "win32", reason="no such terminals there")
async def test_progress_and_tables(tmp_path: Path) -> None:
    roster = roster_file(tmp_path / "r.csv", *(f"learner{n},{C0}" for n in range(10)))
    async with Platform(seconds_per_pair=0.02) as platform:
        platform.add_course(C0)
        for number in range(10):
            platform.add_user(f"learner{number}", f"learner{number}@example.org")
        status, seen = await at_a_terminal("apply", "--yes", str(roster), env=environment(platform))
        assert status == 0
        assert "━" in seen
        assert "10/10 enrollments" in seen
        assert "enrolled 10" in seen
        status, seen = await at_a_terminal("enrollments", env=environment(platform))
        assert status == 0
        assert "username" in seen
        assert "is_active" not in seen


@pytest.mark.skipif(sys.platform == "win32", reason="no such terminals there")
@pytest.mark.parametrize("columns", [60, 80, 120])
async def test_no_line_is_too_long(tmp_path: Path, columns: int) -> None:
    rows = [f"learner{n},{C0}" for n in range(10)] + [f"nobody{n},{C0}" for n in range(3)]
    roster = roster_file(tmp_path / "r.csv", *rows)
    window = RequestWindow(2, 1.0)  # so that calls are refused, and held
    async with Platform(window=window, seconds_per_pair=0.02) as platform:
        platform.add_course(C0)
        for number in range(10):
            platform.add_user(f"learner{number}", f"learner{number}@example.org")
        arguments = ("apply", "--yes", str(roster), "--batch-pairs", "3")
        status, seen = await at_a_terminal(*arguments, env=environment(platform), columns=columns)
    assert status == 1
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen))
    command = next(line for line in lines if line.startswith("  async-enroll apply"))
    assert all(len(line) <= columns for line in lines if line != command)
    for words in (" in flight", "throttled by the platform until ", " elapsed"):
        assert any(words in line for line in lines)
    assert "13 enrollments in 1 course: 3 failed" in lines


@pytest.mark.skipif(sys.platform == "win32", reason="no such terminals there")
@pytest.mark.parametrize(
    ("typed", "sent"), [(b"y\n", True), (b"n\n", False), (b"\n", False), (b"\x04", False)]
)
async def test_the_question(tmp_path: Path, typed: bytes, sent: bool) -> None:
    roster = roster_file(tmp_path / "r.csv", f"learner0,{C0}")
    async with Platform() as platform:
        platform.add_course(C0)
        platform.add_user("learner0", "learner0@example.org")
        arguments = ("apply", str(roster), "--email-students")
        status, seen = await at_a_terminal(*arguments, env=environment(platform), typed=typed)
        assert status == 0
        # The terminal wraps the question.
        assert "Enroll 1 learner in 1 course on 127.0.0.1" in " ".join(seen.split())
        assert "with e-mail?" in " ".join(seen.split())
        assert platform.is_enrolled("learner0", C0) == sent
        assert ("nothing was sent" in seen) != sent


@pytest.mark.skipif(sys.platform == "win32", reason="no such terminals there")
@pytest.mark.parametrize("command", ["apply", "sync"])
async def test_interrupted_at_the_question(tmp_path: Path, command: str) -> None:
    """The line ends, and so does the command; it does not ask again."""
    roster = roster_file(tmp_path / "r.csv", f"learner0,{C0}")
    async with Platform() as platform:
        platform.add_course(C0)
        platform.add_user("learner0", "learner0@example.org")
        status, seen = await at_a_terminal(
            command, str(roster), env=environment(platform), interrupted_at=b"(n)"
        )
        assert status == 130
        assert seen.count("without e-mail") == 1
        last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen).splitlines()[-1]
        assert last == "error: interrupted"
        assert not platform.is_enrolled("learner0", C0)


@pytest.mark.skipif(sys.platform == "win32", reason="no such terminals there")
@pytest.mark.parametrize(("typed", "sent"), [(b"y\n", True), (b"n\n", False)])
async def test_the_question_of_a_sync(tmp_path: Path, typed: bytes, sent: bool) -> None:
    roster = roster_file(tmp_path / "r.csv", f"learner0,{C0}", f"learner1,{C0}")
    async with Platform() as platform:
        platform.add_course(C0)
        for number in range(3):
            platform.add_user(f"learner{number}", f"learner{number}@example.org")
        platform.enroll("learner1", C0)
        platform.enroll("learner2", C0)
        arguments = ("sync", str(roster), "--remove", "--email-students")
        status, seen = await at_a_terminal(*arguments, env=environment(platform), typed=typed)
        assert status == 0
        assert (
            "Add 1 enrollment with e-mail and remove 1 enrollment without e-mail in 1 course on "
            "127.0.0.1"
        ) in " ".join(seen.split())
        assert platform.is_enrolled("learner0", C0) == sent
        assert platform.is_enrolled("learner2", C0) != sent
        assert ("nothing was sent" in seen) != sent


KEY = f"course-v1:Org+{'Introduction' * 3}+2026"


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
async def test_a_diff_is_legible_however_narrow(
    platform: Platform, tmp_path: Path, columns: int
) -> None:
    platform.add_course(KEY)
    platform.add_user("jane", "jane@example.org")
    platform.enroll("jane", KEY)
    roster = roster_file(tmp_path / "r.csv", f"jane,{KEY}", f"john@example.org,{C0}")
    env = environment(platform)
    status, seen = await at_a_terminal("diff", str(roster), env=env, columns=columns)
    plain = re.sub("\x1b\\[\\d+m", "", seen).replace("\r\n", "\n")
    assert (status, plain.count("\u2026")) == (0, 0)  # nothing is cut off
    table, _, _ = plain.partition("\ncourse")[2].partition("\n\n")
    words = table.replace(f"{KEY[:columns]}\n{KEY[columns:]}", KEY).split()
    assert words[words.index(KEY) + 1 :][:7] == ["1", "0", "0", "1", "0", "0", C0]
    if len(KEY) <= columns:
        assert max(map(len, table.splitlines())) <= columns
