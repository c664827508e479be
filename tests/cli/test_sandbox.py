"""`async-enroll sandbox`: a platform to paste into a shell."""

import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import DEVNULL

import aiohttp
import anyio
import pytest
from anyio.streams.text import TextReceiveStream

from async_enroll.sandbox import Platform
from tests.cli.command import COMMAND, environment, run


@asynccontextmanager
async def sandbox(*options: str | Path) -> AsyncIterator[dict[str, str]]:
    """Run the sandbox until it is interrupted; give the environment that it prints."""
    command = [*COMMAND, "sandbox", *map(str, options)]
    async with await anyio.open_process(command, env=environment(), stderr=DEVNULL) as process:
        assert process.stdout is not None
        out = ""
        async for piece in TextReceiveStream(process.stdout):
            out += piece
            if out.count("\n") == 2:
                break
        exports = [line.removeprefix("export ").split("=", 1) for line in out.splitlines()]
        yield {**environment(), **dict(exports)}
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0


async def test_serves_until_interrupted() -> None:
    async with sandbox("--learners", "3", "--courses", "2", "--listing", "pages") as env:
        ended = await run("doctor", "--course-id", "course-v1:Demo+C002+2026", env=env)
        assert ended.status == 0


async def test_a_playground(tmp_path: Path) -> None:
    """What a new user does: look at the page, apply the sample, look at it again."""
    path = tmp_path / "roster.csv"
    options = ("--learners", "200", "--courses", "3", "--roster-out", path, "--no-throttle")
    faults = ("--fault", "reset-after:0.2", "--fault", "SERVER_ERROR:0.2")
    async with sandbox(*options, *faults, "--release", "2022") as env:
        assert path.stat().st_mode & 0o777 == 0o600
        ended = await run(
            "apply", path, "--yes", "--json", "--settle=0.3", "--batch-pairs=20", env=env
        )
        told = json.loads(ended.out)
        assert ended.status == 1
        assert told["counts"] == {
            "enrolled": 186,
            "already_enrolled": 4,
            "unenrolled": 6,
            "allowed": 2,
            "invalid_identifier": 2,
        }
        async with aiohttp.ClientSession() as session:
            async with session.get(env["ASYNC_ENROLL_URL"]) as answer:
                page = await answer.text()
    assert "Open edX of 2022" in page
    assert "No throttle" in page
    assert "Faults made: " in page
    assert env["ASYNC_ENROLL_TOKEN"] not in page


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--fault", "NONE:0.1"), "--fault NONE:0.1: expected one of RESET_BEFORE, RESET_AFTER"),
        (("--fault", "CUT"), "--fault CUT: expected a share of the calls, as in CUT:0.1"),
        (("--fault", "CUT:nan"), "--fault CUT:nan: expected shares"),
        (("--fault", "CUT:0.6", "--fault", "STALL:0.6"), "together, at most 1"),
        (("--roster-out", "no/such/folder.csv"), "--roster-out no/such/folder.csv: there is no"),
        (("--roster-out", "x.csv", "--courses", "0"), "needs at least one learner and one course"),
    ],
)
async def test_what_makes_no_playground(options: tuple[str, ...], words: str) -> None:
    ended = await run("sandbox", *options, env=environment())
    assert (ended.status, ended.out) == (2, "")
    assert words in " ".join(ended.err.split())


async def test_an_unknown_release() -> None:
    ended = await run("sandbox", "--release", "2024", env=environment())
    assert (ended.status, ended.out) == (2, "")
    assert "2025" in ended.err


async def test_a_port_in_use() -> None:
    async with Platform() as platform:
        port = platform.url.rpartition(":")[2]
        ended = await run("sandbox", "--port", port, env=environment())
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith(f"error: --port {port}: ")
