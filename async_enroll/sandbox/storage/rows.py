"""Users, courses, and the rows that say who is in them."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from attrs import evolve, field, frozen

from async_enroll.models import Action, Enrollment
from async_enroll.sandbox.storage.collation import fold
from async_enroll.sandbox.storage.tables import Table

MODE: Final = "audit"


@frozen
class User:
    """A registered learner; what is out of the ordinary is as in `Platform.add_user`."""

    username: str
    email: str
    active: bool = True
    leaving: bool = False
    broken: bool = False
    poisonous: bool = False
    mail_fails: bool = False
    database_fails: bool = False


@frozen
class Course:
    """A course and the cohorts it has."""

    course_id: str
    cohorts: frozenset[str]
    forbidden: bool

    def cohort(self, name: str) -> str | None:
        """The name of a cohort as the course has it, None if it has none of that name."""
        folded = fold(name)
        return next((cohort for cohort in self.cohorts if fold(cohort) == folded), None)


@frozen
class Audit:
    """The record Open edX keeps of a manual enrollment or unenrollment."""

    action: Action
    email: str
    course_id: str
    reason: str | None = None


@frozen
class Allowed:
    """A registration that is, or was, waited for, and whether it enrolls; in lower case."""

    email: str
    course_id: str
    auto_enroll: bool


@frozen
class Placement:
    """The cohort of a registered learner, by username, or of one waited for, by address."""

    learner: str
    course_id: str
    cohort: str


@frozen(eq=False)
class Rows:
    """The rows of one course key, whether there is such a course or not.

    `enrollments` by username, those ended included (`is_active` is False); `allowed` by
    address; `cohorts` by username, `precohorts` by address. All names are folded.
    """

    course_id: str
    enrollments: Table[Enrollment] = field(factory=Table)
    allowed: Table[Allowed] = field(factory=Table)
    cohorts: Table[Placement] = field(factory=Table)
    precohorts: Table[Placement] = field(factory=Table)

    def is_enrolled(self, user: User | None) -> bool:
        """Whether there is a user and their enrollment is active."""
        row = self.enrollments.get(fold(user.username)) if user else None
        return row is not None and row.is_active

    def enroll(self, user: User, created: datetime, mode: str = MODE) -> None:
        """Enroll a user; an enrollment that was ended is resumed and keeps its `created`."""
        key = fold(user.username)
        row = self.enrollments.get(key)
        if row is None:
            row = Enrollment(user.username, user.email, self.course_id, True, mode, created)
        elif not row.is_active:
            row = evolve(row, is_active=True)
        self.enrollments.put(key, row)

    def unenroll(self, user: User) -> None:
        """End an enrollment, if there is one; its record stays."""
        key = fold(user.username)
        row = self.enrollments.get(key)
        if row:
            self.enrollments.put(key, evolve(row, is_active=False))

    def waits_for(self, email: str) -> Allowed | None:
        """The record of an address whose registration is, or was, waited for."""
        return self.allowed.get(fold(email))

    def allow(self, email: str, *, auto_enroll: bool) -> None:
        """Wait for the registration of an address."""
        self.allowed.put(fold(email), Allowed(email.lower(), self.course_id, auto_enroll))

    def withdraw(self, email: str) -> None:
        """Wait no longer."""
        self.allowed.put(fold(email), None)

    def place(self, user: User, cohort: str) -> str | None:
        """Put a user into a cohort; return the one they were in."""
        key = fold(user.username)
        before = self.cohorts.get(key)
        self.cohorts.put(key, Placement(user.username, self.course_id, cohort))
        return before.cohort if before else None

    def preassign(self, email: str, cohort: str) -> None:
        """Have an address put into a cohort once it is registered."""
        self.precohorts.put(fold(email), Placement(email.lower(), self.course_id, cohort))
