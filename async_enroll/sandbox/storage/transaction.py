"""A call's changes: all of them or none, unseen until they are committed, one writer a row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from attrs import evolve

from async_enroll.sandbox.storage.collation import fold
from async_enroll.sandbox.storage.locks import Locks, Writer
from async_enroll.sandbox.storage.rows import Audit, Rows
from async_enroll.sandbox.storage.tables import Draft, Table


class Transaction:
    """Reads what is committed and what it has written itself, as READ COMMITTED does.

    A learner's rows in a course are locked before they are written to, until the
    transaction's end. What others have committed meanwhile is seen at once.

    `broken`, for its user to set: the database has failed, and Django lets no query
    through any more; there will be nothing to commit.
    """

    def __init__(self, committed: Callable[[str], Rows], locks: Locks) -> None:
        self.audit: list[Audit] = []
        self.broken = False
        self._committed = committed
        self._drafts: list[Draft[Any]] = []
        self._opened: dict[str, Rows] = {}
        self._locks = locks
        self._writer = Writer()

    def rows(self, course_id: str) -> Rows:
        """A course key's rows, to read from and write to."""
        key = fold(course_id)
        if key not in self._opened:
            committed = self._committed(course_id)
            self._opened[key] = evolve(
                committed,
                # Rows are spelled as the call that writes them spells the key.
                course_id=course_id,
                enrollments=self._draft(committed.enrollments),
                allowed=self._draft(committed.allowed),
                cohorts=self._draft(committed.cohorts),
                precohorts=self._draft(committed.precohorts),
            )
        return self._opened[key]

    def _draft(self, table: Table[Any]) -> Draft[Any]:
        draft = Draft(table)
        self._drafts.append(draft)
        return draft

    async def lock(self, course_id: str, email: str) -> None:
        """Wait until nobody else writes to a learner's rows in a course.

        Raises Deadlock if that would never come.
        """
        await self._locks.acquire(self._writer, (fold(course_id), fold(email)))

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """What is written inside is undone if it is left by an exception; locks stay."""
        marks = [(draft, draft.mark()) for draft in self._drafts]
        audited = len(self.audit)
        try:
            yield
        except BaseException:
            for draft, mark in marks:
                draft.go_back(mark)
            del self.audit[audited:]
            raise

    def commit(self) -> None:
        """Let everybody see what was written."""
        for draft in self._drafts:
            draft.commit()

    def end(self) -> None:
        """Let others write; what has not been committed never was."""
        self._locks.release(self._writer)
