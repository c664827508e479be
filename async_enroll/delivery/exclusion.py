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
    `owner`: on whose behalf it is sent.
    """

    courses: frozenset[str]
    kinds: frozenset[bool]
    names: frozenset[str]
    owner: object
    ended: asyncio.Event
    timer: asyncio.TimerHandle | None = None

    def may_overlap(self, other: _Call) -> bool:
        """Whether both may name the same learner in the same course."""
        return not self.courses.isdisjoint(other.courses) and (
            len(self.kinds | other.kinds) > 1 or not self.names.isdisjoint(other.names)
        )


class Exclusion:
    """Mutual exclusion of calls that may name the same learner in the same course.

    Those may be calls of usernames and of addresses, or of identifiers that MySQL may take for one.
    They go in order of arrival, so that none waits for more than those that came before it.

    A call that mails may be lost, or rolled back after mailing. What it was to change is then
    looked up after `settle` seconds, or changed without mail; until then it excludes others, but
    for no longer than twice that time: its job may stop, or wait for its consumer.
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
        owner: object = None,
        goes_on: Callable[[], bool] = bool,
    ) -> AsyncIterator[bool]:
        """Wait until no other call excludes this one; for the body, it excludes others.

        Calls `waiting` if it has to wait. `until_stopped` gives a scope to wait in; yields False
        if that was cancelled. `goes_on`: whether it goes on to exclude others after the body, until
        its `owner` is settled.
        """
        call = _Call(
            frozenset(batch.courses),
            frozenset("@" in identifier for identifier in batch.identifiers),
            frozenset(map(loose_key, batch.identifiers)),
            owner,
            asyncio.Event(),
        )
        earlier = list(filter(call.may_overlap, self._calls))
        self._calls.append(call)
        seconds = 2 * self._settle
        try:
            with until_stopped() as wait:
                if earlier:
                    waiting()
                for one in earlier:
                    await one.ended.wait()
            yield not wait.cancelled_caught
        except asyncio.CancelledError:
            seconds = self._settle  # after that it has ended, and nothing follows
            raise
        finally:
            if goes_on():
                later = asyncio.get_running_loop().call_later
                call.timer = later(seconds, self._end, call)
            else:
                self._end(call)

    def settled(self, owner: object) -> None:
        """End what the calls of `owner` exclude: nothing of theirs is left to look up or change."""
        for call in [one for one in self._calls if one.owner is owner]:
            self._end(call)

    def _end(self, call: _Call) -> None:
        if call.timer:
            call.timer.cancel()
        self._calls.remove(call)
        call.ended.set()
