"""What a query asks for: as parameters, and as a check of what comes back. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from async_enroll.models import Enrollment, EnrollmentQuery, identity_key


def parameters(query: EnrollmentQuery) -> dict[str, str]:
    """The filters of a query by their names, those that do not filter left out."""
    given = {"course_id": query.course_id, "username": query.username, "days": query.days}
    return {name: str(value) for name, value in given.items() if value is not None}


def oldest(query: EnrollmentQuery, now: datetime) -> datetime | None:
    """Since when enrollments are asked for, to the minute as listings tell it; None: ever."""
    if query.days is None:
        return None
    return now.replace(second=0, microsecond=0) - timedelta(days=query.days)


def matching(query: EnrollmentQuery, now: datetime) -> Callable[[Enrollment], bool]:
    """Tells whether a record is what a query asks for."""
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
    """Whether a record is not older than `since`, as far as its time can be told."""
    if created is None:
        return False
    if created.tzinfo is None:
        # The zone is not named; the platform's day may have begun 14 hours before UTC's.
        return created >= since.replace(tzinfo=None) - timedelta(hours=14)
    return created >= since
