"""A platform that fails every call is left alone until it answers again, for so long."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import anyio
from tenacity import (
    AsyncRetrying,
    RetryError,
    retry_if_result,
    stop_after_delay,
    wait_random_exponential,
)

from async_enroll.errors import EnrollError, TransportError

RUN = 5
"""How many calls must fail in a row for the platform to be taken to be down."""

_log = logging.getLogger("async_enroll")


class Patience:
    """Counts failures in a row; while there are too many, probes instead of sending.

    `probe` asks the platform something without effect and says whether it answered;
    one probe at a time goes out, after growing and jittered waits, until one is answered
    or `seconds` have passed.
    """

    def __init__(self, seconds: float, probe: Callable[[], Awaitable[bool]]) -> None:
        self.proven = False
        """Whether the platform has ever answered."""
        self._seconds = seconds
        self._probe = probe
        self._failures = 0
        self._last: EnrollError | None = None
        self._ended: TransportError | None = None
        self._line = anyio.Lock()

    def answered(self) -> None:
        """Take note of an answer, whatever it says."""
        self.proven = True
        self._failures = 0

    def failed(self, error: EnrollError) -> None:
        """Take note of a call that got none."""
        self._failures += 1
        self._last = error

    async def up(self) -> None:
        """Return when the platform is not taken to be down.

        Raises:
            TransportError: where it stays so for longer than `seconds`.

        """
        if self._failures < RUN:
            return
        ended_before = self._ended
        async with self._line:
            if self._failures < RUN:
                return
            if self._ended is ended_before:
                await self._wait()
            elif self._ended:  # while this one stood in line: one wait is enough for all
                raise self._ended

    async def _wait(self) -> None:
        _log.warning("%d calls in a row have failed: waiting for the platform", self._failures)
        probing = AsyncRetrying(
            retry=retry_if_result(lambda answered: not answered),
            wait=wait_random_exponential(multiplier=self._seconds / 60, max=self._seconds / 5),
            stop=stop_after_delay(self._seconds),
            sleep=anyio.sleep,
        )
        try:
            await probing(self._probe)
        except RetryError:
            self._ended = TransportError(
                f"the platform has not answered for {self._seconds:g} s; at last: {self._last}",
                sent=False,
            )
            raise self._ended from None
        self.answered()
