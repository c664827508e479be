"""The changes of a call: all or none, invisible until committed, one writer a row."""

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
    """Reads committed rows and its own changes, as READ COMMITTED does.

    The rows of a learner in a course are locked before they are written, until the transaction
    ends. What others commit meanwhile is visible at once.

    `broken`, set by the caller: the database has failed, and Django allows no further query;
    nothing will be committed.
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
        """Return the rows of a course key, for reading and writing."""
        key = fold(course_id)
        if key not in self._opened:
            committed = self._committed(course_id)
            self._opened[key] = evolve(
                committed,
                # A row has the key as the call that writes it spells it.
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
        """Wait until nobody else writes to the rows of a learner in a course.

        Raises Deadlock if that would never happen.
        """
        await self._locks.acquire(self._writer, (fold(course_id), fold(email)))

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Roll back what is written inside if an exception leaves it; locks stay."""
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
        """Make the changes visible to everybody."""
        for draft in self._drafts:
            draft.commit()

    def end(self) -> None:
        """Release the locks, and discard what is not committed."""
        self._locks.release(self._writer)
