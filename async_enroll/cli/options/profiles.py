"""Profiles: the sites in the configuration file, each with its credentials and defaults.

`config.toml`, in the user's configuration folder, has a table ``[site.NAME]`` for each site.
Secrets stand in files of their own, which nobody else can read. `options.config` takes the values.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from async_enroll.cli.options.config_file import config_path
from async_enroll.errors import ConfigurationError

CREDENTIALS = ("token_file", "client_id", "client_secret_file")
_SECRETS = ("token", "client_secret", "password", "secret")
_FILES = ("token_file", "client_secret_file", "client_cert", "log_file")
_READABLE_BY_OTHERS = 0o044


@frozen
class Profile:
    """One site of the configuration file `path`.

    `credentials` has the keys of `CREDENTIALS` that are set. `options` has the others, by name:
    text, numbers and booleans.
    """

    name: str
    path: Path
    credentials: Mapping[str, str]
    options: Mapping[str, str | float | bool]

    @property
    def url(self) -> str:
        """The URL of the site."""
        return str(self.options["url"])

    def __str__(self) -> str:
        """The profile's place, for messages."""
        return f"{self.path}, [site.{self.name}]"

    def secret(self, key: str) -> str:
        """The content of the file that `key` names.

        Raises:
            ConfigurationError: the file cannot be read, or others can read it.

        """
        return secret_in(self.credentials[key], f"{self}, {key} ", strict=True)[0]


def secret_in(path: str | os.PathLike[str], what: str, *, strict: bool) -> tuple[str, bool]:
    """The content of a file with a secret, and whether other users can read it.

    `what` begins the message of an error. `strict`: refuse a file that others can read.

    Raises:
        ConfigurationError: it cannot be read, or, if `strict`, others can read it.

    """
    try:
        with Path(path).open(encoding="utf-8") as file:
            exposed = is_exposed(file.fileno())
            if strict and exposed:
                raise ConfigurationError(
                    f"{what}{path}: other users can read it; restrict it: chmod 600 {path}"
                )
            return file.read(), exposed
    except OSError as error:
        raise ConfigurationError(f"{what}{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{what}{path}: not a text file") from None


def is_exposed(descriptor: int) -> bool:
    """Whether other users can read an open file; False on Windows, which has no such modes."""
    return os.name == "posix" and bool(os.fstat(descriptor).st_mode & _READABLE_BY_OTHERS)


def profiles() -> dict[str, Profile]:
    """The profiles by name; empty without a configuration file. `check` knows their options.

    Raises:
        ConfigurationError: the file cannot be read, or holds what is not expected there.

    """
    path = config_path()
    try:
        with path.open("rb") as file:
            content = tomllib.load(file)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: not readable as TOML: {error}") from None
    sites = content.get("site", {})
    if unknown := sorted(content.keys() - {"site"}):
        raise ConfigurationError(f"{path}: found {', '.join(unknown)}; expected [site.NAME] only")
    if not isinstance(sites, dict) or not all(isinstance(one, dict) for one in sites.values()):
        raise ConfigurationError(f"{path}: expected each site as a table [site.NAME]")
    return {name: _profile(path, name, table) for name, table in sites.items()}


def check(profile: Profile, accepted: Collection[str]) -> None:
    """Check that a profile sets no options but the `accepted`.

    Raises:
        ConfigurationError: it sets others.

    """
    unknown = [key for key in profile.options if key not in accepted]
    if not unknown:
        return
    expected = [*CREDENTIALS, *sorted({*accepted} - {"url"})]
    hint = ""
    if any(key in _SECRETS for key in unknown):
        hint = "; secrets stand in files of their own: token_file or client_secret_file"
    raise ConfigurationError(
        f"{profile}: found {', '.join(unknown)}; expected url, {', '.join(expected)}{hint}"
    )


def profile_named(name: str) -> Profile:
    """The profile of that name.

    Raises:
        ConfigurationError: there is none; the file is unusable.

    """
    found = profiles()
    if name not in found:
        known = f"it has {', '.join(found)}" if found else "it has no site, or does not exist"
        raise ConfigurationError(f"--site {name}: no [site.{name}] in {config_path()}; {known}")
    return found[name]


def chosen(name: str | None, url: str | None, accepted: Collection[str]) -> Profile | None:
    """The profile to use: the one named; the only one, if neither name nor `url` is given.

    Raises:
        ConfigurationError: there is no such profile, or it is of another site than `url`; the
            file is unusable, or sets options that are not `accepted`.

    """
    if url is not None and name is None:
        return None
    found = profiles()
    for profile in found.values():
        check(profile, accepted)
    if name is None:
        return next(iter(found.values())) if len(found) == 1 else None
    profile = profile_named(name)
    # The token of one site must not go to another.
    if url is not None and url.rstrip("/") != profile.url.rstrip("/"):
        raise ConfigurationError(
            f"two sites: {url} is given, and --site {name} is {profile.url}; leave out one of them "
            "(--url or ASYNC_ENROLL_URL, --site or ASYNC_ENROLL_SITE)"
        )
    return profile


def _profile(path: Path, name: str, table: Mapping[str, Any]) -> Profile:
    place = f"{path}, [site.{name}]"
    for key, value in table.items():
        expected = (str,) if key in (*CREDENTIALS, *_FILES, "url") else (str, int, float)
        if not isinstance(value, expected):
            kinds = "text" if expected == (str,) else "text, a number, true or false"
            raise ConfigurationError(f"{place}, {key}: expected {kinds}")
    if not table.get("url"):
        raise ConfigurationError(f"{place}: has no url")
    values = {key: _beside(path, value) if key in _FILES else value for key, value in table.items()}
    credentials = {key: value for key, value in values.items() if key in CREDENTIALS}
    if set(credentials) not in (set(), {"token_file"}, {"client_id", "client_secret_file"}):
        raise ConfigurationError(
            f"{place}: found {', '.join(credentials)}; expected either token_file, or client_id "
            "and client_secret_file"
        )
    options = {key: value for key, value in values.items() if key not in CREDENTIALS}
    return Profile(name, path, credentials, options)


def _beside(config: Path, file: str) -> str:
    """The path of a file that the configuration names, relative to its own folder."""
    return str(config.parent / Path(file).expanduser())
