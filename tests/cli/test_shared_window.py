"""Commands with one token share their request window, without being told to."""

from pathlib import Path

import anyio
import pytest

from async_enroll import RequestWindow
from async_enroll.sandbox import Platform
from tests.cli.command import C0, Ended, environment, names_in, roster_file, run
from tests.redis_server import RedisServer, needs_redis, serving

WINDOW = RequestWindow(10, 3)
CALLS = 8
MOST_REFUSALS = 2
"""Each on its own would meet six or more. On a busy machine, a call may be long on its way."""
OPTIONS = ("--batch-identifiers", "1", "--window-calls", "10", "--window-seconds", "3", "--yes")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir(mode=0o700)
    return tmp_path / "run"


async def two_at_once(site: Platform, tmp_path: Path, env: dict[str, str]) -> list[Ended]:
    """What becomes of two terminals in which rosters are applied."""
    ended: list[Ended] = []

    async def apply(number: int) -> None:
        rows = [f"t{number}x{one}@example.org,{C0}" for one in range(CALLS)]
        roster = roster_file(tmp_path / f"{number}.csv", *rows)
        ended.append(await run("apply", roster, *OPTIONS, "--quiet", env=env))

    site.add_course(C0)
    async with anyio.create_task_group() as terminals:
        terminals.start_soon(apply, 1)
        terminals.start_soon(apply, 2)
    return ended


def refusals(site: Platform) -> int:
    return sum(request.status == 429 for request in site.requests)


async def test_two_terminals(tmp_path: Path, folder: Path) -> None:
    async with Platform(window=WINDOW) as site:
        env = {**environment(site), "XDG_RUNTIME_DIR": str(folder)}
        ended = await two_at_once(site, tmp_path, env)
        assert [(one.status, one.err) for one in ended] == [(0, "")] * 2
        assert refusals(site) <= MOST_REFUSALS
        # They do not ask the site who they are: one token is one user.
        assert not [one for one in site.requests if one.path.startswith("/api/user/")]
    assert names_in(folder) == ["async_enroll"]


async def test_none(tmp_path: Path, folder: Path, platform: Platform) -> None:
    env = {**environment(platform), "XDG_RUNTIME_DIR": str(folder)}
    roster = roster_file(tmp_path / "roster.csv", f"jane@example.org,{C0}")
    ended = await run("apply", roster, "--yes", "--shared-window", "none", env=env)
    assert ended.status == 0
    assert names_in(folder) == []


async def test_a_folder_that_cannot_be_written(
    tmp_path: Path, folder: Path, platform: Platform
) -> None:
    (folder / "async_enroll").write_text("in the way")
    env = {**environment(platform), "XDG_RUNTIME_DIR": str(folder)}
    roster = roster_file(tmp_path / "roster.csv", f"jane@example.org,{C0}")
    ended = await run("apply", roster, "--yes", "--quiet", env=env)
    assert ended.status == 0
    assert ended.err.count("warning: the request window is shared with no other process") == 1
    ended = await run("doctor", env=env)
    assert ended.status == 0
    assert "- window" in ended.out


@needs_redis
async def test_redis_in_the_environment(tmp_path: Path, folder: Path) -> None:
    with serving("--requirepass", "sesame") as server:
        async with Platform(window=WINDOW) as site:
            env = {
                **environment(site),
                "XDG_RUNTIME_DIR": str(folder),
                "ASYNC_ENROLL_SHARED_WINDOW": f"redis://:sesame@127.0.0.1:{server.port}",
            }
            ended = await two_at_once(site, tmp_path, env)
            assert [(one.status, one.err) for one in ended] == [(0, "")] * 2
            assert refusals(site) <= MOST_REFUSALS
            told = await run("doctor", env=env)
            assert f"shared by way of redis://127.0.0.1:{server.port}, which answers in" in told.out
            helped = await run("apply", "--help", env=env)
    assert "sesame" not in told.out + told.err + helped.out
    assert names_in(folder) == []


@needs_redis
async def test_redis_is_down(tmp_path: Path, platform: Platform) -> None:
    server = RedisServer()
    env = {**environment(platform), "ASYNC_ENROLL_SHARED_WINDOW": server.url}
    roster = roster_file(tmp_path / "roster.csv", f"jane@example.org,{C0}")
    ended = await run("apply", roster, "--yes", "--quiet", env=env)
    assert ended.status == 0
    assert ended.err.count("warning: the request window is shared with no other process") == 1
    ended = await run("enrollments", "--format", "csv", env=env)
    assert ended.status == 0
    assert ended.err.count("warning: the request window is shared with no other process") == 1
    ended = await run("doctor", env=env)
    assert ended.status == 3
    assert "✗ window" in ended.out
    assert "check --shared-window" in ended.out


async def test_an_unusable_url(platform: Platform) -> None:
    env = {**environment(platform), "ASYNC_ENROLL_SHARED_WINDOW": "redis://:sesame@"}
    for command in ("doctor", "enrollments"):
        ended = await run(command, env=env)
        assert ended.status == 2
        assert "expected something like redis://" in ended.err
        assert "sesame" not in ended.out + ended.err
