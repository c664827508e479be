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
    ended: asyncio.Event

    def may_overlap(self, other: _Call) -> bool:
        """Whether both may name the same learner in the same course."""
        return not self.courses.isdisjoint(other.courses) and (
            len(self.kinds | other.kinds) > 1 or not self.names.isdisjoint(other.names)
        )


class Exclusion:
    """Mutual exclusion of calls that may name the same learner in the same course.

    Those may be calls of usernames and of addresses, or of identifiers that MySQL may take for one.
    They go in order of arrival, so that none waits for more than those that came before it. A call
    that is lost is taken to have ended after `settle` seconds.
    """

    def __init__(self, settle: float) -> None:
        self._settle = settle
        self._calls: list[_Call] = []

    @asynccontextmanager
    async def sole(
        self,
        batch: Batch,
        *,
        waiting: Callable[[], object],
        until_stopped: Callable[[], anyio.CancelScope],
        lost: Callable[[], bool],
    ) -> AsyncIterator[bool]:
        """Wait until no other call excludes this one; for the body, it excludes others.

        Calls `waiting` if it has to wait. `until_stopped` gives a scope to wait in; yields False
        if that was cancelled. `lost`: whether, after the body, the platform may still process the
        call; then it goes on to exclude others.
        """
        call = _Call(
            frozenset(batch.courses),
            frozenset("@" in identifier for identifier in batch.identifiers),
            frozenset(map(loose_key, batch.identifiers)),
            asyncio.Event(),
        )
        earlier = list(filter(call.may_overlap, self._calls))
        self._calls.append(call)
        try:
            with until_stopped() as wait:
                if earlier:
                    waiting()
                for one in earlier:
                    await one.ended.wait()
            yield not wait.cancelled_caught
        finally:
            if lost():
                asyncio.get_running_loop().call_later(self._settle, self._end, call)
            else:
                self._end(call)

    def _end(self, call: _Call) -> None:
        self._calls.remove(call)
        call.ended.set()
