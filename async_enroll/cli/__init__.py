"""The command line, `async-enroll`: the only part that prints and that reads the environment."""

from __future__ import annotations

import sys
from io import TextIOWrapper


def main() -> None:
    """Run the command that the arguments name, and end the process."""
    try:
        from async_enroll.cli.app import app
        from async_enroll.cli.output.ending import ending
    except ModuleNotFoundError as error:
        package = f"{error.name}".partition(".")[0]
        if package == __name__.partition(".")[0]:
            raise
        print(
            f"error: the command line needs {package}, which is not installed: "
            'pip install "async_enroll[cli]"',
            file=sys.stderr,
        )
        sys.exit(2)  # as ExitStatus.UNUSABLE, which cannot be had without the extra
    # Data on stdout is UTF-8, like that in files, whatever the locale.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    sys.exit(ending(app))
