"""Rows of text files: CSV with any usual delimiter, and JSON Lines."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import IO, Any

import orjson

from async_enroll.files import plain_cell
from async_enroll.roster.checks import Problems, shown

Row = tuple[int, tuple[str, ...], Sequence[str]]
"""The number of its line, the names of its cells, and the cells."""

_DELIMITERS = ",;\t|"

# What a byte that cannot be decoded is read as, with errors="surrogateescape".
_UNDECODABLE = re.compile("[\udc80-\udcff]")


def opened(file: IO[bytes], encoding: str) -> io.TextIOWrapper:
    """A text file; bytes that cannot be decoded are let in, to be found with their lines."""
    return io.TextIOWrapper(file, encoding, errors="surrogateescape", newline="")


def is_json_lines(lines: Iterator[str]) -> bool:
    """Whether the first line that is not blank begins an object."""
    return next((line.lstrip() for line in lines if line.strip()), "").startswith("{")


def csv_rows(
    file: IO[str], problems: Problems, recognised: Callable[[Sequence[str]], int]
) -> Iterator[Row]:
    """The rows of a CSV file that are not blank, each with the header's names.

    The delimiter is the one by which the header has most names that are `recognised`, then
    the one by which it has most names at all.
    """
    lines = _Lines(file, problems)
    first = next((line for line in lines if line.strip()), "")
    begun = lines.number
    splits = {mark: next(csv.reader([first], delimiter=mark), []) for mark in _DELIMITERS}
    delimiter = max(splits, key=lambda mark: (recognised(splits[mark]), len(splits[mark])))
    # Strict, lest an unbalanced quote silently swallows the rows that follow.
    reader = csv.reader(chain([first], lines), delimiter=delimiter, strict=True)
    header: tuple[str, ...] = ()
    line = begun
    try:
        for row in reader:
            header = header or tuple(row)
            if any(map(str.strip, row)):
                if len(row) == len(header):
                    yield line, header, [plain_cell(cell.strip()) for cell in row]
                else:
                    words = f", cells: found {len(row)}, expected {len(header)}"
                    problems.add(line, words)
            line = begun + reader.line_num
    except csv.Error as error:
        problems.add(line, f": not readable as CSV from here on: {error}")
        problems.fatal = True


class _Lines:
    """The lines of a file, looked through for what is not text; `number` is that of the last."""

    def __init__(self, lines: Iterable[str], problems: Problems) -> None:
        self.number = 0
        self._lines = iter(lines)
        self._problems = problems

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.number += 1
        if not line.isascii() and (found := _UNDECODABLE.search(line)):
            byte = ord(found[0]) - 0xDC00
            self._problems.add(self.number, f": found the byte 0x{byte:02X}, expected text")
        if "\0" in line:
            self._problems.add(self.number, ": found a NUL character, expected text")
        return line


def json_rows(file: IO[str], problems: Problems) -> Iterator[Row]:
    """The objects of a JSON Lines file; each has its own names."""
    lines = _Lines(file, problems)
    names: dict[tuple[str, ...], tuple[str, ...]] = {}
    for line in lines:
        if not line.strip():
            continue
        try:
            item = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            problems.add(lines.number, f": not readable as JSON: {error.msg}, column {error.colno}")
            continue
        if not isinstance(item, dict):
            problems.add(lines.number, f": found {shown(line.strip())}, expected a JSON object")
            continue
        keys = tuple(item)
        cells = [text_of(value) for value in item.values()]
        yield lines.number, names.setdefault(keys, keys), cells


def text_of(value: Any) -> str:
    """A value as the text of a cell: numbers without a fraction, as usernames can be, in digits."""
    match value:
        case None:
            return ""
        case str():
            return value.strip()
        case bool():
            return str(value).lower()
        case float() if value.is_integer():
            return str(int(value))
    return str(value)
