"""Files that hold people's data: readable by their owner alone, whole or not there at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO


@contextmanager
def private_file(path: str | os.PathLike[str], *, newline: str | None = None) -> Iterator[IO[str]]:
    """Open a text file for writing that takes its place at `path` once the body has ended.

    Created with mode 0600 beside its place; where the body fails, `path` is as before.
    """
    place = Path(path)
    with NamedTemporaryFile(
        "w", encoding="utf-8", newline=newline, dir=place.parent, prefix=".", delete=False
    ) as file:
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
