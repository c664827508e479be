"""The duration of a call, and failures during it."""

from __future__ import annotations

import math
import random
import time

import anyio
from attrs import field, frozen

from async_enroll.sandbox.fault_plan import Fault
from async_enroll.sandbox.http.answers import Crash

_TICK = 0.005
"""Seconds: shorter sleeps are accumulated."""

HALF_DONE = frozenset({Fault.SERVER_ERROR, Fault.UNDONE_RESET, Fault.UNDONE_BAD_GATEWAY})
"""Faults of calls that end half-way."""


@frozen
class Pace:
    """The duration of calls, in seconds.

    `sigma`: its variation from call to call, as a lognormal factor with a median of 1. With 0.5,
    half of the calls take between 0.7 and 1.4 times as long.
    """

    per_call: float
    per_pair: float
    sigma: float = 0.0
    _chance: random.Random = field(factory=lambda: random.Random(1), init=False)  # noqa: S311 -- to be reproduced, not to be secret

    def factor(self) -> float:
        """Return the factor for the duration of the next call."""
        return self._chance.lognormvariate(0.0, self.sigma)


class Effort:
    """The work on one call of `pairs` pairs.

    It takes `linger` seconds longer than its pace says. `fault`: the fault during the work, if any.
    """

    def __init__(
        self, pace: Pace, pairs: int, *, linger: float = 0.0, fault: Fault | None = None
    ) -> None:
        factor = pace.factor()
        self._per_call = factor * pace.per_call
        self._per_pair = factor * pace.per_pair
        self._pairs = pairs
        self._linger = linger
        self._fault = fault
        self._done = 0
        self._owed = 0.0

    @property
    def database_fails(self) -> bool:
        """Whether the database fails at the current pair."""
        if self._fault is None:
            return False
        last = self._done == self._pairs - 1
        middle = self._done == (self._pairs - 1) // 2
        return (last and self._fault is Fault.DATABASE_ERROR_LAST) or (
            middle and self._fault is Fault.DATABASE_ERROR
        )

    @property
    def mail_fails(self) -> bool:
        """Whether the mail of the current pair fails."""
        return self._fault is Fault.MAIL_FAILS and self._done == (self._pairs - 1) // 2

    async def begin(self) -> None:
        """Spend the time that a call takes before its first pair."""
        await self._work(self._per_call)

    async def pair_done(self) -> None:
        """Spend the time of one pair. Raises Crash if the call is to end half-way."""
        self._done += 1
        if self._fault in HALF_DONE and self._done == math.ceil(self._pairs / 2):
            raise Crash("a bug, on purpose")
        await self._work(self._per_pair)

    async def end(self) -> None:
        """Spend the remaining time, and linger."""
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
