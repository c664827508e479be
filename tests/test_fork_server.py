"""A program that is forked is as one that is started."""

import socket
from pathlib import Path

import anyio
import pytest

from tests.cli.command import COMMAND, PROGRAM, environment, fork_server
from tests.waiting import until


@pytest.mark.parametrize("arguments", [("--version",), ("plan", "nowhere.csv"), ("plan", "-")])
async def test_the_same_status_and_output(arguments: tuple[str, ...]) -> None:
    env = {**environment(), "COLUMNS": "100"}
    roster = b"email,course_id\njane@example.org,course-v1:Org+C1+2026\n"
    forked = await fork_server().run(PROGRAM, arguments, env, roster)
    started = await anyio.run_process([*COMMAND, *arguments], input=roster, env=env, check=False)
    assert forked.returncode == started.returncode
    assert (forked.stdout, forked.stderr) == (started.stdout, started.stderr)


async def test_in_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "roster.csv").write_text("email,course_id\njane@example.org,course-v1:A+B+C\n")
    ended = await fork_server().run(PROGRAM, ["plan", "roster.csv"], environment())
    assert ended.returncode == 0


def test_what_is_read_at_the_start_is_left_to_a_start() -> None:
    env = environment()
    assert fork_server().starts_alike({**env, "ASYNC_ENROLL_URL": "https://example.org"})
    for name in ("LANG", "LC_ALL", "PYTHONUTF8", "SSL_CERT_FILE"):
        assert not fork_server().starts_alike({**env, name: "other"})


async def test_cancelled_it_is_killed() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = free.getsockname()

    def serves() -> bool:
        with socket.socket() as asking:
            return asking.connect_ex(address) == 0

    arguments = ["sandbox", "--port", str(address[1])]
    async with anyio.create_task_group() as running:
        running.start_soon(fork_server().run, PROGRAM, arguments, environment())
        await until(serves, seconds=30)
        running.cancel_scope.cancel()
    await until(lambda: not serves())
