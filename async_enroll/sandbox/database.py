"""What the platform knows: users, courses and who is in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from async_enroll.sandbox.course import Audit, Course, User
from async_enroll.sandbox.locks import Locks
from async_enroll.sandbox.transaction import Transaction


class Database:
    """Users and courses, as committed."""

    def __init__(self) -> None:
        self.courses: dict[str, Course] = {}
        self.audit: list[Audit] = []
        self._locks = Locks()
        self._by_username: dict[str, User] = {}
        self._by_email: dict[str, User] = {}

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Changes that all come to be when it is left, or none if it is left by an exception."""
        transaction = Transaction(self.courses, self._locks)
        try:
            yield transaction
            transaction.commit()
            self.audit += transaction.audit
        finally:
            transaction.end()

    def add_course(self, course: Course) -> None:
        """Add a course; raises ValueError if its key is taken."""
        if course.course_id in self.courses:
            raise ValueError(f"course {course.course_id} exists already")
        self.courses[course.course_id] = course

    def add_user(self, user: User) -> None:
        """Register a user and enroll them where their registration was waited for.

        The wait stays on record, as in Open edX. Raises ValueError if username or
        address is taken.
        """
        username, email = user.username.lower(), user.email.lower()
        if username in self._by_username or email in self._by_email:
            raise ValueError(f"user {user.username} <{user.email}> exists already")
        self._by_username[username] = user
        self._by_email[email] = user
        for course in self.courses.values():
            if course.allowed.get(email):
                course.enroll(user, utc_minute())

    def user_called(self, username: str) -> User | None:
        """The user of that name, in any case."""
        return self._by_username.get(username.lower())

    def user_at(self, email: str) -> User | None:
        """The user with that address, in any case."""
        return self._by_email.get(email.lower())

    def find_user(self, identifier: str) -> User | None:
        """The user with that address or name, in any case."""
        key = identifier.lower()
        return self._by_email.get(key) or self._by_username.get(key)


def utc_minute(moment: datetime | None = None) -> datetime:
    """`moment` (default: now) in UTC, to the minute and naive: as the listing tells it.

    A naive `moment` is in UTC.
    """
    moment = moment or datetime.now(UTC)
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return moment.replace(second=0, microsecond=0)
