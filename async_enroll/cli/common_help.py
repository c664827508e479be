"""The common help, `async-enroll --help`: what there is, and where to start.

`cli.app` builds the command line of the same tables. This module prints them as cyclopts does, but
without it: cyclopts and rich take several times as long to load as this takes in all.
"""

from __future__ import annotations

import os
import re
import sys
from itertools import zip_longest
from textwrap import wrap

from async_enroll import __version__
from async_enroll.cli.options.config_file import config_path
from async_enroll.cli.output.ending import ExitStatus

SUMMARY = "Enroll and unenroll learners in bulk on MOOCit and Open edX."

COMMANDS = {
    "enrollments": "List current and former enrollments.",
    "apply": "Apply a roster: enroll and unenroll the learners it lists, and report every one.",
    "diff": "Show how a roster and the enrollments of its courses differ. Changes nothing.",
    "sync": "Make courses equal to a roster: enroll who is missing, unenroll others if asked.",
    "plan": "Show what applying a roster would do, without sending anything.",
    "resume": "Continue a stopped or interrupted job from its journal.",
    "undo": "Undo a job: take every learner back to their state before it.",
    "report": "Show the results of a job from its journal, during the job or afterwards.",
    "doctor": "Check the connection, credentials and permissions, and say how to fix problems.",
    "sandbox": "Run an embedded platform until Ctrl-C.",
    "demo": "Apply a sample roster on an embedded platform, and verify the report.",
}
"""The commands, each with the first line of its help."""

HELP, COMPLETION, VERSION = ("--help", "-h"), ("--install-completion",), ("--version",)

OPTIONS: dict[tuple[str, ...], str] = {
    HELP: "Display this message and exit.",
    COMPLETION: "Install completion for your shell (bash, zsh or fish), and load it at its start.",
    VERSION: "Display application version.",
}
"""The options that stand in place of a command, each with its summary."""

_EPILOGUE = """\
Start here:
  async-enroll demo                      try it on an embedded platform
  export ASYNC_ENROLL_URL=https://courses.example.org
  export ASYNC_ENROLL_TOKEN=…            or use --token-file PATH
  export ASYNC_ENROLL_CLIENT_ID=…        or sign in with client credentials
  export ASYNC_ENROLL_CLIENT_SECRET=…    or set …_CLIENT_SECRET_FILE=PATH
  async-enroll doctor                    check the connection and permissions
  async-enroll plan roster.csv           show what would be sent
  async-enroll apply roster.csv          enroll and unenroll learners
  async-enroll diff class.csv            show how a class list differs
  async-enroll sync class.csv            make them equal

Instead of the environment, {config}:
  [site.school]                          doctor --site school checks it
  url = "https://courses.example.org"
  token_file = "school.token"            or client_id and client_secret_file
  patience = "2h"                        or any other option for that site

Exit status:
  0    success
  1    some enrollments failed; the report lists them
  2    nothing was sent: unusable arguments, configuration, roster or site
  3    stopped before the end; with a journal, `resume` continues
  130  interrupted; with a journal, `resume` continues"""

_BOLD, _CYAN, _PLAIN = "\x1b[1m", "\x1b[36m", "\x1b[0m"
_NARROWEST = 40


def is_asked_for(arguments: list[str]) -> bool:
    """Whether the arguments ask for the common help, or for nothing at all."""
    return all(argument in HELP for argument in arguments)


def epilogue() -> str:
    """What follows the commands: where to start, the configuration file, the exit statuses."""
    return _EPILOGUE.format(config=config_path())


def common_help(width: int, *, color: bool) -> str:
    """The whole help, `width` columns wide, at least 40."""
    width = max(width, _NARROWEST)

    def styled(text: str, style: str) -> str:
        return f"{style}{text}{_PLAIN}" if color else text

    options = [(" (".join(names) + ")" * len(names[1:]), text) for names, text in OPTIONS.items()]
    rows = [*sorted(COMMANDS.items()), *options]
    left = max(len(name) for name, _ in rows)
    right = width - left - 6  # a frame of four, and two between the columns
    lines = [styled("Usage: async-enroll COMMAND", _BOLD), "", *wrap(SUMMARY, width), ""]
    lines.append(f"╭{'─ Commands ':─<{width - 2}}╮")
    for name, summary in rows:
        for name_or_not, words in zip_longest([name], wrap(summary, right), fillvalue=""):
            lines.append(f"│ {styled(name_or_not.ljust(left), _CYAN)}  {words.ljust(right)} │")
    lines += [f"╰{'─' * (width - 2)}╯", ""]
    for line in epilogue().splitlines():
        lines += _hanging(line, width)
    return "\n".join(lines)


def _hanging(line: str, width: int) -> list[str]:
    """A line, wrapped below the last of its columns. No word is broken."""
    columns = re.match(r"(.*\S)?  +(?=\S)", line)
    indent = columns.end() if columns else 0
    if width - indent < _NARROWEST // 2:
        indent = 4
    lines = wrap(
        line,
        width,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines or [""]


def show() -> ExitStatus:
    """Print the help as wide as the terminal, in color on a terminal that has any."""
    print(common_help(_columns(), color=_has_color()))
    return ExitStatus.OK


def show_version() -> ExitStatus:
    """Print the version."""
    print(__version__)
    return ExitStatus.OK


def _columns() -> int:
    """The columns of the terminal that any standard stream is on, as rich finds them; else 80."""
    told = os.environ.get("COLUMNS", "")
    if told.isdigit():
        return int(told)
    for stream in (0, 1, 2):
        try:
            if columns := os.get_terminal_size(stream).columns:
                return columns
        except OSError:
            continue
    return 80


def _has_color() -> bool:
    asked, refused, kind = map(os.environ.get, ("FORCE_COLOR", "NO_COLOR", "TERM"))
    if refused or kind == "dumb" or sys.platform == "win32":  # whose consoles may show the codes
        return False
    return bool(asked) or bool(sys.stdout and sys.stdout.isatty())  # None where it is closed
