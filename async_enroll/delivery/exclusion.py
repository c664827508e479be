"""Keeps calls apart that may name the same learner: by username and by address, or by accents.

The platform reads what was before a learner's enrollment before it locks it: of two such calls at
the same time, both would say that they have changed it, and the learner would be mailed twice. One
after the other, only the first does. A lost call may be under way for a while. `delivery.delivery`
asks where `before` decides on mail; the jobs of a client share one.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import msgspec

from async_enroll.models import Batch, loose_key


class Turn(msgspec.Struct, eq=False):
    """A call that waits, is under way, or is lost and may be.

    `kinds`: whether its identifiers are addresses, usernames, or both. `names`: their loose keys.
    `until`: when it has surely ended, by the event loop's clock.
    """

    courses: frozenset[str]
    kinds: frozenset[bool]
    names: frozenset[str]
    until: float = math.inf
    lost: bool = False
    """Whether the call may still mail somebody when the body ends: set there."""

    def may_overlap(self, other: Turn) -> bool:
        """Whether both may name the same learner in the same course."""
        return not self.courses.isdisjoint(other.courses) and (
            len(self.kinds | other.kinds) > 1 or not self.names.isdisjoint(other.names)
        )


class Exclusion:
    """Mutual exclusion of calls that may name the same learner in the same course.

    Those may be calls of usernames and of addresses, or of identifiers that MySQL may take for one.
    They go in order of arrival, so that none waits for more than those that came before it. A lost
    call excludes others for `settle` seconds.
    """

    def __init__(self, settle: float) -> None:
        self._settle = settle
        self._turns: list[Turn] = []
        self._ended: asyncio.Event | None = None
        """What those wait for who are excluded; None if nobody has been since a call ended."""

    @asynccontextmanager
    async def sole(
        self,
        batch: Batch,
        *,
        waiting: Callable[[], object],
        until_stopped: Callable[[], anyio.CancelScope],
    ) -> AsyncIterator[Turn | None]:
        """Wait until no other call excludes this one; for the body, it excludes others.

        Calls `waiting` if it has to wait. `until_stopped` gives a scope to wait in; yields None if
        that was cancelled.
        """
        turn = Turn(
            frozenset(batch.courses),
            frozenset("@" in identifier for identifier in batch.identifiers),
            frozenset(map(loose_key, batch.identifiers)),
        )
        now = anyio.current_time()
        self._turns = [one for one in self._turns if one.until > now]
        earlier = list(filter(turn.may_overlap, self._turns))
        self._turns.append(turn)
        try:
            with until_stopped() as wait:
                await self._ends(earlier, waiting)
            yield None if wait.cancelled_caught else turn
        finally:
            turn.until = anyio.current_time() + self._settle if turn.lost else -math.inf
            if self._ended:
                self._ended.set()
                self._ended = None

    async def _ends(self, earlier: list[Turn], waiting: Callable[[], object]) -> None:
        now = anyio.current_time()
        while left := [one.until for one in earlier if one.until > now]:
            waiting()
            ended = self._ended = self._ended or asyncio.Event()
            with anyio.move_on_after(min(left) - now):
                await ended.wait()
            now = anyio.current_time()
