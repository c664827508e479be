"""A bulk call that has been read and found to be well formed."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from async_enroll.models import Action


@frozen
class BulkCall:
    """A well-formed call; `cohorts` is empty or has one for each course.

    `identifiers` is None where the platform fails to split them. The answer tells of
    `auto_enroll_told` and `email_students_told`, the work heeds `auto_enroll` and
    `email_students`; they differ on releases that read the body twice.
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
        """How many times an identifier is processed in a course."""
        return len(self.courses) * len(self.identifiers or ())
