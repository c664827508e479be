"""Keeps calls apart that may name the same learner: by username and by address, or by accents.

The platform reads what was before a learner's enrollment before it locks it: of two such calls at
the same time, both would say that they have changed it, and the learner would be mailed twice. One
after the other, only the first does. Used by `delivery.delivery` where `before` decides on mail.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio

from async_enroll.models import Batch, loose_key


class Exclusion:
    """Mutual exclusion of calls in the same course that may name the same learner.

    Those may be calls of usernames and of addresses, or of identifiers that MySQL may take for one.
    """

    def __init__(self) -> None:
        # By course: how many calls are under way with usernames (False), with addresses (True).
        self._kinds: defaultdict[str, Counter[bool]] = defaultdict(Counter)
        # By course: the loose keys of their identifiers.
        self._names: defaultdict[str, set[str]] = defaultdict(set)
        self._ended: anyio.Event | None = None
        """What those wait for who are excluded; None if nobody has been since a call ended."""

    @asynccontextmanager
    async def sole(self, batch: Batch, waiting: Callable[[], object]) -> AsyncIterator[None]:
        """Wait until no other call excludes this one; for the body, it excludes others.

        Calls `waiting` if it has to wait.
        """
        kinds = {"@" in identifier for identifier in batch.identifiers}
        names = set(map(loose_key, batch.identifiers))
        while any(
            len(kinds.union(self._kinds[key])) > 1 or not names.isdisjoint(self._names[key])
            for key in batch.courses
            if key in self._kinds
        ):
            waiting()
            ended = self._ended = self._ended or anyio.Event()
            await ended.wait()
        for key in batch.courses:
            self._kinds[key].update(kinds)
            self._names[key] |= names
        try:
            yield
        finally:
            for key in batch.courses:
                self._kinds[key] = +(self._kinds[key] - Counter(kinds))
                self._names[key] -= names
                if not self._kinds[key]:
                    del self._kinds[key], self._names[key]
            if self._ended:
                self._ended.set()
                self._ended = None
