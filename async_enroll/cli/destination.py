"""Files that results go to, looked at before any work is done for them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryFile

from async_enroll.errors import ConfigurationError
from async_enroll.writing import FORMS, check

PAGE = ".html"
REPORTS = (*FORMS, PAGE)
"""The suffixes that a report can have."""


def check_suffix(path: Path, option: str, suffixes: Collection[str]) -> None:
    """Make sure that the suffix of `path`, given with `option`, names a format.

    Raises:
        ConfigurationError: where it does not.

    """
    if path.suffix not in suffixes:
        raise ConfigurationError(f"{option} {path}: expected a name in {' or '.join(suffixes)}")


def check_destination(path: Path, option: str) -> None:
    """Make sure that a file can be written at `path`, given with `option`.

    Raises:
        ConfigurationError: where it cannot.

    """
    if path.is_dir():
        raise ConfigurationError(f"{option} {path}: is a directory")
    if not path.parent.is_dir():
        raise ConfigurationError(f"{option} {path}: there is no directory {path.parent}")
    try:
        TemporaryFile(dir=path.parent).close()
    except OSError as error:
        words = f"{option} {path}: cannot write in {path.parent}: {error.strerror}"
        raise ConfigurationError(words) from None


def check_apart(path: Path | None, option: str, roster: str) -> None:
    """Make sure that what is written to `path`, given with `option`, spares the roster.

    Raises:
        ConfigurationError: where it is the roster itself.

    """
    if path and path.exists() and Path(roster).exists() and path.samefile(roster):
        raise ConfigurationError(f"{option} {path}: is the roster itself")


def check_report(path: Path | None, option: str) -> None:
    """Make sure that a report can be written at `path`, if there is to be one.

    Raises:
        ConfigurationError: where it cannot.

    """
    if path is None:
        return
    check_suffix(path, option, REPORTS)
    check_destination(path, option)
    if path.suffix != PAGE:
        check(path.suffix)
