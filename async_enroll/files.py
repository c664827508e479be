"""Files that hold people's data: readable by their owner alone, whole or not there at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any


def private_file(
    path: str | os.PathLike[str], *, newline: str | None = None
) -> AbstractContextManager[IO[str]]:
    """Open a text file for writing that takes its place at `path` once the body has ended.

    Created with mode 0600 beside its place; where the body fails, `path` is as before.
    """
    return _private(path, "w", encoding="utf-8", newline=newline)


def private_binary_file(path: str | os.PathLike[str]) -> AbstractContextManager[IO[bytes]]:
    """`private_file`, for bytes."""
    return _private(path, "wb")


@contextmanager
def _private(path: str | os.PathLike[str], mode: str, **options: Any) -> Iterator[IO[Any]]:
    place = Path(path)
    with NamedTemporaryFile(mode, dir=place.parent, prefix=".", delete=False, **options) as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(place)
        except BaseException:
            Path(file.name).unlink()
            raise


def safe_cell(text: str) -> str:
    """`text` for a cell of a CSV file, with an apostrophe where a spreadsheet would see a formula.

    Source: OWASP, CSV Injection.
    """
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def plain_cell(cell: str) -> str:
    """The text that `safe_cell` has made a cell of, and any other as it is."""
    return cell[1:] if cell[:1] == "'" and safe_cell(cell[1:]) == cell else cell
