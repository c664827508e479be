"""The loop that commands run on."""

import asyncio
import sys

import pytest

from async_enroll.cli.output.loop import run


async def loop_of(_: object) -> str:
    return type(asyncio.get_running_loop()).__module__


@pytest.mark.skipif(sys.platform == "win32", reason="uvloop is not for Windows")
def test_uvloop_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(loop_of, None).startswith("uvloop")
    monkeypatch.setattr("async_enroll.cli.output.loop.find_spec", lambda name: None)
    assert run(loop_of, None).startswith("asyncio")
