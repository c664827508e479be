"""What became of a call whose answer never came: looked up, not guessed."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AsyncExitStack, suppress
from typing import Final

import anyio

from async_enroll.delivery.outcomes import Pair, pairs
from async_enroll.errors import EnrollError
from async_enroll.models import Action, Batch, Enrollment, identity_key
from async_enroll.platform.accounts import Accounts, Lookup, Usernames
from async_enroll.platform.concurrent_queries import side_by_side
from async_enroll.platform.enrollments import Reader

_LOOKS: Final = (0.1, 0.3, 1.0)
"""When to look, in parts of the settling time after which the call has surely ended."""

_GATHERING: Final = 0.02
"""For how long a look waits for others, in parts of the settling time."""

_MANY: Final = 5_000
"""How many records a look may read without the one before the last being left out."""


class _Look:
    """One reading of some courses, for all who wait for it."""

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.active: dict[Pair, bool] = {}
        self.count = 0
        """How many records were read."""
        self.given_up = False
        """Whether the reading did not end in time."""
        self._desired: dict[str, dict[str, str]] = {}

    def add(self, some: Iterable[Pair]) -> None:
        """Ask for pairs."""
        for identifier, course_id in some:
            self._desired.setdefault(course_id, {})[identity_key(identifier)] = identifier

    async def read(
        self, reader: Reader, accounts: Accounts, *, seconds: float, concurrency: int
    ) -> None:
        """Read for `seconds` at most; note who of those asked for is listed, and if as active."""
        lookups = self._lookups(Usernames(accounts))
        with anyio.move_on_after(seconds) as limit, suppress(EnrollError):
            await side_by_side(reader.about, lookups, self._note, concurrency=concurrency)
        self.given_up = limit.cancelled_caught

    def _lookups(self, usernames: Usernames) -> list[Lookup]:
        """Of a few learners, one for all courses; else one for each course."""
        everybody = {key: who for of in self._desired.values() for key, who in of.items()}
        lookup = Lookup(tuple(self._desired), tuple(everybody.values()), usernames)
        if lookup.is_of_few:
            return [lookup]
        return [
            Lookup((course_id,), tuple(desired.values()), usernames)
            for course_id, desired in self._desired.items()
        ]

    async def _note(self, records: list[Enrollment]) -> None:
        self.count += len(records)
        for record in records:
            desired = self._desired.get(record.course_id, {})
            for name in (record.username, record.email):
                if name is not None and (key := identity_key(name)) in desired:
                    self.active[key, record.course_id] = record.is_active


class Reconciler:
    """Waits for lost calls to end, and looks at the enrollments of their courses meanwhile.

    One look serves all calls that wait at the time, and one is taken after the other.
    `seconds`: after which a lost call is taken to have ended, one way or the other, and a
    look is given up.
    """

    def __init__(
        self, reader: Reader, accounts: Accounts, *, seconds: float, concurrency: int
    ) -> None:
        self._reader = reader
        self._accounts = accounts
        self._seconds = seconds
        self._concurrency = concurrency
        self._next: _Look | None = None
        self._looking = anyio.Lock()

    async def found(self, batch: Batch, *, ended: bool = False) -> set[Pair]:
        """Wait for a lost call; give its pairs that are seen to be as it was to leave them.

        Returns early if all are, and after one look where the call has `ended`. What is not
        seen may be so all the same: nobody could look, or not for long enough, or an address
        waits for registration or activation.

        The listing says nothing of cohorts: of a call that names some, nothing can be told.
        """
        since = anyio.current_time()
        if batch.cohorts is not None:
            await anyio.sleep(0 if ended else self._seconds)
            return set()
        desired = batch.action is Action.ENROLL
        asked = set(pairs(batch))
        left = asked
        costly = False
        looks = (0.0,) if ended else _LOOKS
        for part in looks:
            when = since + part * self._seconds
            is_last = part == looks[-1]
            if not is_last and (costly or when < anyio.current_time()):
                continue
            await anyio.sleep_until(when)
            look = await self._look(left)
            left = {
                (identifier, course_id)
                for identifier, course_id in left
                if look.active.get((identity_key(identifier), course_id)) is not desired
            }
            if not left:
                break
            if look.given_up:  # it has lasted longer than the lost call can have
                break
            costly = look.count > _MANY
        return asked - left

    async def _look(self, some: Iterable[Pair]) -> _Look:
        if self._next is not None:
            look = self._next
            look.add(some)
            await look.done.wait()
            return look
        look = self._next = _Look()
        look.add(some)
        try:
            async with AsyncExitStack() as stack:
                try:
                    await anyio.sleep(_GATHERING * self._seconds)
                    await stack.enter_async_context(self._looking)
                finally:
                    self._next = None  # who comes now has come too late for this one
                await look.read(
                    self._reader,
                    self._accounts,
                    seconds=self._seconds,
                    concurrency=self._concurrency,
                )
        finally:
            look.done.set()
        return look
