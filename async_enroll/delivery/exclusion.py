"""Keeps calls apart that may name the same learner, once by username and once by address.

The platform reads what was before a learner's enrollment before it locks it: of two such calls at
the same time, both would say that they have changed it, and the learner would be mailed twice. One
after the other, only the first does. Used by `delivery.delivery` where `before` decides on mail.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from async_enroll.models import Batch


class Exclusion:
    """Mutual exclusion of calls in the same course, except of those with one kind of identifier."""

    def __init__(self) -> None:
        # By course: how many calls are under way with usernames (False), with addresses (True).
        self._under_way: defaultdict[str, Counter[bool]] = defaultdict(Counter)
        self._ended = anyio.Event()

    def admits(self, batch: Batch) -> bool:
        """Whether a call could be sent now."""
        kinds = _kinds(batch)
        courses = [self._under_way[key] for key in batch.courses if key in self._under_way]
        return not any(len(kinds.union(course)) > 1 for course in courses)

    @asynccontextmanager
    async def sole(self, batch: Batch) -> AsyncIterator[None]:
        """Wait until no other call excludes this one; for the body, it excludes others."""
        while not self.admits(batch):
            await self._ended.wait()
        kinds = _kinds(batch)
        for key in batch.courses:
            self._under_way[key].update(kinds)
        try:
            yield
        finally:
            for key in batch.courses:
                self._under_way[key] = +(self._under_way[key] - Counter(kinds))
                if not self._under_way[key]:
                    del self._under_way[key]
            self._ended.set()
            self._ended = anyio.Event()


def _kinds(batch: Batch) -> set[bool]:
    return {"@" in identifier for identifier in batch.identifiers}
