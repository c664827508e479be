"""Rows of CSV files, whatever their delimiter."""

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
"""In how many lines to look for the delimiter: a header's cells may have line ends in them."""

# What a byte that cannot be decoded is read as, with errors="surrogateescape".
_UNDECODABLE = re.compile("[\udc80-\udcff]")
_SEPARATOR = re.compile(r'\s*"?sep=(.)"?\s*', re.IGNORECASE)
_BOM = "\ufeff"


def opened_text(file: IO[bytes], encoding: str) -> io.TextIOWrapper:
    """A text file; bytes that cannot be decoded are let in, to be found with their lines."""
    return io.TextIOWrapper(file, encoding, errors="surrogateescape", newline="")


def csv_rows(
    file: IO[str], problems: Problems, recognised: Callable[[Sequence[Sequence[str]]], int]
) -> Iterator[Row]:
    """The rows of a CSV file, but for empty lines.

    The delimiter is what a first line ``sep=`` names, else the one by which most columns are
    `recognised` among the first rows, then the one by which those have most cells.
    """
    if csv.field_size_limit() < _LONGEST_CELL:
        csv.field_size_limit(_LONGEST_CELL)  # for the whole process, which only lets more through
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
    # Strict, lest an unbalanced quote silently swallows the rows that follow.
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
    """The lines of a file, looked through for what is not text; `number` is that of the last."""

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
