"""Fills in options from a profile of the configuration file: a source of values for cyclopts."""

from __future__ import annotations

from typing import Final

from attrs import fields
from cyclopts import App, ArgumentCollection
from cyclopts.config import Dict

from async_enroll.cli.options.connection import Connection
from async_enroll.cli.options.profiles import chosen
from async_enroll.cli.options.tuning import Tuning

ACCEPTED: Final = frozenset(
    {option.name for kind in (Connection, Tuning) for option in fields(kind)}
    - {"profile", "token_file", "verbose"}
)
"""The options that a profile may set, besides its credentials."""


def from_profile(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Give options that are neither on the command line nor in the environment their values.

    Does nothing for commands that do not use the option --site; `report` uses it with --verify.

    Raises:
        ConfigurationError: the configuration file is unusable, or has no such site.

    """
    given = {name: argument for argument in arguments for name in argument.names}
    if "--site" not in given or ("--verify" in given and not given["--verify"].tokens):
        return
    name, url = (
        tokens[-1].value if (tokens := given[option].tokens) else None
        for option in ("--site", "--url")
    )
    profile = chosen(name, url, ACCEPTED)
    if profile is not None:
        values = {**profile.options, "site": profile.name}
        source = Dict(values, source=str(profile), allow_unknown=True, use_commands_as_keys=False)
        source(app, commands, arguments)
