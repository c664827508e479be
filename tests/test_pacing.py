"""How near the best the throttle comes at sites of every kind, on a simulated clock."""

import math
import random
from collections import deque
from collections.abc import Callable
from typing import Protocol

import anyio
import pytest
from attrs import define, field

from async_enroll import RequestWindow
from async_enroll.pacing.throttle import Throttle
from tests.clock import simulated

WINDOW = RequestWindow()
UNLIMITED = RequestWindow(1_000_000, 1)
WAY = 0.02
"""Seconds from here to the site."""


@define
class Busy:
    """503, without a word of when."""


@define
class Refused:
    """429."""

    retry_after: float | None = None


class Site(Protocol):
    """Takes a call, and gives None, or says why not."""

    def __call__(self, now: float) -> Busy | Refused | None: ...


def taking_any(now: float) -> None:
    return None


@define
class LimitReq:
    """nginx's `limit_req … nodelay`: so many a second, and a burst."""

    rate: float
    burst: int
    refusal: Busy | Refused = field(factory=Busy)
    _excess: float = 0.0
    _at: float = -math.inf

    def __call__(self, now: float) -> Busy | Refused | None:
        excess = max(0.0, self._excess - self.rate * (now - self._at) + 1)
        if excess > self.burst:
            return self.refusal
        self._excess, self._at = excess, now
        return None


@define
class Window:
    """Django REST framework's throttle."""

    calls: int
    seconds: float = 60
    _taken: deque[float] = field(factory=deque)

    def __call__(self, now: float) -> Refused | None:
        while self._taken and self._taken[0] <= now - self.seconds:
            self._taken.popleft()
        if len(self._taken) >= self.calls:
            return Refused(math.ceil(self._taken[0] + self.seconds - now))
        self._taken.append(now)
        return None


@define
class Outage:
    """Refuses everything for so many seconds."""

    seconds: float
    refusal: Busy | Refused

    def __call__(self, now: float) -> Busy | Refused | None:
        return self.refusal if now < self.seconds else None


@define
class Run:
    """How many calls were refused, and when the last was done."""

    busy: int = 0
    refused: int = 0
    seconds: float = 0.0
    work: float = 0.0


@simulated
async def run(
    site: Site,
    calls: int,
    takes: Callable[[], float],
    *,
    window: RequestWindow = WINDOW,
    concurrency: int = 8,
    workers: float = math.inf,
    settle: float = 60.0,
) -> Run:
    """Send so many calls to a site; those of which nobody knows go again after `settle` seconds."""
    throttle, found = Throttle(window, concurrency, patience=300), Run()
    free, slots = workers, anyio.Semaphore(concurrency)

    async def work() -> None:
        nonlocal free
        free -= 1
        seconds = takes()
        found.work += seconds
        await anyio.sleep(seconds)
        free += 1

    async def send() -> Busy | Refused | None:
        with await throttle.permit() as permit:
            await anyio.sleep(WAY)
            answer = site(anyio.current_time()) or (Busy() if free < 1 else None)
            if answer is None:
                await work()
            await anyio.sleep(WAY)
            if isinstance(answer, Refused):
                found.refused += 1
                permit.refused(answer.retry_after)
            elif answer:
                found.busy += 1
                permit.busy()
            else:
                permit.completed(10)
                found.seconds = anyio.current_time()
            return answer

    async def deliver() -> None:
        while answer := await send():
            if isinstance(answer, Busy):
                slots.release()
                await anyio.sleep(settle)
                await slots.acquire()
        slots.release()

    async with anyio.create_task_group() as deliveries:
        for _ in range(calls):
            await slots.acquire()
            deliveries.start_soon(deliver)
    return found


def around(median: float, sigma: float, seed: int = 1) -> Callable[[], float]:
    """Seconds that vary (lognormal): with sigma 0.5, half of them between 0.7 and 1.4 medians."""
    chance = random.Random(seed)
    return lambda: median * chance.lognormvariate(0, sigma)


@pytest.mark.parametrize("calls", [120, 121, 300, 1000])
def test_the_optimum_of_the_window(calls: int) -> None:
    found = run(Window(120), calls, lambda: 0.2)
    full = (calls - 1) // 120
    assert found.refused == 0
    assert found.seconds <= 1.005 * full * 60 + math.ceil((calls - full * 120) / 8) * 0.25 + 1


@pytest.mark.parametrize("told", [40, 80])
@pytest.mark.parametrize("calls", [400, 1200])
@pytest.mark.parametrize("seconds", [0.2, 3.0])
def test_a_site_that_allows_fewer_calls_than_told(told: int, calls: int, seconds: float) -> None:
    found = run(Window(told), calls, lambda: seconds)
    full = (calls - 1) // told
    best = full * 60 + math.ceil((calls - full * told) / 8) * (seconds + 2 * WAY)
    assert found.seconds <= 1.06 * best
    assert found.refused <= calls / told + 2  # once a window it is tried whether there is more


@pytest.mark.parametrize("sigma", [0.0, 0.5, 0.8])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_site_whose_calls_take_differently_long(sigma: float, seed: int) -> None:
    found = run(taking_any, 400, around(2, sigma, seed), window=UNLIMITED)
    assert found.seconds <= 1.15 * found.work / 8


@pytest.mark.parametrize("refusal", [Busy(), Refused()])
@pytest.mark.parametrize(("rate", "burst"), [(2.0, 10), (1.0, 5), (0.5, 10), (1.3, 5)])
@pytest.mark.parametrize("seconds", [0.2, 3.0])
def test_a_site_that_limits_the_rate(
    rate: float, burst: int, seconds: float, refusal: Busy | Refused
) -> None:
    found = run(LimitReq(rate, burst, refusal), 360, around(seconds, 0.3))
    assert found.seconds <= 1.12 * (360 - burst) / rate
    assert found.busy + found.refused <= 22


def test_a_site_that_limits_the_rate_far_above_the_window() -> None:
    found = run(LimitReq(10, 20), 1200, lambda: 0.2)
    assert found.seconds <= 1.12 * 9 * 60
    assert found.busy <= 8


@pytest.mark.parametrize(("workers", "calls"), [(2, 300), (4, 400), (16, 1600)])
@pytest.mark.parametrize("sigma", [0.0, 0.5])
def test_a_site_that_turns_calls_away(workers: int, calls: int, sigma: float) -> None:
    found = run(
        taking_any,
        calls,
        around(10, sigma),
        window=UNLIMITED,
        concurrency=32,
        workers=workers,
    )
    assert found.work / workers / found.seconds >= 0.95
    assert found.busy <= 0.03 * calls


@pytest.mark.parametrize("retry_after", [None, 0.0, 1.0, 15.0])
@pytest.mark.parametrize("seconds", [20, 100, 200])
def test_a_site_that_refuses_everything_for_a_time(
    seconds: float, retry_after: float | None
) -> None:
    found = run(Outage(seconds, Refused(retry_after)), 10, lambda: 0.2)
    assert found.seconds <= seconds + 20


def test_a_site_that_is_busy_for_a_time_is_not_kept_waiting_afterwards() -> None:
    found = run(Outage(100, Busy()), 100, lambda: 0.2)
    assert found.seconds <= 100 + 60 + 60
