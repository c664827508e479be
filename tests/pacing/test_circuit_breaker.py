"""A platform that is down is left alone until it answers, for so long."""

import anyio
import pytest

from async_enroll import PlatformError, TransportError
from async_enroll.pacing.circuit_breaker import RUN, CircuitBreaker
from tests.clock import simulated

DOWN = PlatformError("status 502", status=502)


async def test_single_failures_are_nothing() -> None:
    async def probe() -> bool:
        raise AssertionError("no probe is due")

    patience = CircuitBreaker(1, probe)
    for _ in range(3):
        for _ in range(RUN - 1):
            patience.failed(DOWN)
        await patience.closed()
        patience.answered()


async def test_one_probe_at_a_time_until_one_is_answered() -> None:
    probes = at_once = 0

    async def probe() -> bool:
        nonlocal probes, at_once
        at_once += 1
        assert at_once == 1
        await anyio.sleep(0.01)
        at_once -= 1
        probes += 1
        return probes == 3

    patience = CircuitBreaker(2, probe)
    for _ in range(RUN):
        patience.failed(DOWN)
    async with anyio.create_task_group() as callers:
        for _ in range(10):
            callers.start_soon(patience.closed)
    assert probes == 3


async def test_patience_ends() -> None:
    async def probe() -> bool:
        return False

    patience = CircuitBreaker(0.3, probe)
    for _ in range(RUN):
        patience.failed(DOWN)
    start = anyio.current_time()
    with pytest.raises(TransportError, match=r"not answered for 0.3 s; at last: status 502"):
        await patience.closed()
    assert anyio.current_time() - start < 3


async def test_patience_ends_once_for_all_who_wait() -> None:
    async def probe() -> bool:
        return False

    patience = CircuitBreaker(0.5, probe)
    for _ in range(RUN):
        patience.failed(DOWN)
    start = anyio.current_time()
    errors: set[TransportError] = set()

    async def wait() -> None:
        with pytest.raises(TransportError) as raised:
            await patience.closed()
        errors.add(raised.value)

    async with anyio.create_task_group() as callers:
        for _ in range(8):
            callers.start_soon(wait)
    assert len(errors) == 8  # each their own: a job hangs its report on it
    assert anyio.current_time() - start < 2  # one after the other, they would have waited for four


def outage(seconds: float, *, patience: float) -> tuple[float, int]:
    """How long a job waits for a platform that is down so long, and how often it is probed."""
    probes = 0

    @simulated
    async def wait() -> float:
        async def probe() -> bool:
            nonlocal probes
            probes += 1
            await anyio.sleep(0.1)
            return anyio.current_time() >= seconds

        breaker = CircuitBreaker(patience, probe)
        for _ in range(RUN):
            breaker.failed(DOWN)
        with pytest.MonkeyPatch.context() as clock:
            clock.setattr("time.monotonic", anyio.current_time)
            await breaker.closed()
        return anyio.current_time()

    return wait(), probes


def test_an_hour_is_waited_for_with_the_patience_of_two() -> None:
    """And that it is over is noticed within the minute, without many probes meanwhile."""
    waited, probes = outage(3600, patience=7200)
    assert 3600 <= waited < 3600 + 70
    assert 30 < probes < 600


def test_patience_of_two_hours_ends_after_two() -> None:
    with pytest.raises(TransportError, match="not answered for 7200 s"):
        outage(7400, patience=7200)
