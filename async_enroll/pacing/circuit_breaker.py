"""A platform that fails every call is left alone until it answers again, for so long."""

from __future__ import annotations

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


class CircuitBreaker:
    """Counts failures in a row; while there are too many, probes instead of sending.

    `probe` asks the platform something without effect and says whether it answered;
    one probe at a time goes out, after growing and jittered waits, until one is answered
    or `seconds` have passed.
    """

    def __init__(self, seconds: float, probe: Callable[[], Awaitable[bool]]) -> None:
        self.proven: bool = False
        """Whether the platform has ever answered."""
        self.pause: float = seconds / 60
        """How many seconds a first wait takes."""
        self._seconds = seconds
        self._probe = probe
        self._failures = 0
        self._last: EnrollError | None = None
        self._ends = 0
        self._line = anyio.Lock()

    def is_open(self) -> bool:
        """Whether the platform is taken to be down."""
        return self._failures >= RUN

    def answered(self) -> None:
        """Take note of an answer, whatever it says."""
        self.proven = True
        self._failures = 0

    def failed(self, error: EnrollError) -> None:
        """Take note of a call that got none."""
        self._failures += 1
        self._last = error

    def trip(self, error: EnrollError) -> None:
        """Take the platform to be down: even a harmless call got no answer of its own."""
        self._failures = max(self._failures, RUN)
        self._last = error

    async def closed(self) -> None:
        """Return when the platform is not taken to be down.

        Raises:
            TransportError: where it stays so for longer than `seconds`.

        """
        if not self.is_open():
            return
        ends = self._ends
        async with self._line:
            if not self.is_open():
                return
            if self._ends == ends:
                await self._wait()
            else:  # while this one stood in line: one wait is enough for all
                raise self._given_up()

    async def _wait(self) -> None:
        probing = AsyncRetrying(
            retry=retry_if_result(lambda answered: not answered),
            wait=wait_random_exponential(multiplier=self.pause, max=self._seconds / 5),
            stop=stop_after_delay(self._seconds),
            sleep=anyio.sleep,
        )
        try:
            await probing(self._probe)
        except RetryError:
            self._ends += 1
            raise self._given_up() from None
        self.answered()

    def _given_up(self) -> TransportError:
        """A new one for each job: it carries the job's report."""
        words = f"the platform has not answered for {self._seconds:g} s; at last: {self._last}"
        return TransportError(words, sent=False)
