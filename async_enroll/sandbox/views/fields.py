"""Reads the fields of a bulk call as Django REST framework does (`BulkEnrollmentSerializer`)."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

from async_enroll.models import Action
from async_enroll.sandbox.domain.course_keys import is_course_key
from async_enroll.sandbox.http.answers import Crash

_TRUE = frozenset({"t", "y", "yes", "true", "on", "1", True})
_FALSE = frozenset({"f", "n", "no", "false", "off", "0", False})
_SURROGATE = re.compile("[\ud800-\udfff]")


class Invalid(Exception):
    """A field is invalid; with one message or several."""


def read_text(value: Any) -> str:
    """Read a `CharField`: text without surrounding space; numbers are accepted as text."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Invalid("Not a valid string.")
    text = str(value).strip()
    if not text:
        raise Invalid("This field may not be blank.")
    messages = []
    if "\0" in text:
        messages.append("Null characters are not allowed.")
    if surrogate := _SURROGATE.search(text):
        messages.append(f"Surrogate characters are not allowed: U+{ord(surrogate[0]):X}.")
    if messages:
        raise Invalid(*messages)
    return text


def read_strings(value: Any) -> list[str]:
    """Read a value as the platform's `StringListField` does: of a list, only its first element."""
    if not value:
        return []
    if isinstance(value, list):
        value = value[0]
    if not isinstance(value, str):
        raise Crash(f"{value!r} has no split()")
    return value.split(",")


def read_courses(value: Any) -> list[str]:
    """Read valid course keys."""
    courses = read_strings(value)
    for course in courses:
        if not is_course_key(course):
            raise Invalid(f"Course key not valid: {course}")
    return courses


def read_action(value: Any) -> Action:
    """Read a `ChoiceField`."""
    try:
        return Action(str(value))
    except ValueError:
        raise Invalid(f'"{value}" is not a valid choice.') from None


def read_boolean(value: Any) -> bool:
    """Read a `BooleanField`, which accepts many words for both values."""
    word = value.lower() if isinstance(value, str) else value
    if isinstance(word, Hashable) and word in _TRUE:
        return True
    if isinstance(word, Hashable) and word in _FALSE:
        return False
    raise Invalid("Must be a valid boolean.")


def is_true(value: Any) -> bool:
    """Whether `students_update_enrollment` takes a value in the body as true."""
    return value in ("true", "True", True)
