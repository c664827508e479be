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


def oldest(query: EnrollmentQuery, now: datetime) -> datetime | None:
    """The earliest creation time that matches, in whole minutes as in listings; None for any."""
    if query.days is None:
        return None
    return now.replace(second=0, microsecond=0) - timedelta(days=query.days)


def matching(query: EnrollmentQuery, now: datetime) -> Callable[[Enrollment], bool]:
    """A predicate: whether a record matches the query."""
    username = query.username and identity_key(query.username)
    since = oldest(query, now)

    def matches(record: Enrollment) -> bool:
        return (
            (query.course_id is None or record.course_id == query.course_id)
            and (username is None or identity_key(record.username) == username)
            and (since is None or is_since(record.created, since))
        )

    return matches


def is_since(created: datetime | None, since: datetime) -> bool:
    """Whether a record was created at `since` or later; False if that is not known."""
    if created is None:
        return False
    if created.tzinfo is None:
        # Its time zone is unknown: local time may be up to 14 hours ahead of UTC.
        return created >= since.replace(tzinfo=None) - timedelta(hours=14)
    return created >= since
