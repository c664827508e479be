"""A call's changes: all of them or none, unseen until they are committed, one writer a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import evolve

from async_enroll.sandbox.course import Audit, Course
from async_enroll.sandbox.locks import Locks, Writer
from async_enroll.sandbox.tables import Draft, Table


class Transaction:
    """Reads what is committed and what it has written itself, as READ COMMITTED does.

    A learner's rows in a course are locked before they are written to, until the
    transaction's end. What others have committed meanwhile is seen at once.
    """

    def __init__(self, courses: Mapping[str, Course], locks: Locks) -> None:
        self.audit: list[Audit] = []
        self._courses = courses
        self._drafts: list[Draft[Any]] = []
        self._opened: dict[str, Course] = {}
        self._locks = locks
        self._writer = Writer()

    def course(self, course_id: str) -> Course | None:
        """A course to read from and write to, None if there is none."""
        committed = self._courses.get(course_id)
        if committed and course_id not in self._opened:
            self._opened[course_id] = evolve(
                committed,
                enrollments=self._draft(committed.enrollments),
                allowed=self._draft(committed.allowed),
                placements=self._draft(committed.placements),
            )
        return self._opened.get(course_id)

    def _draft(self, table: Table[Any]) -> Draft[Any]:
        draft = Draft(table)
        self._drafts.append(draft)
        return draft

    async def lock(self, course: Course, email: str) -> None:
        """Wait until nobody else writes to a learner's rows in a course.

        Raises Deadlock if that would never come.
        """
        await self._locks.acquire(self._writer, (course.course_id, email.lower()))

    def commit(self) -> None:
        """Let everybody see what was written."""
        for draft in self._drafts:
            draft.commit()

    def end(self) -> None:
        """Let others write; what has not been committed never was."""
        self._locks.release(self._writer)
