"""`async-enroll demo`: the report and the platform agree, and nothing is left behind."""

from pathlib import Path

from tests.cli.command import environment, names_in, run


async def test_demo(tmp_path: Path) -> None:
    env = {**environment(), "TMPDIR": str(tmp_path)}
    ended = await run("demo", "--learners", "30", "--courses", "2", env=env)
    assert ended.status == 0
    assert "not a valid address or user" in ended.out
    assert ended.out.count(" 30 ") >= 2
    assert "Report and platform agree." in ended.err
    assert names_in(tmp_path) == []


async def test_a_demo_of_nobody() -> None:
    assert (await run("demo", "--learners", "0", env=environment())).status == 2
