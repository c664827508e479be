"""The commands of `async-enroll`, and their common help."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from cyclopts import App, ArgumentCollection

from async_enroll import __version__
from async_enroll.cli.options.profiles import config_path

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
"""The commands, each with the first line of its help: what the common help shows."""

_EPILOGUE = f"""\
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

Instead of the environment, {config_path()}:
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


def app_for(arguments: Sequence[str]) -> App:
    """Build the command line for these arguments: of all commands, only the first one is loaded."""
    app = App(
        name="async-enroll",
        help="Enroll and unenroll learners in bulk on MOOCit and Open edX.",
        help_epilogue=_EPILOGUE,
        help_format="plaintext",
        config=_from_profile,
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
    app.register_install_completion_command(
        help="Install completion for your shell (bash, zsh or fish), and load it at its start."
    )
    return app


def _from_profile(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    # Loaded when the options of a command are read: the common help does without the client.
    from async_enroll.cli.options.config import from_profile

    from_profile(app, commands, arguments)
