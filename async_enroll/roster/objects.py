"""Reads JSON files for `roster.reading`: an object a line, a sequence of objects, or an array."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import IO, Any

import msgspec

from async_enroll.roster.cells import Cell, shown, text_of
from async_enroll.roster.checks import Problems
from async_enroll.roster.text import Lines

Item = tuple[int, tuple[str, ...], list[Cell]]
"""The line number of an object, its names and its values."""

_SPACE = re.compile(r"[ \t\r\n\ufeff]*")


class _Object(list[tuple[str, Any]]):
    """A JSON object as a list of pairs, because a name may occur twice."""


_DECODER = json.JSONDecoder(object_pairs_hook=_Object)


def is_json(start: str) -> bool:
    """Whether a text begins like a JSON object, or an array of objects."""
    return bool(re.match(r"[\s\ufeff]*(?:\{|\[\s*(?:[\{\]]|$))", start))


def json_items(file: IO[str], problems: Problems) -> Iterator[Item]:
    """Yield the objects of a JSON file.

    A file with one object a line is read line by line. Any other is read whole: an array of
    objects, or an object with such an array under ``results``, as in our own reports.
    """
    lines = Lines(file, problems)
    first = next((line for line in lines if line.strip()), "")
    if first.lstrip().startswith("{") and not _ARRAY.match(first) and _is_whole(first):
        yield from _from_lines(first, lines, problems)
        return
    begun = lines.number
    text = first + "".join(lines)
    yield from _from_text(text, begun, problems)


def _is_whole(line: str) -> bool:
    try:
        _DECODER.decode(line.strip())
    except ValueError as error:
        # An error at the end of the line: the object continues in the next.
        return not (isinstance(error, json.JSONDecodeError) and error.pos >= len(line.strip()))
    return True


def _from_lines(first: str, lines: Lines, problems: Problems) -> Iterator[Item]:
    line: str | None = first
    while line is not None:
        if text := line.strip().strip("\ufeff"):
            try:
                item = _quickly(text) or _DECODER.decode(text)
            except ValueError as error:
                problems.add(lines.number, f": {_why(error)}")
            except RecursionError:
                problems.add(lines.number, ": not readable as JSON: nested too deeply")
            else:
                if isinstance(item, _Object):
                    yield _row(lines.number, item)
                elif isinstance(item, dict):
                    yield lines.number, tuple(item), [text_of(value) for value in item.values()]
                else:
                    words = f": found {shown(text)}, expected a JSON object"
                    problems.add(lines.number, words)
        line = next(lines, None)


def _quickly(text: str) -> dict[str, Any] | None:
    """Decode a line whose object certainly has no name twice; None for any other line."""
    try:
        item = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    flat = isinstance(item, dict) and text.count('":') == len(item)
    return item if flat and not _SPACED.search(text) else None


_SPACED = re.compile(r'"\s+:')


def _from_text(text: str, begun: int, problems: Problems) -> Iterator[Item]:
    """Yield the objects of a text that begins in line `begun`, in sequence or in an array.

    The items of an array that stands in one line are numbered instead of lines.
    """
    line, counted = begun, 0
    array = _ARRAY.match(text)
    at = array.end() if array else 0
    first = True
    in_one_line = array is not None and "\n" not in text.strip()
    if in_one_line:
        line, problems.unit = 0, "item"
    try:
        while True:
            at = _end_of_space(text, at)
            if array and text[at : at + 1] == "]":
                return
            if array and not first:
                at = _after_comma(text, at)
            elif not array and at == len(text):
                return
            line += 1 if in_one_line else text.count("\n", counted, at)
            counted = at
            item, at = _DECODER.raw_decode(text, at)
            first = False
            if isinstance(item, _Object):
                yield _row(line, item)
            else:
                told = shown(json.dumps(item))
                problems.add(line, f": found {told}, expected a JSON object")
    except ValueError as error:
        problems.fail(_why(error), line)
    except RecursionError:
        problems.fail("not readable as JSON: nested too deeply", line)


# An array, or the one at the beginning of our own reports.
_ARRAY = re.compile(r'[\s\ufeff]*(?:\{\s*"results"\s*:\s*)?\[')


def _after_comma(text: str, at: int) -> int:
    if text[at : at + 1] != ",":
        raise json.JSONDecodeError("expected a comma or the end of the array", text, at)
    return _end_of_space(text, at + 1)


def _end_of_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _row(line: int, item: _Object) -> Item:
    names = tuple(name for name, _ in item)
    values = (dict(value) if isinstance(value, _Object) else value for _, value in item)
    return line, names, [text_of(value) for value in values]


def _why(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"not readable as JSON: {error.msg}, column {error.colno}"
    return f"not readable as JSON: {error}"
