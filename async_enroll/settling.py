"""What became of a call whose answer never came: looked up, not guessed."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import anyio
from attrs import frozen

from async_enroll.api import Api
from async_enroll.errors import EnrollError
from async_enroll.models import Action, Batch, Enrollment, EnrollmentQuery
from async_enroll.outcomes import Pair
from async_enroll.queries import side_by_side

_LOOKS: Final = (0.1, 0.3, 1.0)
"""When to look, in parts of the settling time after which the call has surely ended."""

_GATHERING: Final = 0.02
"""For how long a look waits for others, in parts of the settling time."""


@frozen
class Findings:
    """The pairs of a lost call that are as it was to leave them, as far as can be seen.

    `readable`: whether the last look could be taken, and tells of the others that they are not.
    """

    done: set[Pair]
    readable: bool


class _Look:
    """One reading of some courses, for all who wait for it."""

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.readable = False
        self.active: dict[Pair, bool] = {}
        self._wanted: dict[str, set[str]] = {}

    def want(self, batch: Batch) -> None:
        """Ask for the pairs of a batch."""
        identifiers = {identifier.casefold() for identifier in batch.identifiers}
        for course_id in batch.courses:
            self._wanted.setdefault(course_id, set()).update(identifiers)

    async def read(self, api: Api, concurrency: int) -> None:
        """Read the courses; note who of those asked for is listed, and whether as active."""
        queries = [EnrollmentQuery(course_id=course_id) for course_id in self._wanted]
        with suppress(EnrollError):
            await side_by_side(api, queries, self._note, concurrency=concurrency)
            self.readable = True

    async def _note(self, records: list[Enrollment]) -> None:
        for record in records:
            wanted = self._wanted.get(record.course_id, set())
            for name in (record.username, record.email):
                if name is not None and name.casefold() in wanted:
                    self.active[name.casefold(), record.course_id] = record.is_active


class Settling:
    """Waits for lost calls to end, and looks at the enrollments of their courses meanwhile.

    One look serves all calls that wait at the time. `seconds`: after which a lost call
    is taken to have ended, one way or the other.
    """

    def __init__(self, api: Api, *, seconds: float, concurrency: int) -> None:
        self._api = api
        self._seconds = seconds
        self._concurrency = concurrency
        self._next: _Look | None = None

    async def found(self, batch: Batch) -> Findings:
        """Wait, and look for the pairs of a lost call; return early if all are as wanted.

        The listing says nothing of cohorts: of a call that names some, nothing can be told.
        """
        since = anyio.current_time()
        wanted = batch.action is Action.ENROLL
        found: set[Pair] = set()
        readable = False
        for part in _LOOKS:
            await anyio.sleep_until(since + part * self._seconds)
            look = await self._look(batch)
            readable = look.readable
            found |= {
                (identifier, course_id)
                for identifier in batch.identifiers
                for course_id in batch.courses
                if look.active.get((identifier.casefold(), course_id)) is wanted
            }
            if len(found) == batch.pairs and batch.cohorts is None:
                break
        return Findings(found, readable) if batch.cohorts is None else Findings(set(), False)

    async def _look(self, batch: Batch) -> _Look:
        if self._next is not None:
            look = self._next
            look.want(batch)
            await look.done.wait()
            return look
        look = self._next = _Look()
        look.want(batch)
        try:
            try:
                await anyio.sleep(_GATHERING * self._seconds)
            finally:
                self._next = None  # who comes now has come too late for this one
            await look.read(self._api, self._concurrency)
        finally:
            look.done.set()
        return look
