"""`--log-file` and `--verbose`: what a log holds, and who may read it."""

import re
import stat
from pathlib import Path

from async_enroll.sandbox import Platform
from tests.cli.command import C0, environment, roster_file, run, signing_in


async def test_a_log(platform: Platform, tmp_path: Path) -> None:
    roster = roster_file(tmp_path / "r.csv", f"learner0,{C0}", f"nobody,{C0}")
    log = tmp_path / "job.log"
    command = ("apply", roster, "--yes", "--quiet", "--log-file", log)
    assert (await run(*command, env=environment(platform))).status == 1
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    lines = log.read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO    job 1", s) for s in lines)
    assert [line.rpartition(": ")[2] for line in lines] == ["2 pairs, 0 done before", "done"]
    ended = await run(*command, "-v", env=signing_in(platform))
    more = log.read_text().splitlines()
    assert more[: len(lines)] == lines  # it is appended to
    assert any(" DEBUG   job 1, call " in line for line in more)
    assert len(ended.err.splitlines()) == len(more) - len(lines)
    for text in (log.read_text(), ended.err):
        assert platform.token not in text
        assert "learner0" not in text


async def test_a_log_that_cannot_be_written(platform: Platform, tmp_path: Path) -> None:
    roster = roster_file(tmp_path / "r.csv", f"learner0,{C0}")
    command = ("apply", roster, "--yes", "--quiet", "--log-file")
    ended = await run(*command, tmp_path / "none" / "job.log", env=environment(platform))
    assert ended.status == 2
    assert f"error: --log-file {tmp_path}/none/job.log: No such file" in ended.err
    assert platform.requests == []
    # A full disk is said once, and stops nothing.
    ended = await run(*command, "/dev/full", env=environment(platform))
    assert ended.status == 0
    assert ended.err == "warning: --log-file /dev/full: cannot be written any more\n"
    assert platform.is_enrolled("learner0", C0)
