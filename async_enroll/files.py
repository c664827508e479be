"""Private files: mode 0600, replaced atomically. Also the escaping of cells of CSV files.

Used by `reports` and `cli` for everything that they write.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any

_MAX_LINKS = 40
"""Most symbolic links in a row that Linux follows."""


def private_file(
    path: str | os.PathLike[str], *, newline: str | None = None, marked: bool = False
) -> AbstractContextManager[IO[str]]:
    """Open a UTF-8 text file for writing, and move it to `path` when the `with` body has ended.

    The file is created with mode 0600 in the same folder; if the body raises, `path` stays as it
    was. If `path` is a symbolic link, its target is replaced, which must exist and be writable, as
    for cp. A device, a pipe or an open file (`is_stream`) is written to directly. `marked` begins a
    file with a byte order mark, by which Excel knows UTF-8, but not a stream.

    Raises:
        OSError: if the file cannot be written.

    """
    encoding = "utf-8-sig" if marked and not is_stream(Path(path)) else "utf-8"
    return _private(path, "w", encoding=encoding, newline=newline)


def private_binary_file(path: str | os.PathLike[str]) -> AbstractContextManager[IO[bytes]]:
    """Open a binary file for writing; otherwise as `private_file`."""
    return _private(path, "wb")


@contextmanager
def _private(path: str | os.PathLike[str], mode: str, **options: Any) -> Iterator[IO[Any]]:
    target = Path(path)
    if is_stream(target):
        descriptor = _open_fd(target)
        with (
            target.open(mode, **options)
            if descriptor is None
            else os.fdopen(os.dup(descriptor), mode, **options)
        ) as file:
            yield file
        return
    if target.is_symlink():
        # Opened, so that the system refuses links it does not follow, as other users' in /tmp.
        os.close(os.open(target, os.O_WRONLY))
        target = target.resolve()
    try:
        draft = NamedTemporaryFile(  # noqa: SIM115  # it is one, below
            mode, dir=target.parent, prefix=".", delete=False, **options
        )
    except OSError as error:  # which names the draft
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None
    with draft as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(target)
        except BaseException:
            Path(file.name).unlink()
            raise


def is_stream(path: Path) -> bool:
    """Whether `path` can only be written to, not replaced.

    True for a device, a pipe, or a file that is already open, such as /dev/stdout or /dev/fd/3.
    """
    return (path.exists() and not (path.is_file() or path.is_dir())) or _open_fd(path) is not None


def _open_fd(path: Path) -> int | None:
    """The descriptor of the open file that a path such as /dev/stdout leads to; None for others.

    Opening such a file again by its name would overwrite it from its start.
    """
    descriptors = os.path.realpath("/dev/fd")
    for _ in range(_MAX_LINKS):
        folder = os.path.realpath(path.parent)
        if folder == descriptors and path.name.isdecimal():
            return int(path.name)
        if not path.is_symlink():
            break
        path = Path(folder, path.readlink())
    return None


def safe_cell(text: str) -> str:
    """Escape `text` for a cell of a CSV file.

    Prefixes an apostrophe if a spreadsheet would read the text as a formula (OWASP, CSV
    Injection).
    """
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def plain_cell(cell: str) -> str:
    """Undo `safe_cell`; return any other text unchanged."""
    return cell[1:] if cell[:1] == "'" and safe_cell(cell[1:]) == cell else cell
