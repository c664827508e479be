"""Reconciles lost calls: reads enrollments to find out what a call without an answer has done.

Takes the batch of a lost call from `delivery.delivery`, and gives it the pairs that are as asked.
Reads through `platform.enrollments` and `platform.accounts`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack, suppress
from typing import Final

import anyio

from async_enroll.delivery.outcomes import Pair, pairs
from async_enroll.errors import EnrollError
from async_enroll.models import Action, Batch, Enrollment, identity_key
from async_enroll.platform.accounts import Accounts, Usernames, lookups
from async_enroll.platform.concurrent_queries import side_by_side
from async_enroll.platform.enrollments import Reader

_LOOKS: Final = (0.1, 0.3, 1.0)
"""When to read, as fractions of the settling time, after which a lost call has ended."""

_GATHERING: Final = 0.02
"""How long a look waits for other calls to join it, as a fraction of the settling time."""

_MANY: Final = 5_000
"""Above this many records in a look, only the last look follows."""


class _Look:
    """One reading of some courses, shared by all calls that wait for it."""

    def __init__(self) -> None:
        self.done = asyncio.Event()
        self.active: dict[Pair, bool] = {}
        self.count = 0
        """The number of records read."""
        self.given_up = False
        """Whether reading took too long and was cancelled."""
        self._desired: dict[str, dict[str, str]] = {}

    def add(self, some: Iterable[Pair]) -> None:
        """Add pairs to look for."""
        for identifier, course_id in some:
            self._desired.setdefault(course_id, {})[identity_key(identifier)] = identifier

    async def read(
        self, reader: Reader, accounts: Accounts, *, seconds: float, concurrency: int
    ) -> None:
        """Read for `seconds` at most; note which pairs are listed, and whether they are active."""
        asked = {course_id: desired.values() for course_id, desired in self._desired.items()}
        with anyio.move_on_after(seconds) as limit, suppress(EnrollError):
            some = lookups(asked, Usernames(accounts))
            await side_by_side(reader.about, some, self._note, concurrency=concurrency)
        self.given_up = limit.cancelled_caught

    async def _note(self, records: list[Enrollment]) -> None:
        self.count += len(records)
        for record in records:
            desired = self._desired.get(record.course_id, {})
            for name in (record.username, record.email):
                if name is not None and (key := identity_key(name)) in desired:
                    self.active[key, record.course_id] = record.is_active


class Reconciler:
    """Waits for lost calls to end, and meanwhile reads the enrollments of their courses.

    One look serves all calls waiting at the time; only one runs at once. A lost call is taken to
    have ended after `seconds` (the settling time); a look is cancelled after as long.
    """

    def __init__(
        self, reader: Reader, accounts: Accounts, *, seconds: float, concurrency: int
    ) -> None:
        self._reader = reader
        self._accounts = accounts
        self._seconds = seconds
        self._concurrency = concurrency
        self._next: _Look | None = None
        self._looking = asyncio.Lock()

    async def found(self, batch: Batch, *, ended: bool = False) -> set[Pair]:
        """Wait for a lost call to end; return those of its pairs that are now as asked.

        Returns early once all are, and after a single look if the call has `ended`. A pair not
        returned may be as asked all the same: reading failed or took too long, or the address
        waits for registration or activation.

        Returns nothing for a call with cohorts, since the listing does not show them.
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
            if look.given_up:  # it lasted longer than any lost call
                break
            costly = look.count > _MANY
        return asked - left

    async def listed(self, some: Iterable[Pair]) -> dict[Pair, bool]:
        """Look once; return the pairs that are listed, and whether each is active."""
        some = list(some)
        active = (await self._look(some)).active
        found = ((pair, active.get((identity_key(pair[0]), pair[1]))) for pair in some)
        return {pair: is_active for pair, is_active in found if is_active is not None}

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
                    self._next = None  # later calls need a look of their own
                await look.read(
                    self._reader,
                    self._accounts,
                    seconds=self._seconds,
                    concurrency=self._concurrency,
                )
        finally:
            look.done.set()
        return look
