"""Users, courses, and the rows that say who is enrolled in them."""

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
    """A registered learner; special kinds are described at `Platform.add_user`."""

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
    """A course and its cohorts."""

    course_id: str
    cohorts: frozenset[str]
    forbidden: bool

    def cohort(self, name: str) -> str | None:
        """Return the name of a cohort as the course spells it; None if there is none."""
        folded = fold(name)
        return next((cohort for cohort in self.cohorts if fold(cohort) == folded), None)


@frozen
class Audit:
    """A record of a manual enrollment or unenrollment, as Open edX keeps it."""

    action: Action
    email: str
    course_id: str
    reason: str | None = None


@frozen
class Allowed:
    """An address that awaits, or awaited, registration, and whether that enrolls it."""

    email: str
    course_id: str
    auto_enroll: bool


@frozen
class Placement:
    """The cohort of a registered learner, by username, or of an allowed one, by address."""

    learner: str
    course_id: str
    cohort: str


@frozen(eq=False)
class Rows:
    """The rows of one course key, whether the course exists or not.

    `enrollments` by username, including inactive ones; `allowed` by address; `cohorts` by username,
    `precohorts` by address. All names are folded.
    """

    course_id: str
    enrollments: Table[Enrollment] = field(factory=Table)
    allowed: Table[Allowed] = field(factory=Table)
    cohorts: Table[Placement] = field(factory=Table)
    precohorts: Table[Placement] = field(factory=Table)

    def is_enrolled(self, user: User | None) -> bool:
        """Whether the user exists and their enrollment is active."""
        row = self.enrollments.get(fold(user.username)) if user else None
        return row is not None and row.is_active

    def enroll(self, user: User, created: datetime, mode: str = MODE) -> None:
        """Enroll a user; an inactive enrollment becomes active and keeps its `created`."""
        key = fold(user.username)
        row = self.enrollments.get(key)
        if row is None:
            row = Enrollment(user.username, user.email, self.course_id, True, mode, created)
        elif not row.is_active:
            row = evolve(row, is_active=True)
        self.enrollments.put(key, row)

    def unenroll(self, user: User) -> None:
        """Deactivate an enrollment, if there is one; its record stays."""
        key = fold(user.username)
        row = self.enrollments.get(key)
        if row:
            self.enrollments.put(key, evolve(row, is_active=False))

    def waits_for(self, email: str) -> Allowed | None:
        """Return the record of an address that awaits, or awaited, registration."""
        return self.allowed.get(fold(email))

    def allow(self, email: str, *, auto_enroll: bool) -> None:
        """Allow an address: it awaits registration."""
        self.allowed.put(fold(email), Allowed(email.lower(), self.course_id, auto_enroll))

    def withdraw(self, email: str) -> None:
        """Withdraw the permission of an address."""
        self.allowed.put(fold(email), None)

    def place(self, user: User, cohort: str) -> str | None:
        """Put a user into a cohort; return the previous one."""
        key = fold(user.username)
        before = self.cohorts.get(key)
        self.cohorts.put(key, Placement(user.username, self.course_id, cohort))
        return before.cohort if before else None

    def preassign(self, email: str, cohort: str) -> None:
        """Set the cohort of an address for when it registers."""
        self.precohorts.put(fold(email), Placement(email.lower(), self.course_id, cohort))
