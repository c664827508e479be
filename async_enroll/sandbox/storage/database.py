"""Users, courses and enrollments."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from attrs import evolve

from async_enroll.sandbox.storage.collation import fold
from async_enroll.sandbox.storage.locks import Locks
from async_enroll.sandbox.storage.rows import Audit, Course, Rows, User
from async_enroll.sandbox.storage.transaction import Transaction


class Database:
    """Users, courses and rows, as committed."""

    def __init__(self) -> None:
        self.audit: list[Audit] = []
        self._locks = Locks()
        self._courses: dict[str, Course] = {}
        self._rows: dict[str, Rows] = {}
        self._by_username: dict[str, User] = {}
        self._by_email: dict[str, User] = {}
        self._retired: set[str] = set()

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Commit all changes made inside, or none.

        None are committed after an exception, or if a database error has broken the transaction.
        """
        transaction = Transaction(self.rows, self._locks)
        try:
            yield transaction
            if not transaction.broken:
                transaction.commit()
                self.audit += transaction.audit
        finally:
            transaction.end()

    def add_course(self, course: Course) -> None:
        """Add a course. Raises ValueError if its key is taken."""
        if self.course(course.course_id):
            raise ValueError(f"course {course.course_id} exists already")
        self._courses[fold(course.course_id)] = course
        self.rows(course.course_id)

    def course(self, course_id: str) -> Course | None:
        """Return the course of a key, in any case (case "courses other case")."""
        return self._courses.get(fold(course_id))

    def rows(self, course_id: str) -> Rows:
        """Return the rows of a course key, whether the course exists or not."""
        return self._rows.setdefault(fold(course_id), Rows(course_id))

    def all_rows(self) -> list[Rows]:
        """Return the rows of every key."""
        return list(self._rows.values())

    def listed_rows(self) -> list[Rows]:
        """Return the rows in listings: those of existing courses (case "list after that")."""
        return [rows for key, rows in self._rows.items() if key in self._courses]

    def add_user(self, user: User) -> None:
        """Register a user, and enroll them where they were allowed.

        The record of being allowed stays, as in Open edX. Raises ValueError if username or address
        is taken.
        """
        username, email = fold(user.username), fold(user.email)
        if username in self._by_username or email in self._by_email:
            raise ValueError(f"user {user.username} <{user.email}> exists already")
        self._by_username[username] = user
        self._by_email[email] = user
        if user.active:
            self._welcome(user)

    @property
    def users(self) -> int:
        """Number of registered users."""
        return len(self._by_username)

    def activate(self, user: User) -> None:
        """Activate a user, and enroll them as `add_user` does."""
        user = evolve(user, active=True)
        self._by_username[fold(user.username)] = user
        self._by_email[fold(user.email)] = user
        self._welcome(user)

    def _welcome(self, user: User) -> None:
        for rows in self.all_rows():
            waiting = rows.waits_for(user.email)
            if waiting and waiting.auto_enroll:
                rows.enroll(user, utc_now())
            preassigned = rows.precohorts.get(fold(user.email))
            if preassigned:
                rows.place(user, preassigned.cohort)
                rows.precohorts.put(fold(user.email), None)

    def retire(self, email: str) -> None:
        """Remember an address as that of a retired account."""
        self._retired.add(fold(email))

    def is_retired(self, email: str) -> bool:
        """Whether an address belonged to a retired account."""
        return fold(email) in self._retired

    def user_called(self, username: str) -> User | None:
        """Return the user of a name, as the database compares names."""
        return self._by_username.get(fold(username))

    def user_at(self, email: str) -> User | None:
        """Return the user with an address, as the database compares addresses."""
        return self._by_email.get(fold(email))

    def find_users(self, identifier: str) -> list[User]:
        """Return the users with this address or name: two, if one's name is the other's address."""
        key = fold(identifier)
        one, other = self._by_email.get(key), self._by_username.get(key)
        if one and other and one is not other:
            return [one, other]
        return [user for user in (one or other,) if user]

    def find_user(self, identifier: str) -> User | None:
        """Return the user with this address, or else this name."""
        return self.user_at(identifier) or self.user_called(identifier)


def utc_now() -> datetime:
    """Return the current time, in UTC and naive."""
    return datetime.now(UTC).replace(tzinfo=None)


def utc_minute(moment: datetime | None = None) -> datetime:
    """Return `moment` (default: now) in UTC, naive, to the minute, as in the so2 listing.

    A naive `moment` is in UTC.
    """
    moment = moment or utc_now()
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return moment.replace(second=0, microsecond=0)
