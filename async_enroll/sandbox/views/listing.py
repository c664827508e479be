"""MOOCit's enrollment listing: selects records, and encodes them in one of four forms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from enum import Enum, auto
from itertools import islice
from typing import Any, cast

import msgspec

from async_enroll.models import Enrollment, EnrollmentQuery
from async_enroll.sandbox.storage.collation import fold
from async_enroll.sandbox.storage.database import Database, utc_minute
from async_enroll.sandbox.storage.rows import Rows

_CHUNK = 500
"""Records encoded at once."""


class ListingForm(Enum):
    """The form of the listing."""

    ARRAY = auto()
    """A JSON array."""
    COMMAS = auto()
    """Records separated by commas, without brackets: what MOOCit's reference shows."""
    PAGES = auto()
    """``{"count", "next", "previous", "results"}``."""
    LINES = auto()
    """One record per line."""


_PUNCTUATION = {
    ListingForm.ARRAY: (b"[", b",", b"]", b""),
    ListingForm.COMMAS: (b"", b", \n", b"", b""),
    ListingForm.LINES: (b"", b"", b"", b"\n"),
}
"""What opens the body, separates records and closes it; what ends a record."""


def matching(database: Database, query: EnrollmentQuery) -> Iterator[Enrollment]:
    """Yield the records that `query` selects, course by course."""
    since = None if query.days is None else utc_minute() - timedelta(days=query.days)
    course = None if query.course_id is None else fold(query.course_id)
    for rows in database.listed_rows():
        if course in {None, fold(rows.course_id)}:
            for row in _of(rows, query.username):
                if since is None or created(row) >= since:
                    yield row


def _of(rows: Rows, username: str | None) -> Iterable[Enrollment]:
    if username is None:
        return rows.enrollments
    row = rows.enrollments.get(fold(username))
    return [row] if row else []


def encoded(records: Iterator[Enrollment], form: ListingForm) -> Iterator[bytes]:
    """Yield the body of a listing without pages, in pieces."""
    opening, between, closing, end = _PUNCTUATION[form]
    lead = opening
    while chunk := list(islice(records, _CHUNK)):
        yield lead + between.join([msgspec.json.encode(content(row)) + end for row in chunk])
        lead = between
    yield closing if lead is between else opening + closing


def created(row: Enrollment) -> datetime:
    """Return when a row was made, which the sandbox always knows."""
    return cast("datetime", row.created)


def content(row: Enrollment) -> dict[str, Any]:
    """Return the JSON object of a record."""
    return {
        "username": row.username,
        "email": row.email,
        "course_id": row.course_id,
        "is_active": row.is_active,
        "mode": row.mode,
        "created": created(row).isoformat(" ", "minutes"),
    }
