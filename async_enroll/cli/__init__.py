"""The command line, `async-enroll`: the only part that prints or reads the environment.

`commands` has one module per command, `options` what they share, `output` what they print.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from io import TextIOWrapper
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from async_enroll.cli.output.ending import ExitStatus

_STANDARD_ERROR = 2


def main() -> None:
    """Run the command line and exit with its status."""
    _open_standard_streams()
    try:
        from async_enroll.cli.output.ending import ending

        command = _command(sys.argv[1:])
    except ModuleNotFoundError as error:
        package = f"{error.name}".partition(".")[0]
        if package == __name__.partition(".")[0]:
            raise
        print(
            f"error: the command line needs {package}, which is not installed: "
            'pip install "async_enroll[cli]"',
            file=sys.stderr,
        )
        sys.exit(2)  # ExitStatus.UNUSABLE, which needs the extra itself
    except KeyboardInterrupt:  # while the command is loaded
        print("error: interrupted", file=sys.stderr)
        sys.exit(130)  # ExitStatus.INTERRUPTED, which may not be loaded
    # Output is UTF-8 whatever the locale, as in files.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    sys.exit(ending(command))


def _open_standard_streams() -> None:
    """Open those that are closed, for nothing: no journal or socket is to get their numbers."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= _STANDARD_ERROR:
        pass
    os.close(number)


def _command(arguments: list[str]) -> Callable[[], ExitStatus]:
    """What the arguments ask for. The common help and the version do without cyclopts."""
    from async_enroll.cli import common_help

    if common_help.is_asked_for(arguments):
        return common_help.show
    if arguments == [*common_help.VERSION]:
        return common_help.show_version
    from async_enroll.cli.app import app_for

    return app_for(arguments)
