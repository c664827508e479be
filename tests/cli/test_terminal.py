"""What people see who sit at a terminal."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from async_enroll.sandbox import Platform

from .command import C0, COMMAND, environment, roster_file

pty = pytest.importorskip("pty")


def pieces(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            yield os.read(terminal, 65536)
        except OSError:  # how Linux says that nobody writes to the terminal any more
            return


async def at_a_terminal(*arguments: str, env: dict[str, str]) -> tuple[int, str]:
    """Run the command at a terminal of its own; give its status and what was seen."""
    ours, its = pty.openpty()
    command = [*COMMAND, *arguments]
    env = {**env, "TERM": "xterm", "COLUMNS": "80"}
    async with await anyio.open_process(command, stdout=its, stderr=its, env=env) as process:
        os.close(its)
        seen = await to_thread.run_sync(lambda: b"".join(pieces(ours)))
        status = await process.wait()
    os.close(ours)
    return status, seen.decode()


@pytest.mark.skipif(sys.platform == "win32", reason="no such terminals there")
async def test_progress_and_tables(tmp_path: Path) -> None:
    roster = roster_file(tmp_path / "r.csv", *(f"learner{n},{C0}" for n in range(10)))
    async with Platform(seconds_per_pair=0.02) as platform:
        platform.add_course(C0)
        for number in range(10):
            platform.add_user(f"learner{number}", f"learner{number}@example.org")
        status, seen = await at_a_terminal("apply", str(roster), env=environment(platform))
        assert status == 0
        assert "━" in seen
        assert "10/10 pairs" in seen
        assert "enrolled 10" in seen
        status, seen = await at_a_terminal("enrollments", env=environment(platform))
        assert status == 0
        assert "username" in seen
        assert "is_active" not in seen
