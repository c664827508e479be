"""`async-enroll sandbox`: a platform to paste into a shell."""

import signal
from subprocess import DEVNULL

import anyio
from anyio.streams.text import TextReceiveStream

from async_enroll.sandbox import Platform
from tests.cli.command import COMMAND, environment, run


async def test_serves_until_interrupted() -> None:
    seeds = ("--learners", "3", "--courses", "2", "--listing", "pages")
    command = [*COMMAND, "sandbox", *seeds]
    async with await anyio.open_process(command, env=environment(), stderr=DEVNULL) as process:
        assert process.stdout is not None
        out = ""
        async for piece in TextReceiveStream(process.stdout):
            out += piece
            if out.count("\n") == 2:
                break
        exports = [line.removeprefix("export ").split("=", 1) for line in out.splitlines()]
        env = {**environment(), **dict(exports)}
        ended = await run("doctor", "--course-id", "course-v1:Demo+C002+2026", env=env)
        assert ended.status == 0
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0


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
