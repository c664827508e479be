"""The query parameters of the core list (`CourseEnrollmentsApiListForm`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus

from attrs import frozen

from async_enroll.models import Enrollment
from async_enroll.sandbox.domain.course_keys import is_course_key
from async_enroll.sandbox.http.answers import Refusal
from async_enroll.sandbox.storage.collation import fold
from async_enroll.sandbox.storage.rows import Rows

_MOST = 100
"""The maximum number of values of one parameter."""

_USERNAME = re.compile(r"[-a-zA-Z0-9_]+")
_BAD_USERNAME = (
    "Usernames can only contain letters (A-Z, a-z), numerals (0-9), "
    "underscores (_), and hyphens (-)."
)


@frozen
class CoreQuery:
    """Selects records by course, usernames and addresses, all folded; None selects all."""

    course: str | None
    usernames: Sequence[str] | None
    emails: Sequence[str] | None

    def matching(self, rows: Rows) -> Iterable[Enrollment]:
        """Return the matching records among a course's."""
        if self.course not in {None, fold(rows.course_id)}:
            return ()
        found: Iterable[Enrollment] = rows.enrollments
        if self.usernames is not None:
            found = filter(None, map(rows.enrollments.get, self.usernames))
        if self.emails is not None:
            found = [row for row in found if fold(row.email or "") in self.emails]
        return found


class _Invalid(Exception):
    """A parameter is invalid."""


def read_query(query: Mapping[str, str], *, filters: bool) -> CoreQuery:
    """Return the query of a query string. Raises Refusal (400) that names every invalid parameter.

    With `filters`, ``email`` is one of them. All releases ignore ``course_ids`` (case "list
    course_ids").
    """
    errors = {}
    values: dict[str, list[str]] = {}
    for name in ("course_id", "username", *(("email",) if filters else ())):
        try:
            values[name] = _read(name, query.get(name, "").strip())
        except _Invalid as invalid:
            errors[name] = {"developer_message": str(invalid)}
    if errors:
        raise Refusal(HTTPStatus.BAD_REQUEST, {"field_errors": errors})
    courses = _folded(values["course_id"])
    return CoreQuery(
        course=courses[0] if courses else None,
        usernames=_folded(values["username"]),
        emails=_folded(values.get("email", [])),
    )


def _read(name: str, text: str) -> list[str]:
    if "\0" in text:
        raise _Invalid("Null characters are not allowed.")
    if not text:
        return []
    if name == "course_id":
        if not is_course_key(text):
            raise _Invalid(f"'{text}' is not a valid course id.")
        return [text]
    values = text.split(",")
    if len(values) > _MOST:
        raise _Invalid(
            f"Too many {name}s in a single request - {len(values)}. A maximum of {_MOST} is allowed"
        )
    if name == "username" and not all(map(_USERNAME.fullmatch, values)):
        raise _Invalid(_BAD_USERNAME)
    return values


def _folded(values: list[str]) -> list[str] | None:
    """Return each name once: two spellings of one name are one learner."""
    return list(dict.fromkeys(map(fold, values))) or None
