"""Output files, checked before any work is done."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from async_enroll.errors import ConfigurationError, EnrollError
from async_enroll.files import is_stream, private_file
from async_enroll.reports.export import FORMS, check

PAGE = ".html"
REPORTS = (*FORMS, PAGE)
"""The suffixes that a report file can have."""


def check_suffix(path: Path, option: str, suffixes: Collection[str]) -> None:
    """Check that `path`, the value of `option`, has one of `suffixes`.

    Raises:
        ConfigurationError: It has none of them.

    """
    if path.suffix not in suffixes:
        names = " or ".join(suffixes)
        raise ConfigurationError(f"{option} {path}: expected a file name ending in {names}")


def check_destination(path: Path, option: str) -> None:
    """Check that a file can be written at `path`, the value of `option`.

    Raises:
        ConfigurationError: It cannot.

    """
    if path.is_dir():
        raise ConfigurationError(f"{option} {path}: is a directory")
    if path.is_symlink() and not path.exists():
        raise ConfigurationError(f"{option} {path}: is a broken link")
    if path.exists() and not os.access(path, os.W_OK):
        raise ConfigurationError(f"{option} {path}: cannot be written")
    if is_stream(path):
        return
    folder = (path.resolve() if path.is_symlink() else path).parent
    if not folder.is_dir():
        raise ConfigurationError(f"{option} {path}: there is no directory {folder}")
    try:
        TemporaryFile(dir=folder).close()
    except OSError as error:
        words = f"{option} {path}: cannot write in {folder}: {error.strerror}"
        raise ConfigurationError(words) from None


@contextmanager
def destination(path: Path | None, *, marked: bool = False) -> Iterator[IO[str]]:
    """Open `path` as a `private_file`, or give standard output."""
    if path is None:
        yield sys.stdout
    else:
        with private_file(path, newline="", marked=marked) as file:
            yield file


class NotWritten(EnrollError):
    """A file cannot be written: a full disk, no permission, a directory that is gone."""


@contextmanager
def naming(path: Path | None) -> Iterator[None]:
    """Name `path`, unless that is None, in the error if the body cannot write it.

    Raises:
        NotWritten: instead of an OSError of the body, but for a pipe that nobody reads.

    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if path is None:
            raise
        raise NotWritten(f"{path} cannot be written: {error.strerror or error}") from None


def check_new(path: Path, option: str) -> None:
    """Make sure that there is no file yet at `path`, given with `option`, or only a stream.

    Raises:
        ConfigurationError: where there is one, whose content somebody may have worked on.

    """
    if path.exists() and not is_stream(path):
        raise ConfigurationError(
            f"{option} {path}: exists already, and may have been worked on; name another file, or "
            "remove it first"
        )


def check_apart(path: Path | None, option: str, other: str | Path, what: str) -> None:
    """Check that `path`, the value of `option`, is another file than `other`, which is `what`.

    Raises:
        ConfigurationError: They are the same file.

    """
    if path is None:
        return
    there = Path(other)
    if path.resolve() == there.resolve() or (
        path.exists() and there.exists() and path.samefile(there)
    ):
        raise ConfigurationError(f"{option} {path}: is {what} itself; name another file")


def check_report(path: Path | None, option: str) -> None:
    """Check that a report can be written at `path`, unless that is None.

    Raises:
        ConfigurationError: It cannot.

    """
    if path is None:
        return
    check_suffix(path, option, REPORTS)
    check_destination(path, option)
    if path.suffix != PAGE:
        check(path.suffix)
