"""Keeps calls apart that may name the same learner: by username and by address, or by accents.

The platform reads what was before a learner's enrollment before it locks it: of two such calls at
the same time, both would say that they have changed it, and the learner would be mailed twice. One
after the other, only the first does. Used by `delivery.delivery` where `before` decides on mail;
the jobs of a client share one.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager

import anyio
from attrs import define, field

from async_enroll.models import Batch, loose_key


@define(eq=False)
class _Call:
    """A call that waits, is under way, or has been sent and may have consequences yet.

    `owner`: on whose behalf it is sent. `until`: when it excludes nobody any more, in seconds of
    `time.monotonic`; not by the clock of an event loop, for a client may be opened on another one.
    """

    batch: Batch
    owner: object
    until: float = math.inf
    left: asyncio.Event = field(factory=asyncio.Event)
    ended: asyncio.Event = field(factory=asyncio.Event)
    kinds: set[bool] = field(init=False)
    """Whether its identifiers are addresses, usernames, or both."""
    names: set[str] = field(init=False)
    """The loose keys of its identifiers."""

    def __attrs_post_init__(self) -> None:
        self.kinds = {"@" in identifier for identifier in self.batch.identifiers}
        self.names = set(map(loose_key, self.batch.identifiers))

    def may_overlap(self, other: _Call) -> bool:
        """Whether both may name the same learner in the same course."""
        return not set(self.batch.courses).isdisjoint(other.batch.courses) and (
            len(self.kinds | other.kinds) > 1 or not self.names.isdisjoint(other.names)
        )

    async def over(self) -> None:
        """Wait until it excludes nobody any more."""
        if self.ended.is_set():  # most have, once the last one has: spares a scope for each
            return
        await self.left.wait()
        with anyio.move_on_after(self.until - time.monotonic()):
            await self.ended.wait()


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
        until_stopped: Callable[[], AbstractContextManager[anyio.CancelScope]],
        owner: object = None,
        goes_on: Callable[[], bool] = bool,
    ) -> AsyncIterator[bool]:
        """Wait until no other call excludes this one; for the body, it excludes others.

        Calls `waiting` if it has to wait. `until_stopped` gives a scope to wait in; yields False
        if that was cancelled. `goes_on`: whether it goes on to exclude others after the body, until
        its `owner` is settled.
        """
        call = _Call(batch, owner)
        now = time.monotonic()
        self._calls = [one for one in self._calls if one.until > now]
        earlier = list(filter(call.may_overlap, self._calls))
        self._calls.append(call)
        seconds = 2 * self._settle
        try:
            with until_stopped() as wait:
                if earlier:
                    waiting()
                for one in reversed(earlier):  # the last one itself waits for most of them
                    await one.over()
            yield not wait.cancelled_caught
        except asyncio.CancelledError:
            seconds = self._settle  # after that it has ended, and nothing follows
            raise
        finally:
            if goes_on():
                self._go_on(call, seconds)
            else:
                self._end(call)

    def lost(self, batch: Batch, owner: object) -> None:
        """Exclude others for a call that an earlier run has lost."""
        call = _Call(batch, owner)
        self._calls.append(call)
        self._go_on(call, 2 * self._settle)

    def settled(self, owner: object) -> None:
        """End what the calls of `owner` exclude: nothing of theirs is left to look up or change."""
        for call in [one for one in self._calls if one.owner is owner]:
            self._end(call)

    def _go_on(self, call: _Call, seconds: float) -> None:
        call.until = time.monotonic() + seconds
        call.left.set()

    def _end(self, call: _Call) -> None:
        self._calls.remove(call)
        call.until = -math.inf
        call.left.set()
        call.ended.set()
