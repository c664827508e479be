"""Reads rows of CSV files with any common delimiter, for `roster.reading`."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import IO

from async_enroll.roster.checks import Problems
from async_enroll.roster.header import Row

_DELIMITERS = ",;\t|"
_LONGEST_CELL = 2**31 - 1
_HEAD = 60
"""The number of lines to look at for the delimiter: cells of a header may span lines."""

# errors="surrogateescape" reads bytes that cannot be decoded as these.
_UNDECODABLE = re.compile("[\udc80-\udcff]")
_SEPARATOR = re.compile(r'\s*"?sep=(.)"?\s*', re.IGNORECASE)
_BOM = "\ufeff"


def opened_text(file: IO[bytes], encoding: str) -> io.TextIOWrapper:
    """Open a file as text; bytes that cannot be decoded are reported later, with their line."""
    return io.TextIOWrapper(file, encoding, errors="surrogateescape", newline="")


def csv_rows(
    file: IO[str], problems: Problems, recognised: Callable[[Sequence[Sequence[str]]], int]
) -> Iterator[Row]:
    """Yield the rows of a CSV file that are not empty.

    The delimiter is the one that a first line ``sep=`` names; otherwise the one with which most
    fields are `recognised` among the first rows, or else with which they have most cells.
    """
    if csv.field_size_limit() < _LONGEST_CELL:
        csv.field_size_limit(_LONGEST_CELL)  # process-wide, but harmless: it only allows more
    lines = Lines(file, problems)
    first = next((line for line in lines if line.strip()), "")
    begun = lines.number
    if told := _SEPARATOR.fullmatch(first):
        first, begun, delimiter = "", begun, told[1]
        head: list[str] = []
    else:
        head = [first, *islice(lines, _HEAD)]
        delimiter = _delimiter(head, recognised)
        begun -= 1
    # Strict: otherwise an unbalanced quote silently swallows the rows that follow.
    reader = csv.reader(chain(head, lines), delimiter=delimiter, strict=True)
    line = begun + 1
    try:
        for row in reader:
            if row:
                yield line, row
            line = begun + reader.line_num + 1
    except csv.Error as error:
        problems.fail(f"not readable as CSV from here on: {error}", line)


def _delimiter(head: list[str], recognised: Callable[[Sequence[Sequence[str]]], int]) -> str:
    splits = {
        mark: [row for row in csv.reader(head, delimiter=mark) if row] for mark in _DELIMITERS
    }
    return max(
        splits,
        key=lambda mark: (recognised(splits[mark]), max(map(len, splits[mark]), default=0)),
    )


class Lines:
    """Iterates over lines and reports what is not text; `number` is that of the last line."""

    def __init__(self, lines: Iterable[str], problems: Problems) -> None:
        self.number: int = 0
        self._lines = iter(lines)
        self._problems = problems

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.number += 1
        if not line.isascii():
            if found := _UNDECODABLE.search(line):
                byte = ord(found[0]) - 0xDC00
                self._problems.add(self.number, f": found the byte 0x{byte:02X}, expected text")
            if line.startswith(_BOM):  # where files were joined
                line = line.lstrip(_BOM)
        if "\0" in line:
            self._problems.add(self.number, ": found a NUL character, expected text")
        return line
