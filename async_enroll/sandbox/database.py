"""The platform's tables, in memory, with transactions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from attrs import evolve, field, frozen

from async_enroll.models import Action, Enrollment

MODE: Final = "audit"


@frozen
class User:
    """A registered learner; `broken` and `poisonous` as in `Platform.add_user`."""

    username: str
    email: str
    broken: bool = False
    poisonous: bool = False


@frozen
class Audit:
    """The record Open edX keeps of a manual enrollment or unenrollment."""

    action: Action
    email: str
    course_id: str


@frozen(eq=False)
class Course:
    """A course and its tables.

    `enrollments` by username, those ended included (`is_active` is False); `allowed`
    the registrations waited for, by address: whether they enroll; `placements` the
    learners' cohorts, by address. Addresses are in lower case.
    """

    course_id: str
    cohorts: frozenset[str]
    forbidden: bool
    enrollments: dict[str, Enrollment] = field(factory=dict)
    allowed: dict[str, bool] = field(factory=dict)
    placements: dict[str, str] = field(factory=dict)


class Database:
    """Users and courses, and what changes them; rows are values, replaced and never altered."""

    def __init__(self) -> None:
        self.courses: dict[str, Course] = {}
        self.audit: list[Audit] = []
        self._by_username: dict[str, User] = {}
        self._by_email: dict[str, User] = {}
        self._undo: list[Callable[[], object]] | None = None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Undo everything done inside when it is left by an exception."""
        self._undo = []
        try:
            yield
        except BaseException:
            for undo in reversed(self._undo):
                undo()
            raise
        finally:
            self._undo = None

    def add_course(self, course: Course) -> None:
        """Add a course; raises ValueError if its key is taken."""
        if course.course_id in self.courses:
            raise ValueError(f"course {course.course_id} exists already")
        self.courses[course.course_id] = course

    def add_user(self, user: User) -> None:
        """Register a user and enroll him where his registration was waited for.

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
                self.enroll(user, course, utc_minute())

    def user_called(self, username: str) -> User | None:
        """The user of that name, in any case."""
        return self._by_username.get(username.lower())

    def find_user(self, identifier: str) -> User | None:
        """The user with that address or name, in any case."""
        key = identifier.lower()
        return self._by_email.get(key) or self._by_username.get(key)

    def is_enrolled(self, user: User | None, course: Course) -> bool:
        """Whether there is a user and his enrollment is active."""
        row = course.enrollments.get(user.username) if user else None
        return row is not None and row.is_active

    def enroll(self, user: User, course: Course, created: datetime) -> None:
        """Enroll a user; an enrollment that was ended is resumed and keeps its `created`."""
        row = course.enrollments.get(user.username)
        if row is None:
            row = Enrollment(user.username, user.email, course.course_id, True, MODE, created)
        elif not row.is_active:
            row = evolve(row, is_active=True)
        self._put(course.enrollments, user.username, row)

    def unenroll(self, user: User, course: Course) -> None:
        """End an enrollment; its record stays."""
        row = course.enrollments[user.username]
        self._put(course.enrollments, user.username, evolve(row, is_active=False))

    def allow(self, email: str, course: Course, *, auto_enroll: bool) -> None:
        """Wait for the registration of an address."""
        self._put(course.allowed, email.lower(), auto_enroll)

    def withdraw(self, email: str, course: Course) -> None:
        """Wait no longer."""
        self._put(course.allowed, email.lower(), None)

    def place(self, email: str, course: Course, cohort: str) -> None:
        """Put a learner, registered or waited for, into a cohort."""
        self._put(course.placements, email.lower(), cohort)

    def record(self, audit: Audit) -> None:
        """Add to the audit."""
        self.audit.append(audit)
        if self._undo is not None:
            self._undo.append(self.audit.pop)

    def _put(self, table: dict[str, Any], key: str, row: object) -> None:
        before = table.get(key)
        if self._undo is not None:
            self._undo.append(lambda: _set(table, key, before))
        _set(table, key, row)


def _set(table: dict[str, Any], key: str, row: object) -> None:
    """Set a row; None takes it away."""
    if row is None:
        del table[key]
    else:
        table[key] = row


def utc_minute(moment: datetime | None = None) -> datetime:
    """`moment` (default: now) in UTC, to the minute and naive: as the listing tells it.

    A naive `moment` is in UTC.
    """
    moment = moment or datetime.now(UTC)
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return moment.replace(second=0, microsecond=0)
