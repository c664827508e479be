"""How Django REST framework reads the fields of a bulk call (`BulkEnrollmentSerializer`)."""

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
    """What is wrong with one field, in one message or several."""


def read_text(value: Any) -> str:
    """A `CharField`: text without the space around it; numbers are taken for text."""
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
    """What the platform's `StringListField` makes of a value: of a list, its first element."""
    if not value:
        return []
    if isinstance(value, list):
        value = value[0]
    if not isinstance(value, str):
        raise Crash(f"{value!r} has no split()")
    return value.split(",")


def read_courses(value: Any) -> list[str]:
    """Well-formed course keys."""
    courses = read_strings(value)
    for course in courses:
        if not is_course_key(course):
            raise Invalid(f"Course key not valid: {course}")
    return courses


def read_action(value: Any) -> Action:
    """A `ChoiceField`."""
    try:
        return Action(str(value))
    except ValueError:
        raise Invalid(f'"{value}" is not a valid choice.') from None


def read_boolean(value: Any) -> bool:
    """A `BooleanField`, which knows many words for both."""
    word = value.lower() if isinstance(value, str) else value
    if isinstance(word, Hashable) and word in _TRUE:
        return True
    if isinstance(word, Hashable) and word in _FALSE:
        return False
    raise Invalid("Must be a valid boolean.")


def is_true(value: Any) -> bool:
    """What `students_update_enrollment` held for true as it stood in the body."""
    return value in ("true", "True", True)
