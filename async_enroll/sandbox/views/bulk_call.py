"""Validates the body of a bulk call as the framework does (`BulkEnrollmentSerializer`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from async_enroll.models import Action
from async_enroll.sandbox.domain.bulk_call import BulkCall
from async_enroll.sandbox.domain.release import Release
from async_enroll.sandbox.http.answers import Refusal
from async_enroll.sandbox.http.form import Form
from async_enroll.sandbox.views.fields import (
    Invalid,
    is_true,
    read_action,
    read_boolean,
    read_courses,
    read_strings,
    read_text,
)

CohortExists = Callable[[str, str], bool]

_WHOLE = "non_field_errors"


def read_bulk_call(content: Any, release: Release, cohort_exists: CohortExists) -> BulkCall:
    """Return the call in a body. Raises Refusal (400) that names every invalid field.

    `content` is decoded JSON, or a Form. `cohort_exists(course_id, cohort)` says whether a course
    has a cohort. Raises Crash where the platform's code does.
    """
    if content is None:
        # Case "null body".
        raise _bad_request(_WHOLE, "No data provided")
    if not isinstance(content, Mapping):
        found = type(content).__name__
        message = f"Invalid data. Expected a dictionary, but got {found}."
        raise _bad_request(_WHOLE, message)
    values = _validated(content, release)
    _check_cohorts(values, cohort_exists)
    told = values["auto_enroll"], values["email_students"]
    identifiers: Any = values["identifiers"]
    reason = values.get("reason")
    if release.reads_body_twice:
        identifiers = content["identifiers"]
        values["auto_enroll"] = is_true(content.get("auto_enroll"))
        values["email_students"] = is_true(content.get("email_students"))
        reason = content.get("reason")
    return BulkCall(
        action=values["action"],
        courses=values["courses"],
        identifiers=_split(identifiers) if isinstance(identifiers, str) else None,
        cohorts=values["cohorts"],
        auto_enroll=values["auto_enroll"],
        email_students=values["email_students"],
        auto_enroll_told=told[0],
        email_students_told=told[1],
        reason=None if reason is None else str(reason),
        role=release.refuses_roles and bool(content.get("role")),
        async_processing=values.get("async_processing", False),
    )


def _split(text: str) -> list[str]:
    """Split at commas and any white space (cases "no-break space between", …)."""
    return [identifier for identifier in re.split(r"[,\s]+", text) if identifier]


def _bad_request(field: str, message: str) -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, {field: [message]})


def _validated(content: Mapping[str, Any], release: Release) -> dict[str, Any]:
    fields = dict(_FIELDS)
    if not release.reads_body_twice:
        fields["reason"] = (read_text, "")
    if release.savepoints:
        fields["async_processing"] = (read_boolean, False)
    values: dict[str, Any] = {}
    errors: dict[str, list[str]] = {}
    for name, (read, default) in fields.items():
        try:
            values[name] = _read_field(content, name, read, default)
        except Invalid as invalid:
            errors[name] = list(invalid.args)
    if errors:
        raise Refusal(HTTPStatus.BAD_REQUEST, errors)
    return values


def _read_field(
    content: Mapping[str, Any], name: str, read: Callable[[Any], Any], default: Any
) -> Any:
    value = content.get(name, _MISSING)
    if isinstance(content, Form):
        if name in _LISTS:
            value = content.list(name) or _MISSING
        elif value == "" and default is not None:
            # An empty input is a field that was not filled in.
            value = _MISSING
    if value is _MISSING:
        if default is None:
            raise Invalid("This field is required.")
        return default
    if value is None:
        raise Invalid("This field may not be null.")
    return read(value)


def _check_cohorts(values: Mapping[str, Any], cohort_exists: CohortExists) -> None:
    cohorts, courses = values["cohorts"], values["courses"]
    if not cohorts:
        return
    if values["action"] is not Action.ENROLL:
        raise _bad_request(_WHOLE, "Cohorts can only be used for enrollments.")
    if len(cohorts) != len(courses):
        raise _bad_request(
            _WHOLE,
            "If provided, the cohorts and courses should have equal number of items.",
        )
    for course_id, cohort in zip(courses, cohorts, strict=True):
        if not cohort_exists(course_id, cohort):
            raise _bad_request(_WHOLE, f"cohort {cohort} not found in course {course_id}.")


_MISSING = object()

_LISTS = frozenset({"courses", "cohorts"})

_FIELDS: Mapping[str, tuple[Callable[[Any], Any], Any]] = {
    "identifiers": (read_text, None),
    "courses": (read_courses, None),
    "cohorts": (read_strings, ()),
    "action": (read_action, None),
    "auto_enroll": (read_boolean, False),
    "email_students": (read_boolean, False),
}
"""How each field is read, and its default (None: required)."""
