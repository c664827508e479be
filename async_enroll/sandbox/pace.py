"""How long a call is worked on, and the point at which it breaks."""

from __future__ import annotations

import math
import time

import anyio
from attrs import frozen

from async_enroll.sandbox.answers import Crash

_TICK = 0.005
"""Seconds of work worth sleeping for; less is put together."""


@frozen
class Pace:
    """How long calls are worked on, in seconds."""

    per_call: float
    per_pair: float


class Effort:
    """The work on one call of so many `pairs`.

    It takes `linger` seconds longer than its pace says. If it `breaks`, it does half-way,
    with one pair done at least.
    """

    def __init__(self, pace: Pace, pairs: int, *, linger: float, breaks: bool) -> None:
        self._pace = pace
        self._pairs_to_go = math.ceil(pairs / 2) if breaks else math.inf
        self._linger = linger
        self._owed = 0.0

    async def begin(self) -> None:
        """Take the time a call takes before its first pair."""
        await self._work(self._pace.per_call)

    async def pair_done(self) -> None:
        """Take the time of one pair; raises Crash where the work breaks."""
        self._pairs_to_go -= 1
        if self._pairs_to_go == 0:
            raise Crash("a bug, on purpose")
        await self._work(self._pace.per_pair)

    async def end(self) -> None:
        """Linger, and take what time is still owed."""
        self._owed += self._linger
        if self._owed > 0:
            await self._sleep()

    async def _work(self, seconds: float) -> None:
        self._owed += seconds
        if self._owed >= _TICK:
            await self._sleep()

    async def _sleep(self) -> None:
        start = time.monotonic()
        await anyio.sleep(self._owed)
        self._owed -= time.monotonic() - start
