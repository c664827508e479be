"""Circuit breaker: stop sending to a platform that fails every call, until it answers again.

`delivery.dispatch` reports each answer and failure, and waits for `closed` before it sends.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from async_enroll.errors import EnrollError, TransportError

RUN = 5
"""Consecutive failures that open the circuit."""

_LONGEST_PAUSE = 60.0
"""Seconds between two probes at most."""


class CircuitBreaker:
    """Opens after `RUN` consecutive failures, and closes once a probe is answered.

    `probe` sends a request without effect and returns whether the platform answered. While the
    circuit is open, one probe at a time is sent, with exponential backoff and jitter, until one
    is answered or `seconds` have passed.
    """

    def __init__(self, seconds: float, probe: Callable[[], Awaitable[bool]]) -> None:
        self.proven: bool = False
        """Whether the platform has ever answered."""
        self.pause: float = min(seconds / 60, 5.0)
        """Base of the exponential backoff between probes, in seconds."""
        self._seconds = seconds
        self._probe = probe
        self._failures = 0
        self._last_error: EnrollError | None = None
        self._outages = 0
        self._lock = anyio.Lock()

    def is_open(self) -> bool:
        """Whether the platform is considered down."""
        return self._failures >= RUN

    def answered(self) -> None:
        """Record an answer, whatever its status."""
        self.proven = True
        self._failures = 0

    def failed(self, error: EnrollError) -> None:
        """Record a call that got no answer."""
        self._failures += 1
        self._last_error = error

    def trip(self, error: EnrollError) -> None:
        """Open the circuit at once: even a call without effect got no answer."""
        self._failures = max(self._failures, RUN)
        self._last_error = error

    async def closed(self) -> None:
        """Wait until the circuit is closed; return at once if it is.

        Raises:
            TransportError: if no probe is answered within `seconds`.

        """
        if not self.is_open():
            return
        outages = self._outages
        async with self._lock:
            if not self.is_open():
                return
            if self._outages == outages:
                await self._probe_until_answered()
            else:  # another caller waited in vain meanwhile: one wait serves all
                raise self._outage_error()

    async def _probe_until_answered(self) -> None:
        # Imported here: few programs need it, and it costs a tenth of the import of all the rest.
        from tenacity import (
            AsyncRetrying,
            RetryError,
            retry_if_result,
            stop_after_delay,
            wait_random_exponential,
        )

        # However patient the job is, it notices within a minute that the platform is back.
        longest = min(self._seconds / 5, _LONGEST_PAUSE)
        probing = AsyncRetrying(
            retry=retry_if_result(lambda answered: not answered),
            wait=wait_random_exponential(multiplier=self.pause, max=longest),
            stop=stop_after_delay(self._seconds),
            sleep=anyio.sleep,
        )
        try:
            await probing(self._probe)
        except RetryError:
            self._outages += 1
            raise self._outage_error() from None
        self.answered()

    def _outage_error(self) -> TransportError:
        """A new exception for each job, because it carries the job's report."""
        words = (
            f"the platform has not answered for {self._seconds:g} s; at last: {self._last_error}"
        )
        return TransportError(words, sent=False)
