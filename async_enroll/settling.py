"""What became of a call whose answer never came: looked up, not guessed."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Final

import anyio
from attrs import frozen

from async_enroll.accounts import Accounts, Lookup
from async_enroll.errors import EnrollError
from async_enroll.models import Action, Batch, Enrollment
from async_enroll.outcomes import Pair, pairs
from async_enroll.queries import side_by_side
from async_enroll.reading import Reader

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
        self._wanted: dict[str, dict[str, str]] = {}

    def want(self, some: Iterable[Pair]) -> None:
        """Ask for pairs."""
        for identifier, course_id in some:
            self._wanted.setdefault(course_id, {})[identifier.casefold()] = identifier

    async def read(self, reader: Reader, accounts: Accounts, concurrency: int) -> None:
        """Read the courses; note who of those asked for is listed, and whether as active."""
        lookups = [
            Lookup(course_id, tuple(wanted.values()), accounts)
            for course_id, wanted in self._wanted.items()
        ]
        with suppress(EnrollError):
            await side_by_side(reader.about, lookups, self._note, concurrency=concurrency)
            self.readable = True

    async def _note(self, records: list[Enrollment]) -> None:
        for record in records:
            wanted = self._wanted.get(record.course_id, {})
            for name in (record.username, record.email):
                if name is not None and name.casefold() in wanted:
                    self.active[name.casefold(), record.course_id] = record.is_active


class Settling:
    """Waits for lost calls to end, and looks at the enrollments of their courses meanwhile.

    One look serves all calls that wait at the time. `seconds`: after which a lost call
    is taken to have ended, one way or the other.
    """

    def __init__(
        self, reader: Reader, accounts: Accounts, *, seconds: float, concurrency: int
    ) -> None:
        self._reader = reader
        self._accounts = accounts
        self._seconds = seconds
        self._concurrency = concurrency
        self._next: _Look | None = None

    async def found(self, batch: Batch) -> Findings:
        """Wait, and look for the pairs of a lost call; return early if all are as wanted.

        The listing says nothing of cohorts: of a call that names some, nothing can be told.
        """
        since = anyio.current_time()
        if batch.cohorts is not None:
            await anyio.sleep(self._seconds)
            return Findings(set(), readable=False)
        wanted = batch.action is Action.ENROLL
        asked = set(pairs(batch))
        left = asked
        readable = False
        for part in _LOOKS:
            await anyio.sleep_until(since + part * self._seconds)
            look = await self._look(left)
            readable = look.readable
            left = {
                (identifier, course_id)
                for identifier, course_id in left
                if look.active.get((identifier.casefold(), course_id)) is not wanted
            }
            if not left:
                break
        return Findings(asked - left, readable)

    async def _look(self, some: Iterable[Pair]) -> _Look:
        if self._next is not None:
            look = self._next
            look.want(some)
            await look.done.wait()
            return look
        look = self._next = _Look()
        look.want(some)
        try:
            try:
                await anyio.sleep(_GATHERING * self._seconds)
            finally:
                self._next = None  # who comes now has come too late for this one
            await look.read(self._reader, self._accounts, self._concurrency)
        finally:
            look.done.set()
        return look
