"""Users, courses, and who is in them."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from attrs import evolve, field, frozen

from async_enroll.models import Action, Enrollment
from async_enroll.sandbox.tables import Table

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
    enrollments: Table[Enrollment] = field(factory=Table)
    allowed: Table[bool] = field(factory=Table)
    placements: Table[str] = field(factory=Table)

    def is_enrolled(self, user: User | None) -> bool:
        """Whether there is a user and their enrollment is active."""
        row = self.enrollments.get(user.username) if user else None
        return row is not None and row.is_active

    def enroll(self, user: User, created: datetime) -> None:
        """Enroll a user; an enrollment that was ended is resumed and keeps its `created`."""
        row = self.enrollments.get(user.username)
        if row is None:
            row = Enrollment(user.username, user.email, self.course_id, True, MODE, created)
        elif not row.is_active:
            row = evolve(row, is_active=True)
        self.enrollments.put(user.username, row)

    def unenroll(self, user: User) -> None:
        """End an enrollment, if there is one; its record stays."""
        row = self.enrollments.get(user.username)
        if row:
            self.enrollments.put(user.username, evolve(row, is_active=False))

    def allow(self, email: str, *, auto_enroll: bool) -> None:
        """Wait for the registration of an address."""
        self.allowed.put(email.lower(), auto_enroll)

    def withdraw(self, email: str) -> None:
        """Wait no longer."""
        self.allowed.put(email.lower(), None)

    def place(self, email: str, cohort: str) -> None:
        """Put a learner, registered or waited for, into a cohort."""
        self.placements.put(email.lower(), cohort)
