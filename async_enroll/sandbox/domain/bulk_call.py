"""A bulk call that has been parsed and validated. `views.bulk_call` makes it."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from async_enroll.models import Action


@frozen
class BulkCall:
    """A valid call; `cohorts` is empty or has one for each course.

    `identifiers` is None if the platform fails to split them. The answer reports `auto_enroll_told`
    and `email_students_told`; the work uses `auto_enroll` and `email_students`. They differ in
    releases that read the body twice.
    """

    action: Action
    courses: Sequence[str]
    identifiers: Sequence[str] | None
    cohorts: Sequence[str]
    auto_enroll: bool
    email_students: bool
    auto_enroll_told: bool = False
    email_students_told: bool = False
    reason: str | None = None
    role: bool = False
    async_processing: bool = False

    @property
    def pairs(self) -> int:
        """The number of identifiers times courses."""
        return len(self.courses) * len(self.identifiers or ())
