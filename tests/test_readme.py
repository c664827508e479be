"""What the README prints is what runs."""

import inspect
import os
import re
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, get_args

import anyio
import pytest

import async_enroll
from async_enroll import (
    BatchLimits,
    EnrollmentClient,
    EnrollmentReport,
    Plan,
    RequestWindow,
    Roster,
    errors,
    events,
)
from async_enroll.sandbox import RELEASES, Fault, Faults, Platform
from tests.readme import MARKED, PYTHON, README, ROOT, python

C1 = "course-v1:Org+C1+2026"
ON_ASYNCIO = """
import pytest

@pytest.fixture
def anyio_backend():
    return "asyncio"
"""


@pytest.fixture
async def site() -> AsyncIterator[Platform]:
    async with Platform() as platform:
        platform.add_course(C1, cohorts=["Group A"])
        platform.add_user("jane", "jane@example.org")
        platform.add_user("johnny", "john@example.org")
        yield platform


def environment(platform: Platform) -> dict[str, str]:
    scripts = str(Path(sys.executable).parent)
    return {
        **os.environ,
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "ASYNC_ENROLL_URL": platform.url,
        "ASYNC_ENROLL_TOKEN": platform.token,
    }


async def run_block(name: str, platform: Platform, cwd: Path) -> str:
    return await run_script(MARKED[name], platform, cwd)


async def run_script(commands: str, platform: Platform, cwd: Path) -> str:
    """Run commands, each of which must succeed; say yes to what is asked."""
    script = "set -e\n" + re.sub(r"(async-enroll (?:apply|undo) )", r"\1--yes ", commands)
    command = ["sh", "-c", script]
    env = environment(platform)
    done = await anyio.run_process(command, env=env, cwd=cwd, stderr=None)
    return done.stdout.decode()


async def run_python(code: str, platform: Platform | None = None) -> str:
    env = environment(platform) if platform else None
    done = await anyio.run_process([sys.executable, "-c", code], env=env, stderr=None)
    return done.stdout.decode()


async def test_environment(site: Platform) -> None:
    """Each variable is one that the command line reads."""
    named = set(re.findall(r"ASYNC_ENROLL_\w+", README))
    client_id, secret = site.add_application()
    given = {
        "ASYNC_ENROLL_URL": site.url,
        "ASYNC_ENROLL_CLIENT_ID": client_id,
        "ASYNC_ENROLL_CLIENT_SECRET": secret,
    }
    assert named == {*given, "ASYNC_ENROLL_TOKEN", "ASYNC_ENROLL_CLIENT_SECRET_FILE"}
    env = {name: value for name, value in environment(site).items() if name not in named} | given
    done = await anyio.run_process(["async-enroll", "doctor"], env=env, stderr=None)
    assert "accepted as JWT" in done.stdout.decode()


async def test_registrar(site: Platform, tmp_path: Path) -> None:
    site.enroll("johnny", C1)
    await anyio.Path(tmp_path / "roster.csv").write_text(MARKED["roster"])
    printed = await run_block("registrar", site, tmp_path)
    assert "the token's user is global staff" in printed
    assert site.is_enrolled("jane", C1)
    assert not site.is_enrolled("johnny", C1)
    assert (
        "All 2 enrollments are as requested"
        in await anyio.Path(tmp_path / "outcome.html").read_text()
    )
    assert "example.org" not in await anyio.Path(tmp_path / "mend.csv").read_text()


async def test_profile(site: Platform, tmp_path: Path) -> None:
    folder = tmp_path / "async-enroll"
    folder.mkdir()
    profile = MARKED["profile"].replace("https://courses.example.org", site.url)
    (folder / "config.toml").write_text(profile)
    (folder / "school.token").write_text(site.token)
    (folder / "school.token").chmod(0o600)
    env = {
        name: value
        for name, value in environment(site).items()
        if not name.startswith("ASYNC_ENROLL_")
    }
    command = ["async-enroll", "doctor", "--site", "school"]
    done = await anyio.run_process(command, env={**env, "XDG_CONFIG_HOME": str(tmp_path)})
    assert "the token's user is global staff" in done.stdout.decode()


async def test_sync(site: Platform, tmp_path: Path) -> None:
    """The list has one who is missing; one who is not in it is removed, and all is undone."""
    for number in range(10):
        site.add_user(f"learner{number}", f"learner{number}@example.org")
        site.enroll(f"learner{number}", C1)
    rows = [f"learner{number}@example.org,{C1}" for number in range(9)]
    (tmp_path / "class.csv").write_text(
        "\n".join(["email,course_id", *rows, f"jane@example.org,{C1}", ""])
    )
    commands = MARKED["sync"].splitlines(keepends=True)
    # `diff` tells by its exit status that something differs.
    diff = commands[0].partition("#")[0] + "|| test $? = 1\n"
    done = await run_script(diff + "".join(commands[1:3]), site, tmp_path)
    assert "learner9" in done
    assert not site.is_enrolled("learner9", C1)
    assert site.is_enrolled("jane", C1)
    await run_script(commands[3], site, tmp_path)
    assert site.is_enrolled("learner9", C1)
    assert not site.is_enrolled("jane", C1)
    assert not site.outbox


async def test_mail(tmp_path: Path) -> None:
    """Those whose first mail may be lost are mailed once they are applied again."""
    async with Platform(faults=Faults.schedule({1: Fault.RESET_AFTER})) as site:
        site.add_course(C1)
        site.add_user("jane", "jane@example.org")
        async with EnrollmentClient(site.url, site.token, settle=0.5) as client:
            report = await client.apply(
                [async_enroll.RosterEntry("jane", C1)],
                email_students=True,
                journal=tmp_path / "job.db",
            )
        assert [result.notified for result in report.results] == [None]
        assert len(site.outbox) == 1
        await run_block("mail", site, tmp_path)
        assert len(site.outbox) == 2


async def test_developer(site: Platform) -> None:
    printed = await run_python(python("ASYNC_ENROLL_URL"), site)
    assert site.is_enrolled("jane", C1)
    assert "2 enrollments in 1 course: 1 failed" in printed
    assert f"john {C1} Outcome.INVALID_IDENTIFIER" in printed
    assert printed.splitlines()[-1].startswith("jane 20")


async def test_bot(site: Platform) -> None:
    names: dict[str, Any] = {}
    exec(python("reply_to"), names)
    reply_to = names["reply_to"]
    async with EnrollmentClient(site.url, site.token) as client:
        assert "1 failed" in await reply_to(f"/enroll {C1} jane nobody", client)
        assert (await reply_to(f"/enroll {C1}", client)).startswith("Expected")
    assert [mail.to for mail in site.outbox] == ["jane@example.org"]
    async with EnrollmentClient(site.url, "wrong") as client:
        assert "the token is not accepted" in await reply_to(f"/enroll {C1} jane", client)


async def test_sandbox() -> None:
    await run_python(python("async with Platform"))


async def test_fixtures(tmp_path: Path) -> None:
    await anyio.Path(tmp_path / "test_enrolling.py").write_text(python("enroll_client"))
    await anyio.Path(tmp_path / "conftest.py").write_text(ON_ASYNCIO)
    options = ["-W", "error", "-p", "no:asyncio", "-p", "no:cacheprovider", "-o", "anyio_mode=auto"]
    command = [sys.executable, "-m", "pytest", *options]
    done = await anyio.run_process(command, cwd=tmp_path, stderr=None)
    assert b"1 passed" in done.stdout


def test_every_block_is_run() -> None:
    """All but two run above: `.ci/run` runs the tests' command, `tests.cli` the demo."""
    assert len(PYTHON) == 4
    assert set(MARKED) == {
        *("demo", "tests", "environment", "profile", "roster", "registrar", "sync", "mail")
    }
    assert README.count("```") == 2 * (len(PYTHON) + len(MARKED))


def test_the_two_commands_are_one_line_each() -> None:
    assert MARKED["demo"].count("\n") == MARKED["tests"].count("\n") == 1


def test_length() -> None:
    assert len(README.split()) <= 2800


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)]+)\)", README)
    local = [link for link in links if not link.startswith("https://")]
    assert len(local) > 5
    assert not [link for link in local if not (ROOT / link).exists()]


def section(heading: str) -> str:
    """What stands under a heading."""
    pattern = rf"^#+ {re.escape(heading)}\n(.*?)(?=^##|\Z)"
    found = re.search(pattern, README, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def test_tables_have_what_there_is() -> None:
    """Every outcome, every event, every exception of the public face, every release."""
    rows = re.findall(r"^\| (`[^|]*`) \|", section("Outcomes"), re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == set(async_enroll.Outcome.__members__)
    public = {
        name
        for name in async_enroll.__all__
        if isinstance(kind := getattr(async_enroll, name), type)
        and issubclass(kind, errors.EnrollError)
    }
    assert (
        set(re.findall(r"`(\w+(?:Error|Denied|Response|Stopped|Failures|Refused))`", README))
        >= public
    )
    assert all(f"`{kind.__name__}`" in README for kind in get_args(events.Event))
    assert all(f"`{name}`" in section("Test your application") for name in RELEASES)


def test_arguments_are_those_of_the_client() -> None:
    rows = section("`EnrollmentClient(base_url, auth, *, …)`")
    told = re.findall(r"^\| `(\w+)` \| (?:`([^`|]*)`)? ?\| [^|]+ \|$", rows, re.MULTILINE)
    empty = inspect.Parameter.empty
    takes = inspect.signature(EnrollmentClient).parameters.values()
    expected = {one.name: "" if one.default is empty else repr(one.default) for one in takes}
    del expected["base_url"]
    assert {name: default.replace('"', "'") for name, default in told} == {
        **expected,
        "window": "RequestWindow(calls=120, seconds=60)",
    }
    assert RequestWindow(calls=120, seconds=60) == RequestWindow()


@pytest.mark.parametrize(
    "name",
    ["bulk_enroll", "bulk_unenroll", "apply", "diff", "sync", "undo", "resume", "enrollments"],
)
def test_methods_take_what_the_table_says(name: str) -> None:
    """None is what an argument without a default in the table has."""
    (told,) = re.findall(rf"^\| `(?:await )?{name}\((.*?)\)`", README, re.MULTILINE)
    assert f"(self, {told})" == _shown(getattr(EnrollmentClient, name))


async def test_objects_have_what_the_table_says(tmp_path: Path) -> None:
    (row,) = re.findall(r"^\| `EnrollmentReport` \| (.*) \|$", README, re.MULTILINE)
    named = re.findall(r"`(\w+)(?:\(\))?`", row)
    assert len(named) > 10
    has = {*dir(EnrollmentReport), *inspect.signature(EnrollmentReport).parameters}
    assert not set(named) - has
    (reading,) = re.findall(r"`Roster.read\((.*?)\)`", README)
    assert f"({reading})" == _shown(Roster.read)
    (planning,) = re.findall(r"`(Plan.of\(.*?\))`", README)
    await anyio.Path(tmp_path / "roster.csv").write_text(MARKED["roster"])
    names = {"roster": Roster.read(tmp_path / "roster.csv"), "limits": BatchLimits(), "name": "x"}
    assert eval(planning, {"Plan": Plan, **names}).pairs == 2


def _shown(method: Callable[..., Any]) -> str:
    signature = inspect.signature(method)
    bare = [
        one.replace(annotation=one.empty, default=one.empty if one.default is None else one.default)
        for one in signature.parameters.values()
    ]
    return str(signature.replace(parameters=bare, return_annotation=signature.empty))
