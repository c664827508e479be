"""Reads cells as identifiers, course keys, actions and cohorts. Pure.

A cell is read only if its meaning is certain; otherwise it is `Unreadable`, with the reason.
Spreadsheets, mail programs and forms leave quotes, formulas and invisible characters around and in
values. `roster.checks` passes the cells of each row here.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from urllib.parse import unquote

from attrs import frozen

from async_enroll.files import plain_cell
from async_enroll.models import Action
from async_enroll.planning.keys import is_address, is_course_key, is_username
from async_enroll.roster.names import ACTION_OF, GONE_WORDS, PLACEHOLDERS, folded


@frozen
class Unreadable:
    """A cell whose meaning is uncertain; `words` says what was found and what to do.

    `text` is its text, for columns whose meaning does not matter.
    """

    words: str
    text: str = ""


Cell = str | Unreadable
"""The text of a cell, or why it cannot be read."""


class Kind(Enum):
    """The kind of identifier expected in a column, by the name of the column."""

    ANY = "an e-mail address or a username"
    ADDRESS = "an e-mail address"
    ID = "an e-mail address, in a column of numbers"


# The fast path: certainly an address, with nothing around it.
_PLAIN = re.compile(
    r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*@(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]{2,}"
)
_SHORT = 64
_PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,29}|[0-9]{1,15}")

# How spreadsheets write long numbers, fractions, dates and truth values.
_CHANGED = re.compile(
    r"[-+]?\d+(?:[.,]\d+)?E[-+]\d+|[-+]?\d+[.,]\d+|\d{16,}|\d{1,4}([-./])\d{1,2}\1\d{1,4}"
    r"|true|false",
    re.IGNORECASE,
)

_QUOTES = {
    '"': '"',
    "'": "'",
    "\u201c": "\u201d",
    "\u201d": "\u201d",
    "\u201e": "\u201c\u201d",
    "\u2018": "\u2019",
    "\u2019": "\u2019",
    "\u201a": "\u2018\u2019",
    "\u00ab": "\u00bb",
    "\u00bb": "\u00ab",
    "\u2039": "\u203a",
    "`": "`",
}
_ERRORS = re.compile(
    r"#[\u00a1\u00bf]?[^\W\d_][\w/ ]*[!?]|#N/[AVD]|#NV|#GETTING_DATA|#N/DISP|Err:\d+|#{2,}"
)
_INVISIBLE = {"Cf", "Cc", "Cs", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"
"""Some scripts and emoji need these; the names of cohorts may contain them."""

_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
_NAMED = re.compile(r"(?P<name>[^<>]*)<\s*(?P<address>[^<>]+?)\s*>")
_SEPARATORS = re.compile(r"[\s,;|/]+")
_KEYS_IN_TEXT = re.compile(r"(?:course|ccx)-v1:[^\s/?#&,;|\"'<>]+")
_OLD_KEY_IN_URL = re.compile(r"/courses/([^/?#]+/[^/?#]+/[^/?#]+)")
_URL = re.compile(r"(?:https?://|www\.|/courses/|/course/)", re.IGNORECASE)
LONGEST_COHORT = 255
"""In characters; the platform cannot store more (`CourseUserGroup.name`)."""

_DIGITS = 15
"""The number of digits that spreadsheets keep."""


def text_of(value: Any) -> Cell:
    """Return a value of a table as a cell. Whole numbers are read as digits: usernames may be."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return _changed(f"the truth value {str(value).upper()}", str(value).lower())
        case int():
            return _number(value)
        case float() if value.is_integer():
            return _number(int(value))
        case Decimal() if value.is_finite() and value == value.to_integral_value():
            return _number(int(value))
        case float() | Decimal():
            return _changed(f"the number {value}", str(value))
        case datetime() | date():
            return _changed(f"the date {value}", str(value))
        case time() | timedelta():
            return _changed(f"the time {value}", str(value))
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError:
                return Unreadable(f"found {len(value)} bytes that are no text, expected text")
        case list() | tuple():
            return Unreadable("found a list, expected one text: several values need a row each")
        case dict():
            return Unreadable("found an object, expected text")
    return Unreadable(f"found a value of type {type(value).__name__}, expected text")


def _number(value: int) -> Cell:
    digits = str(value)
    if len(digits.lstrip("-")) > _DIGITS:
        return _changed(f"the number {shown(digits)}, of more than {_DIGITS} digits", digits)
    return digits


def _changed(found: str, text: str) -> Unreadable:
    words = f"found {found}, expected text: a spreadsheet may have changed it; store it as text"
    return Unreadable(words, text)


def is_blank(cell: Cell) -> bool:
    """Whether a cell is empty, apart from white space and invisible characters."""
    return isinstance(cell, str) and not edged(cell)


def edged(text: str) -> str:
    """Strip white space, byte order marks and other invisible characters from both ends."""
    text = text.strip()
    if text.isascii():
        return text
    start, end = 0, len(text)
    while start < end and _is_nothing(text[start]):
        start += 1
    while start < end and _is_nothing(text[end - 1]):
        end -= 1
    return text[start:end]


def identifier_of(cell: Cell, kind: Kind = Kind.ANY) -> Cell:
    """Return the e-mail address or username in a cell; empty if the cell is."""
    if isinstance(cell, Unreadable) or is_plain_address(cell):
        return cell
    text = _bare(cell)
    if isinstance(text, Unreadable) or not text:
        return text
    if named := _NAMED.fullmatch(text):
        text, name = edged(named["address"]), edged(named["name"])
        if "@" in name and name.strip("\"'").lower() != text.lower():
            return _several(cell, "addresses")
    if text[:7].lower() == "mailto:":
        text = edged(unquote(text[7:].partition("?")[0]))
    return _checked_identifier(text, cell, kind)


def _checked_identifier(text: str, cell: str, kind: Kind) -> Cell:
    if text.lower() in PLACEHOLDERS:
        return Unreadable(f"found {shown(cell)}, which stands for nothing; expected {kind.value}")
    if _CHANGED.fullmatch(text):
        return _changed(shown(cell), text)
    parts = [part for part in _SEPARATORS.split(text) if part]
    if len(parts) > 1 and sum("@" in part for part in parts) > 1:
        return _several(cell, "addresses")
    if words := _hidden_in(text, spaces=True):
        return Unreadable(f"found {shown(cell)}, with {words} inside; expected {kind.value}")
    if len(parts) > 1 and "@" not in text:
        return _several(cell, "identifiers")
    if "@" in text:
        if is_address(text):
            return text
        return Unreadable(f"found {shown(cell)}, which is no e-mail address")
    if kind is Kind.ADDRESS:
        return Unreadable(
            f"found {shown(cell)}, expected an e-mail address; if these are usernames, say so "
            "with --columns identifier=…"
        )
    if kind is Kind.ID:
        return Unreadable(
            f"found {shown(cell)}, expected an e-mail address: the numbers of another system may "
            "be strangers' usernames; if they are usernames, say so with --columns identifier=…"
        )
    if not is_username(text):
        return Unreadable(f"found {shown(cell)}, expected {kind.value}")
    return text


def is_plain_address(cell: Cell) -> bool:
    """Whether a cell is certainly an address and nothing else: a fast check that most pass."""
    return isinstance(cell, str) and len(cell) < _SHORT and bool(_PLAIN.fullmatch(cell))


def is_plain_name(cell: Cell) -> bool:
    """Whether a cell is certainly a username, and no placeholder or status word."""
    return (
        isinstance(cell, str)
        and bool(_PLAIN_NAME.fullmatch(cell))
        and cell.lower() not in _NO_NAMES
    )


_NO_NAMES = PLACEHOLDERS | GONE_WORDS | {"true", "false"}


def course_key_of(cell: Cell) -> Cell:
    """Return the course key in a cell, which may be a course's URL; empty if the cell is."""
    if isinstance(cell, Unreadable):
        return cell
    text = _bare(cell)
    if isinstance(text, Unreadable) or not text:
        return text
    if is_course_key(text) and not text.endswith("."):
        return text
    plain = re.sub("%2b", "+", re.sub("%3a", ":", text, flags=re.IGNORECASE), flags=re.IGNORECASE)
    keys = {*_KEYS_IN_TEXT.findall(plain)}
    parts = [part for part in _SEPARATORS.split(plain) if is_course_key(part)]
    if len(keys) > 1 or len(parts) > 1 or plain.count("course-v1:") > max(1, len(keys)):
        return _several(cell, "courses")
    if _URL.match(plain):
        keys = keys or {*_OLD_KEY_IN_URL.findall(plain)}
        key = keys.pop() if keys else ""
    else:
        key = plain
    if is_course_key(key) and not key.endswith("."):
        return key
    return Unreadable(f"found {shown(cell)}, {_why_no_key(plain)}")


def _why_no_key(text: str) -> str:
    expected = "expected a course key, as course-v1:Org+Number+Run"
    if dash := next((letter for letter in text if letter in _DASHES), None):
        return f"with the dash {_point(dash)} inside; {expected}"
    if text.endswith("."):
        return f"which ends with a dot; {expected}"
    if words := _hidden_in(text, spaces=":" in text):
        return f"with {words} inside; {expected}"
    if " " in text:
        return f"maybe a course's title; {expected}"
    return expected


def cohort_of(cell: Cell) -> Cell:
    """Return the name of a cohort in a cell; empty if the cell is."""
    if isinstance(cell, Unreadable):
        return cell
    text = _bare(cell)
    if isinstance(text, Unreadable) or not text:
        return text
    if text.lower() in PLACEHOLDERS:
        return Unreadable(f"found {shown(cell)}, which stands for nothing; expected an empty cell")
    if len(text) > LONGEST_COHORT:
        return Unreadable(f"found {shown(cell)}, longer than {LONGEST_COHORT} characters")
    if "," in text:
        return Unreadable(f"found {shown(cell)}, with a comma, which no platform takes in a cohort")
    if words := _hidden_in(text.translate(dict.fromkeys(map(ord, _JOINERS))), spaces=False):
        return Unreadable(f"found {shown(cell)}, with {words} inside; expected a cohort's name")
    return text


def action_of(cell: Cell) -> Action | Unreadable:
    """Return the action that a cell names; ENROLL if it is empty."""
    if isinstance(cell, Unreadable):
        return cell
    text = _bare(cell)
    if isinstance(text, Unreadable):
        return text
    action = ACTION_OF.get(folded(text)) if text else Action.ENROLL
    return action or Unreadable(f"found {shown(cell)}, expected enroll or unenroll")


def _bare(cell: str) -> Cell:
    """Return the contents of a cell without quotes; errors and formulas are unreadable."""
    text = edged(cell)
    while True:
        if (plain := plain_cell(text)) != text and not text.endswith("'"):
            return plain  # our own files escape cells that look like formulas
        inner = _unwrapped(text)
        if inner == text:
            break
        text = inner
    if text.startswith("=") and not is_address(text):
        return Unreadable(f"found the formula {shown(text)}, expected its value as text")
    if _ERRORS.fullmatch(text):
        return Unreadable(f"found the error {shown(text)}, expected a value")
    if text.startswith("'"):
        return Unreadable(f"found {shown(text)}, with an apostrophe before it: take that away")
    return text


def _unwrapped(text: str) -> str:
    if len(text) > 3 and text.startswith('="') and text.endswith('"'):
        return edged(text[2:-1].replace('""', '"'))
    if len(text) > 1 and text[-1] in _QUOTES.get(text[0], ""):
        inner = text[1:-1]
        if text[0] not in inner and text[-1] not in inner:
            return edged(inner)
    return text


def _hidden_in(text: str, *, spaces: bool) -> str:
    """Describe the first invisible or misleading character; with `spaces`, also a space."""
    if text.isascii() and text.isprintable() and not (spaces and " " in text):
        return ""
    for letter in text:
        category = unicodedata.category(letter)
        if category in _INVISIBLE:
            return f"the invisible character {_point(letter)}"
        if category == "Zs" and (spaces or letter != " "):
            return f"the blank {_point(letter)}"
        if letter == "\ufffd":
            return f"{_point(letter)}, which stands for a letter that was lost,"
    return ""


def _several(cell: str, what: str) -> Unreadable:
    return Unreadable(f"found {shown(cell)}, several {what}; expected one, and a row for each")


def _is_nothing(letter: str) -> bool:
    return letter.isspace() or unicodedata.category(letter) == "Cf"


def _point(letter: str) -> str:
    return f"U+{ord(letter):04X}"


def shown(text: str) -> str:
    """Return `text` quoted and shortened, for messages."""
    return repr(text) if len(text) <= 80 else f"{text[:80]!r}…"
