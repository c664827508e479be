"""Help that teaches, and arguments that make no sense."""

import inspect
import re
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from async_enroll.cli.app import app_for
from async_enroll.cli.common_help import COMMANDS as SUMMARIES
from async_enroll.cli.common_help import common_help
from tests.cli.command import environment, run

COMMANDS = (
    *("apply", "demo", "diff", "doctor", "enrollments", "plan", "report", "resume", "sandbox"),
    *("sync", "undo"),
    "--install-completion",
)
LOADED = """
import sys
from async_enroll.cli import main
sys.argv[1:] = {arguments!r}
try: main()
except SystemExit: pass
print(*sys.modules)
"""


def words_of(text: str) -> list[str]:
    """The words of a help screen, in order, without the lines around them."""
    return re.sub("[╭╮╰╯│─]", " ", text).split()


def rows_of(text: str) -> dict[str, str]:
    """The rows of a help screen so wide that none is wrapped: first name, and summary."""
    return dict(re.findall(r"^│ (\S+)(?: \(.*\))? +(.+?) +│$", text, re.MULTILINE))


async def test_help_lists_the_commands() -> None:
    ended = await run("--help", env=environment())
    assert ended.status == 0
    assert all(command in ended.out for command in COMMANDS)
    assert "Exit status" in ended.out


@pytest.mark.parametrize("command", COMMANDS)
async def test_help_of_a_command(command: str) -> None:
    ended = await run(command, "--help", env=environment())
    assert ended.status == 0
    assert f"async-enroll {command}" in ended.out
    assert ("Examples:" in ended.out) == (not command.startswith("-"))
    # At 80 columns, no line of an example is broken, and no paragraph in its middle.
    examples = ended.out[ended.out.rindex("╯") :]
    assert all(len(line) < 80 for line in examples.splitlines())


@pytest.mark.parametrize("command", SUMMARIES)
def test_the_common_help_has_the_first_line_of_each_command(command: str) -> None:
    function = getattr(import_module(f"async_enroll.cli.commands.{command}"), command)
    assert SUMMARIES[command] == f"{inspect.getdoc(function)}".partition("\n")[0]


@pytest.mark.parametrize("width", [80, 200])
def test_the_common_help_says_what_cyclopts_would(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/home/config")
    theirs = StringIO()
    app_for([]).help_print([], console=Console(file=theirs, width=width))
    assert words_of(common_help(width, color=False)) == words_of(theirs.getvalue())


def test_the_common_help_has_all_that_cyclopts_knows() -> None:
    app = app_for([])
    names = {name: app[name] for name in app}
    shown = {
        name.partition(" ")[0]: text
        for name, text in rows_of(common_help(200, color=False)).items()
    }
    assert shown == {name: command.help for name, command in names.items() if name != "-h"}
    assert {*COMMANDS, "--help", "--version"} == {*shown}
    assert names["-h"] is names["--help"]


@given(st.integers(0, 200))
def test_the_common_help_fits(width: int) -> None:
    lines = common_help(width, color=False).splitlines()
    width = max(width, 40)
    assert {len(line) for line in lines if line[:1] in {*"╭│╰"}} == {width}
    assert all(len(line) <= width or len(line.split()) == 1 for line in lines)
    assert words_of("\n".join(lines)) == words_of(common_help(80, color=False))


def test_the_common_help_in_color() -> None:
    colored = common_help(80, color=True)
    assert "\x1b[36mapply " in colored
    assert re.sub(r"\x1b\[\d+m", "", colored) == common_help(80, color=False)


@pytest.mark.parametrize(
    ("settings", "colored"),
    [
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, False),
    ],
)
async def test_color_where_it_is_wanted(settings: dict[str, str], colored: bool) -> None:
    ended = await run("--help", env={**environment(), "TERM": "xterm", "COLUMNS": "60", **settings})
    assert ("\x1b" in ended.out) == colored
    assert words_of(re.sub(r"\x1b\[\d+m", "", ended.out))


@pytest.mark.parametrize("arguments", [(), ("-h",), ("--help", "-h")])
async def test_who_asks_for_nothing_sees_the_common_help(arguments: tuple[str, ...]) -> None:
    asked = await run("--help", env=environment())
    assert await run(*arguments, env=environment()) == asked
    assert (asked.status, asked.err) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--help", "apply"), "async-enroll apply [OPTIONS] ROSTER"),
        (("--help", "--version"), "Usage: async-enroll COMMAND"),
        (("apply", "--version"), version("async_enroll")),
    ],
)
async def test_cyclopts_answers_the_rest(arguments: tuple[str, ...], words: str) -> None:
    ended = await run(*arguments, env=environment())
    assert (ended.status, ended.err) == (0, "")
    assert words in ended.out


async def test_version() -> None:
    assert (await run("--version", env=environment())).out.strip() == version("async_enroll")


@pytest.mark.parametrize(
    "arguments",
    [
        ("enrol",),
        ("apply",),
        ("apply", "a.csv", "b.csv"),
        ("apply", "--no-such-option", "roster.csv"),
        ("apply", "roster.csv", "--token", "sesame"),
        ("enrollments", "--days", "many"),
        ("doctor", "--timeout", "0"),
        ("sandbox", "--port", "99999"),
    ],
)
async def test_arguments_that_make_no_sense(arguments: tuple[str, ...]) -> None:
    ended = await run(*arguments, env=environment())
    assert (ended.status, ended.out) == (2, "")
    assert ended.err


def test_the_library_does_without_the_command_line() -> None:
    code = (
        "import sys, async_enroll, async_enroll.roster\n"
        "assert not {'cyclopts', 'rich', 'async_enroll.cli'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["--version"]])
def test_the_common_help_loads_no_command_and_no_library(arguments: list[str]) -> None:
    code = LOADED.format(arguments=arguments)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "async_enroll.cli.common_help" in loaded
    assert not loaded & {
        *("aiohttp", "anyio", "asyncio", "attr", "attrs", "cyclopts", "jinja2", "msgspec", "rich"),
        *("async_enroll.cli.app", "async_enroll.cli.console", "async_enroll.client"),
        *("async_enroll.models", "async_enroll.sandbox", "tomllib"),
    }


@pytest.mark.parametrize("command", ["--install-completion", "report"])
def test_a_command_loads_no_other(command: str) -> None:
    code = LOADED.format(arguments=[command, "--help"])
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    commands = {name for name in loaded if name.startswith("async_enroll.cli.commands.")}
    assert commands <= {f"async_enroll.cli.commands.{command}"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_completion_for_a_shell(tmp_path: Path, shell: str) -> None:
    script = tmp_path / "completion"
    arguments = ("--install-completion", "--shell", shell, "--output", script)
    ended = await run(*arguments, env={**environment(), "HOME": str(tmp_path)})
    assert ended.status == 0
    assert all(word in script.read_text() for word in ("enrollments", "email-students", "patience"))
