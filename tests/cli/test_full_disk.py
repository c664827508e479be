"""Files that cannot be written are named."""

from pathlib import Path

import pytest

from async_enroll.sandbox import Platform
from tests.cli.command import C0, environment, roster_file, run


@pytest.mark.parametrize(
    "command",
    [
        ("enrollments", "--output"),
        ("diff", "roster.csv", "--output"),
        ("sandbox", "--learners", "9", "--roster-out"),
    ],
    ids=lambda command: command[0],
)
async def test_a_full_disk(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    roster_file(tmp_path / "roster.csv", f"jane@example.org,{C0}")
    (tmp_path / "full.csv").symlink_to("/dev/full")
    ended = await run(*command, "full.csv", env=environment(platform))
    assert ended.status == 3
    assert ended.err.endswith("error: full.csv cannot be written: No space left on device\n")
