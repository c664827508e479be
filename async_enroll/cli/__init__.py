"""The command line, `async-enroll`: the only part that prints or reads the environment.

`commands` has one module per command, `options` what they share, `output` what they print.
"""

from __future__ import annotations

import sys
from io import TextIOWrapper


def main() -> None:
    """Run the command line and exit with its status."""
    try:
        from async_enroll.cli.app import app_for
        from async_enroll.cli.output.ending import ending

        app = app_for(sys.argv[1:])
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
    # Output is UTF-8 whatever the locale, as in files.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    sys.exit(ending(app))
