"""Keeps calls apart that may name the same learner: by username and by address, or by accents.

The platform reads what was before a learner's enrollment before it locks it: of two such calls at
the same time, both would say that they have changed it, and the learner would be mailed twice. One
after the other, only the first does. Used by `delivery.delivery` where `before` decides on mail;
the jobs of a client share one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import msgspec

from async_enroll.models import Batch, loose_key


class _Call(msgspec.Struct, eq=False):
    """A call under way or waiting.

    `kinds`: whether its identifiers are addresses, usernames, or both. `names`: their loose keys.
    """

    courses: frozenset[str]
    kinds: frozenset[bool]
    names: frozenset[str]

    def may_overlap(self, other: _Call) -> bool:
        """Whether both may name the same learner in the same course."""
        return not self.courses.isdisjoint(other.courses) and (
            len(self.kinds | other.kinds) > 1 or not self.names.isdisjoint(other.names)
        )


class Exclusion:
    """Mutual exclusion of calls that may name the same learner in the same course.

    Those may be calls of usernames and of addresses, or of identifiers that MySQL may take for one.
    They go in order of arrival, so that none waits for more than those that came before it.
    """

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._ended: asyncio.Event | None = None
        """What those wait for who are excluded; None if nobody has been since a call ended."""

    @asynccontextmanager
    async def sole(
        self,
        batch: Batch,
        *,
        waiting: Callable[[], object],
        until_stopped: Callable[[], anyio.CancelScope],
    ) -> AsyncIterator[bool]:
        """Wait until no other call excludes this one; for the body, it excludes others.

        Calls `waiting` if it has to wait. `until_stopped` gives a scope to wait in; yields False
        if that was cancelled.
        """
        call = _Call(
            frozenset(batch.courses),
            frozenset("@" in identifier for identifier in batch.identifiers),
            frozenset(map(loose_key, batch.identifiers)),
        )
        earlier = list(filter(call.may_overlap, self._calls))
        self._calls.append(call)
        try:
            with until_stopped() as wait:
                while any(one in self._calls for one in earlier):
                    waiting()
                    ended = self._ended = self._ended or asyncio.Event()
                    await ended.wait()
            yield not wait.cancelled_caught
        finally:
            self._calls.remove(call)
            if self._ended:
                self._ended.set()
                self._ended = None
