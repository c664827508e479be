"""What the README prints is what runs."""

import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from async_enroll.sandbox import Platform
from tests.readme import PYTHON, README

C1, C2 = "course-v1:Org+C1+2026", "course-v1:Org+C2+2026"


@pytest.fixture
async def site() -> AsyncIterator[Platform]:
    async with Platform() as platform:
        platform.add_course(C1)
        platform.add_course(C2)
        platform.add_user("jane", "jane@example.org")
        yield platform


def environment(platform: Platform) -> dict[str, str]:
    scripts = str(Path(sys.executable).parent)
    return {
        **os.environ,
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "ASYNC_ENROLL_URL": platform.url,
        "ASYNC_ENROLL_TOKEN": platform.token,
    }


def block(name: str) -> str:
    found = re.search(rf"^<!-- {name} -->\n```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


async def test_await(site: Platform) -> None:
    code = next(code for code in PYTHON if "ASYNC_ENROLL_URL" in code)
    done = await anyio.run_process([sys.executable, "-c", code], env=environment(site), stderr=None)
    assert site.is_enrolled("jane", C1)
    assert site.is_enrolled("jane", C2)
    assert len(site.outbox) == 2
    printed = done.stdout.decode()
    assert "4 pairs in 2 courses: 2 not as asked" in printed
    assert "john course-v1:Org+C2+2026 Outcome.INVALID_IDENTIFIER" in printed
    assert printed.splitlines()[-1].startswith("jane 20")


async def test_migrate(site: Platform, tmp_path: Path) -> None:
    await anyio.Path(tmp_path / "roster.csv").write_text(
        f"email,course_id\njane@example.org,{C1}\n"
    )
    # The two lines that name the site are the reader's own to change.
    commands = "\n".join(line for line in block("migrate").splitlines() if "export" not in line)
    script = f"set -e\n{commands}\n"
    await anyio.run_process(["sh", "-c", script], env=environment(site), cwd=tmp_path, stderr=None)
    assert site.is_enrolled("jane", C1)
    assert "jane@example.org" not in await anyio.Path(tmp_path / "mend.csv").read_text()
    assert "The one pair is as asked" in await anyio.Path(tmp_path / "outcome.html").read_text()
    assert "jane@example.org" in await anyio.Path(tmp_path / "new.csv").read_text()


async def test_sandbox() -> None:
    code = next(code for code in PYTHON if "async_enroll.sandbox" in code)
    await anyio.run_process([sys.executable, "-c", code], stderr=None)


def test_every_block_is_run() -> None:
    """The bot and the web applications are in `tests.bot` and `tests.web`."""
    assert len(PYTHON) == 5
    assert README.count("```sh") == 3


def test_the_two_commands_are_one_line_each() -> None:
    assert block("demo").count("\n") == block("tests").count("\n") == 1
