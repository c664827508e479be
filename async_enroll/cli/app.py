"""Builds the command line of the tables in `cli.common_help`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from cyclopts import App, ArgumentCollection

from async_enroll import __version__
from async_enroll.cli.common_help import (
    COMMANDS,
    COMPLETION,
    HELP,
    OPTIONS,
    SUMMARY,
    VERSION,
    epilogue,
)


def app_for(arguments: Sequence[str]) -> App:
    """Build the command line for these arguments: of all commands, only the first one is loaded."""
    app = App(
        name="async-enroll",
        help=SUMMARY,
        help_epilogue=epilogue(),
        help_format="plaintext",
        config=_from_profile,
        help_flags=HELP,
        version_flags=VERSION,
        version=__version__,
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    asked = next((word for word in arguments if not word.startswith("-")), None)
    for name, summary in COMMANDS.items():
        place = f"{__package__}.commands.{name}"
        if name == asked:
            module = import_module(place)
            app.command(getattr(module, name), help_epilogue=module.EXAMPLES)
        else:
            app.command(f"{place}:{name}", name=name, help=summary)
    app.register_install_completion_command(name=COMPLETION, help=OPTIONS[COMPLETION])
    for names in (HELP, VERSION):
        app[names[0]].help = OPTIONS[names]
    return app


def _from_profile(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    # Loaded when the options of a command are read: the common help does without the client.
    from async_enroll.cli.options.config import from_profile

    from_profile(app, commands, arguments)
