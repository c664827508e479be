"""The body of a bulk call, and the framework's checks of it (`BulkEnrollmentSerializer`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from attrs import frozen

from async_enroll.models import Action
from async_enroll.sandbox.answers import Crash, Refusal
from async_enroll.sandbox.course_keys import is_course_key

CohortExists = Callable[[str, str], bool]

_WHOLE = "non_field_errors"
_TRUE = frozenset({"t", "y", "yes", "true", "on", "1"})
_FALSE = frozenset({"f", "n", "no", "false", "off", "0"})


@frozen
class BulkCall:
    """A well-formed call; `cohorts` is empty or has one for each course."""

    action: Action
    courses: Sequence[str]
    identifiers: Sequence[str]
    cohorts: Sequence[str]
    auto_enroll: bool
    email_students: bool

    @property
    def pairs(self) -> int:
        """How many times an identifier is processed in a course."""
        return len(self.courses) * len(self.identifiers)


class _Invalid(Exception):
    """What is wrong with one field."""


def read_bulk_call(content: Any, cohort_exists: CohortExists) -> BulkCall:
    """The call in a JSON body; raises Refusal (400) that names every field at fault.

    `cohort_exists(course_id, cohort)` tells whether a course has a cohort. Raises Crash
    where the platform's code does.
    """
    if not isinstance(content, Mapping):
        found = type(content).__name__
        message = f"Invalid data. Expected a dictionary, but got {found}."
        raise _bad_request(_WHOLE, message)
    values: dict[str, Any] = {}
    errors: dict[str, list[str]] = {}
    for name, (read, default) in _FIELDS.items():
        try:
            values[name] = _read_field(content, name, read, default)
        except _Invalid as invalid:
            errors[name] = [str(invalid)]
    if errors:
        raise Refusal(HTTPStatus.BAD_REQUEST, errors)
    call = BulkCall(**values)
    _check_cohorts(call, cohort_exists)
    return call


def _bad_request(field: str, message: str) -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, {field: [message]})


def _read_field(
    content: Mapping[str, Any], name: str, read: Callable[[Any], Any], default: Any
) -> Any:
    if name not in content:
        if default is None:
            raise _Invalid("This field is required.")
        return default
    if content[name] is None:
        raise _Invalid("This field may not be null.")
    return read(content[name])


def _read_identifiers(value: Any) -> list[str]:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _Invalid("Not a valid string.")
    text = str(value).strip()
    if not text:
        raise _Invalid("This field may not be blank.")
    return [identifier for identifier in re.split(r"[,\s]+", text) if identifier]


def _read_strings(value: Any) -> list[str]:
    """What the platform's `StringListField` makes of a value: of a list, its first element."""
    if not value:
        return []
    if isinstance(value, list):
        value = value[0]
    if not isinstance(value, str):
        raise Crash(f"{value!r} has no split()")
    return value.split(",")


def _read_courses(value: Any) -> list[str]:
    courses = _read_strings(value)
    for course in courses:
        if not is_course_key(course):
            raise _Invalid(f"Course key not valid: {course}")
    return courses


def _read_action(value: Any) -> Action:
    try:
        return Action(str(value))
    except ValueError:
        raise _Invalid(f'"{value}" is not a valid choice.') from None


def _read_boolean(value: Any) -> bool:
    if isinstance(value, bool | int | float | str):
        word = str(int(value) if value in {0, 1} else value).lower()
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
    raise _Invalid("Must be a valid boolean.")


def _check_cohorts(call: BulkCall, cohort_exists: CohortExists) -> None:
    if not call.cohorts:
        return
    if call.action is not Action.ENROLL:
        raise _bad_request(_WHOLE, "Cohorts can only be used for enrollments.")
    if len(call.cohorts) != len(call.courses):
        raise _bad_request(
            _WHOLE,
            "If provided, the cohorts and courses should have equal number of items.",
        )
    for course_id, cohort in zip(call.courses, call.cohorts, strict=True):
        if not cohort_exists(course_id, cohort):
            raise _bad_request(_WHOLE, f"cohort {cohort} not found in course {course_id}.")


_FIELDS: Mapping[str, tuple[Callable[[Any], Any], Any]] = {
    "identifiers": (_read_identifiers, None),
    "courses": (_read_courses, None),
    "cohorts": (_read_strings, ()),
    "action": (_read_action, None),
    "auto_enroll": (_read_boolean, False),
    "email_students": (_read_boolean, False),
}
"""How each field is read, and what it is when missing (None: it may not be missing)."""
