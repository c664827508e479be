"""Files that results go to, looked at before any work is done for them."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

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
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ConfigurationError(f"{option} {path}: no permission to write in {path.parent}")


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
