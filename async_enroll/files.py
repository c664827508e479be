"""Files that hold people's data: readable by their owner alone, whole or not there at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any

_MOST_LINKS = 40
"""How many links in a row Linux follows."""


def private_file(
    path: str | os.PathLike[str], *, newline: str | None = None, marked: bool = False
) -> AbstractContextManager[IO[str]]:
    """Open a text file for writing that takes its place at `path` once the body has ended.

    Created with mode 0600 beside its place; where the body fails, `path` is as before. A
    link stays: what it leads to is replaced, which must be there and writable, as for cp.
    A device, a pipe or an open file (`is_stream`) is written into, as it comes. `marked`
    begins a file with a byte order mark, by which Excel knows UTF-8; what reads a pipe does not.
    """
    encoding = "utf-8-sig" if marked and not is_stream(Path(path)) else "utf-8"
    return _private(path, "w", encoding=encoding, newline=newline)


def private_binary_file(path: str | os.PathLike[str]) -> AbstractContextManager[IO[bytes]]:
    """`private_file`, for bytes."""
    return _private(path, "wb")


@contextmanager
def _private(path: str | os.PathLike[str], mode: str, **options: Any) -> Iterator[IO[Any]]:
    place = Path(path)
    if is_stream(place):
        number = _open_file(place)
        with (
            place.open(mode, **options)
            if number is None
            else os.fdopen(os.dup(number), mode, **options)
        ) as file:
            yield file
        return
    if place.is_symlink():
        # The system knows which links are not to be followed, others' in /tmp for one.
        os.close(os.open(place, os.O_WRONLY))
        place = place.resolve()
    with NamedTemporaryFile(mode, dir=place.parent, prefix=".", delete=False, **options) as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(place)
        except BaseException:
            Path(file.name).unlink()
            raise


def is_stream(path: Path) -> bool:
    """Whether what is at `path` can only be written into, not replaced.

    A device, a pipe, or a file that is open already, as /dev/stdout and /dev/fd/3 are.
    """
    return (path.exists() and not (path.is_file() or path.is_dir())) or _open_file(path) is not None


def _open_file(path: Path) -> int | None:
    """The number of the open file that a path leads to, like /dev/stdout; None for others.

    Opened once more by its name, it would be written from its start.
    """
    numbers = os.path.realpath("/dev/fd")
    for _ in range(_MOST_LINKS):
        folder = os.path.realpath(path.parent)
        if folder == numbers and path.name.isdecimal():
            return int(path.name)
        if not path.is_symlink():
            break
        path = Path(folder, path.readlink())
    return None


def safe_cell(text: str) -> str:
    """`text` for a cell of a CSV file, with an apostrophe where a spreadsheet would see a formula.

    Source: OWASP, CSV Injection.
    """
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def plain_cell(cell: str) -> str:
    """The text that `safe_cell` has made a cell of, and any other as it is."""
    return cell[1:] if cell[:1] == "'" and safe_cell(cell[1:]) == cell else cell
