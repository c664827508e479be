"""What runs async_enroll for days: each file is read as its reader does, and its command is run."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
import yaml
from attrs import define, field

from async_enroll.cli.output.ending import ExitStatus
from async_enroll.sandbox import Platform
from tests.cli.command import C0, COMMAND, Ended, environment, names_in, roster_file
from tests.readme import ROOT
from tests.waiting import until

HERE = Path(__file__).with_name("deploy")
PROGRAM = "/opt/async-enroll/bin/async-enroll"
PEOPLE = [f"learner{number}" for number in range(80)]
SMALL = ("--batch-identifiers=4", "--settle=1")
"""What makes a long job of a short roster."""


@asynccontextmanager
async def platform_of(*, seconds_per_call: float = 0.0) -> AsyncIterator[Platform]:
    async with Platform(window=None, seconds_per_call=seconds_per_call) as site:
        site.add_course(C0)
        for who in PEOPLE:
            site.add_user(who, f"{who}@example.org")
        yield site


def enrolled(site: Platform) -> int:
    return sum(record.is_active for record in site.enrollments)


@define
class Machine:
    """Where a file's command runs: what its paths are here, and what it is given."""

    paths: Mapping[str, Path]
    env: Mapping[str, str]
    before: list[str] = field(factory=list)

    def here(self, argument: str) -> str:
        for path, ours in self.paths.items():
            argument = argument.replace(path, str(ours))
        return argument

    async def run(self, *arguments: str) -> Ended:
        command = [*self.before, *COMMAND, *map(self.here, arguments)]
        done = await anyio.run_process(command, env=self.env, check=False)
        ended = Ended(done.returncode, done.stdout.decode(), done.stderr.decode())
        assert "Traceback" not in ended.err
        return ended


def with_token_file(site: Platform, path: Path) -> dict[str, str]:
    """Put the token into a file; give an environment without it."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(site.token)
    path.chmod(0o600)
    return {**environment(), "ASYNC_ENROLL_URL": site.url}


@pytest.fixture
def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=True, delimiters="=")
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # as documented
    parser.read(HERE / "async-enroll@.service", "utf-8")
    return parser


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    text = (HERE / "async-enroll@.service").read_text("utf-8")
    path = tmp_path / "async-enroll@autumn.service"
    path.write_text(text.replace(PROGRAM, sys.executable))
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", path],
        capture_output=True,
        text=True,
        check=False,
    )
    about = [line for line in checked.stderr.splitlines() if "async-enroll" in line]
    assert (checked.returncode, about) == (0, [])
    path.write_text(text.replace(PROGRAM, sys.executable).replace("Restart=on", "Restart=if"))
    broken = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", path], capture_output=True, check=False
    )
    assert b"if-failure" in broken.stderr


def restarts(unit: configparser.ConfigParser, status: int) -> bool:
    """Whether systemd starts the unit again. Source: systemd.service(5), Restart=on-failure."""
    service = unit["Service"]
    assert service["Restart"] == "on-failure"
    clean = {0, *map(int, service["SuccessExitStatus"].split())}
    prevented = set(map(int, service["RestartPreventExitStatus"].split()))
    return status not in clean | prevented


def test_a_job_is_resumed_for_as_long_as_that_can_help(unit: configparser.ConfigParser) -> None:
    again = {status for status in ExitStatus if restarts(unit, status)}
    assert again == {ExitStatus.STOPPED, ExitStatus.BROKEN_PIPE}
    assert restarts(unit, -9)
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"


async def test_the_units_job_outlives_a_crash_and_an_outage(
    unit: configparser.ConfigParser, tmp_path: Path
) -> None:
    program, *arguments = shlex.split(unit["Service"]["ExecStart"])
    assert program == PROGRAM
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    journal = state / "autumn.db"
    async with platform_of(seconds_per_call=0.1) as site:
        env = with_token_file(site, tmp_path / "credentials" / "token")
        paths = {
            "%S/async-enroll": state,
            "%d": tmp_path / "credentials",
            "%i": Path("autumn"),
        }
        machine = Machine(paths, env)
        begun = ["apply", roster_file(tmp_path / "roster.csv", *[f"{who},{C0}" for who in PEOPLE])]
        options = ["--journal", journal, "--yes", "--email-students", "--quiet", *SMALL]
        by_hand = [*COMMAND, *map(str, [*begun, *options])]
        async with await anyio.open_process(by_hand, env=environment(site)) as process:
            await until(lambda: enrolled(site) > 10, seconds=20)
            process.kill()  # the machine loses power, say
        await site.crash()
        down = await machine.run(*arguments, *SMALL)
        assert restarts(unit, down.status)
        await site.restart()
        done = await machine.run(*arguments, *SMALL)
        assert done.status == 0, done.err
        assert not restarts(unit, done.status)
        assert enrolled(site) == len(PEOPLE)
        mailed = [mail.to for mail in site.outbox]
        assert len(mailed) == len(set(mailed))
        again = await machine.run(*arguments, *SMALL)
    assert "nothing was sent" in again.err
    assert not restarts(unit, again.status)
    assert journal.stat().st_mode & 0o777 == 0o600


def instructions() -> list[tuple[str, str]]:
    """Those of the Dockerfile. Source: Dockerfile reference, Format."""
    text = (HERE / "Dockerfile").read_text("utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


def test_the_container_runs_the_command_as_nobody_in_particular() -> None:
    found = instructions()
    known = {"FROM", "COPY", "RUN", "ENV", "USER", "WORKDIR", "VOLUME", "ENTRYPOINT", "CMD"}
    assert {name for name, _ in found} <= known
    last = max(number for number, (name, _) in enumerate(found) if name == "FROM")
    stages = [rest.split()[-1] for name, rest in found[:last] if name == "FROM"]
    final = dict(found[last:])
    assert json.loads(final["ENTRYPOINT"]) == [PROGRAM]
    assert all(part.isdecimal() and int(part) > 0 for part in final["USER"].split(":"))
    copied = re.fullmatch(r"--from=(\w+) (\S+) (\S+)", final["COPY"])
    assert copied
    assert copied[1] in stages
    assert copied[2] == copied[3] == str(Path(PROGRAM).parent.parent)
    # The image's Python is one that the package is for.
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    version = re.search(r"python:(3\.\d+)-slim", final["FROM"])
    assert version
    assert f"Programming Language :: Python :: {version[1]}" in project


def read_only(*writable: Path) -> list[str]:
    """What runs a command where nothing can be written but in some folders, and /tmp is empty."""
    binds = [f"mount --bind {shlex.quote(str(path))} {shlex.quote(str(path))}" for path in writable]
    script = " && ".join([*binds, "mount -o remount,bind,ro /", 'exec "$@"'])
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    command = ["unshare", "--mount", *user, "sh", "-c", script, "sh"]
    try:
        tried = subprocess.run([*command, "touch", "/read-only"], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("needs unshare")
    if b"Read-only" not in tried.stderr:
        pytest.skip("needs to be allowed to mount")
    return command


async def test_the_containers_job_needs_no_other_place_to_write(tmp_path: Path) -> None:
    compose = yaml.safe_load((HERE / "compose.yaml").read_text("utf-8"))
    service = compose["services"]["apply"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert (HERE / service["build"]["context"] / service["build"]["dockerfile"]).resolve() == (
        HERE / "Dockerfile"
    )
    assert [volume.split(":")[1] for volume in service["volumes"]] == ["/roster.csv", "/jobs"]
    assert service["secrets"] == [*compose["secrets"]] == ["token"]
    roster = roster_file(tmp_path / "roster.csv", *[f"{who},{C0}" for who in PEOPLE])
    jobs = tmp_path / "jobs"
    jobs.mkdir(mode=0o700)
    async with platform_of() as site:
        env = with_token_file(site, tmp_path / "secrets" / "token")
        paths = {
            "/roster.csv": roster,
            "/jobs": jobs,
            "/run/secrets": tmp_path / "secrets",
        }
        given = {name: env[name] for name in service["environment"]}
        machine = Machine(paths, {**env, **given, "HOME": "/nowhere"}, read_only(jobs))
        done = await machine.run(*service["command"])
        assert done.status == 0, done.err
        assert enrolled(site) == len(PEOPLE)
        calls = len(site.requests)
        again = await machine.run(*service["command"])
        assert again.status == 0
        assert len(site.requests) == calls
    assert {"job.db", "outcome.html"} <= set(names_in(jobs))
    assert names_in(tmp_path) == ["jobs", "roster.csv", "secrets"]


def crontab() -> tuple[dict[str, str], list[tuple[list[str], str]]]:
    """Its environment, and when each command runs. Source: crontab(5)."""
    given: dict[str, str] = {}
    jobs = []
    for line in (HERE / "async-enroll.cron").read_text("utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        if name := re.match(r"(\w+)=(.*)", line):
            given[name[1]] = name[2]
            continue
        *when, command = line.split(maxsplit=5)
        whole, rest, *_ = [*re.split(r"(?<!\\)%", command, maxsplit=1), ""]
        assert not rest, "cron gives what is behind % to the command as its input"
        jobs.append((when, whole.replace(r"\%", "%")))
    return given, jobs


def test_cron_knows_when() -> None:
    given, jobs = crontab()
    assert given["PATH"].startswith(f"{Path(PROGRAM).parent}:")
    assert [when for when, _ in jobs] == [["0", "3", "*", "*", "1"], ["0", "4", "*", "*", "1"]]


def test_cron_deletes_old_journals_only(tmp_path: Path) -> None:
    _, (_, (_, command)) = crontab()
    for name, days in (("sync-old.db", 91), ("sync-new.db", 89), ("class-list.csv", 91)):
        (tmp_path / name).touch()
        at = time.time() - days * 24 * 3600
        os.utime(tmp_path / name, (at, at))
    command = command.replace("/var/lib/async-enroll", shlex.quote(str(tmp_path)))
    subprocess.run(["sh", "-c", command], check=True)
    assert names_in(tmp_path) == ["class-list.csv", "sync-new.db"]


async def test_cron_syncs_by_the_guard(tmp_path: Path) -> None:
    given, ((_, command), _) = crontab()
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    command = command.replace("/var/lib/async-enroll", shlex.quote(str(state)))
    roster = state / "class-list.csv"
    roster_file(roster, *[f"{who},{C0}" for who in PEOPLE[1:42]])
    async with platform_of() as site:
        for who in PEOPLE[:40]:
            site.enroll(who, C0)
        token = with_token_file(site, state / "token")["ASYNC_ENROLL_URL"]
        scripts = f"{Path(sys.executable).parent}:{given['PATH']}"
        env = {**given, "PATH": scripts, "ASYNC_ENROLL_URL": token, "HOME": "/nowhere"}
        run = [*read_only(state), given["SHELL"], "-c", command]
        done = await anyio.run_process(run, env=env, check=False)
        assert done.returncode == 0, done.stderr.decode()
        assert {one.username for one in site.enrollments if one.is_active} == {*PEOPLE[1:42]}
        calls = len(site.requests)
        again = await anyio.run_process(run, env=env, check=False)
        assert again.returncode == 0, again.stderr.decode()
        assert calls == len(site.requests)
        made = [name for name in names_in(state) if name.startswith("sync-")]
        assert {re.sub(r"-\d{4}-\d\d-\d\d", "", name) for name in made} >= {"sync.db", "sync.html"}
        for name in made:
            (state / name).unlink()
        roster_file(roster, *[f"{who},{C0}" for who in PEOPLE[1:30]])  # it came in half
        refused = await anyio.run_process(run, env=env, check=False)
        assert refused.returncode == ExitStatus.UNUSABLE
        assert "--max-removals" in refused.stderr.decode()
        assert len([one for one in site.enrollments if one.is_active]) == 41
