"""Help that teaches, and arguments that make no sense."""

import inspect
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

from async_enroll.cli import app
from tests.cli.command import environment, run

COMMANDS = (
    *("apply", "demo", "diff", "doctor", "enrollments", "plan", "report", "resume", "sandbox"),
    *("sync", "undo"),
    "--install-completion",
)


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


@pytest.mark.parametrize("command", app.COMMANDS)
def test_the_common_help_has_the_first_line_of_each_command(command: str) -> None:
    function = getattr(import_module(f"async_enroll.cli.commands.{command}"), command)
    assert app.COMMANDS[command] == f"{inspect.getdoc(function)}".partition("\n")[0]


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


def test_help_loads_no_command() -> None:
    code = (
        "import sys\n"
        "from async_enroll.cli import main\n"
        "sys.argv[1:] = ['--help']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert not {'aiohttp', 'jinja2', 'async_enroll.sandbox'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_completion_for_a_shell(tmp_path: Path, shell: str) -> None:
    script = tmp_path / "completion"
    arguments = ("--install-completion", "--shell", shell, "--output", script)
    ended = await run(*arguments, env={**environment(), "HOME": str(tmp_path)})
    assert ended.status == 0
    assert all(word in script.read_text() for word in ("enrollments", "email-students", "patience"))
