"""Translates an `EnrollmentQuery` into URL parameters, and into a predicate on records. No I/O.

Used by both listings; the predicate covers filters that a platform may not apply itself.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from async_enroll.models import Enrollment, EnrollmentQuery, identity_key


def parameters(query: EnrollmentQuery) -> dict[str, str]:
    """The URL parameters of a query; fields that are None are omitted."""
    given = {"course_id": query.course_id, "username": query.username, "days": query.days}
    return {name: str(value) for name, value in given.items() if value is not None}


Recent = Callable[[datetime | None], bool]
"""Whether a record created then is recent enough for a query; False if it is not known."""


def recent(query: EnrollmentQuery, now: datetime) -> Recent | None:
    """The test for the `days` of a query, in whole minutes as in listings; None without them."""
    if query.days is None:
        return None
    since = now.replace(second=0, microsecond=0) - timedelta(days=query.days)
    # Where the time zone is unknown: local time may be up to 14 hours ahead of UTC.
    since_somewhere = since.replace(tzinfo=None) - timedelta(hours=14)

    def is_recent(created: datetime | None) -> bool:
        if created is None:
            return False
        return created >= (since_somewhere if created.tzinfo is None else since)

    return is_recent


def matching(query: EnrollmentQuery, now: datetime) -> Callable[[Enrollment], bool]:
    """A predicate: whether a record matches the query."""
    course_id = query.course_id
    username = query.username and identity_key(query.username)
    is_recent = recent(query, now)

    def matches(record: Enrollment) -> bool:
        return (
            (course_id is None or record.course_id == course_id)
            and (username is None or identity_key(record.username) == username)
            and (is_recent is None or is_recent(record.created))
        )

    return matches
