"""Several clients with one token and no shared window, on a simulated clock."""

import random
import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from attrs import define, field

from async_enroll import RequestWindow
from async_enroll.pacing.throttle import Throttle
from tests.clock import simulated
from tests.test_pacing import WAY, WINDOW, Window, around

SCALED = RequestWindow(120, 6)
CONCURRENCY = 8


@define
class Client:
    """Sends calls to a site that it shares with others."""

    site: Window
    chance: random.Random
    window: RequestWindow = WINDOW
    work: float = 0.2
    way: float = WAY
    throttle: Throttle = field(init=False)
    refused: int = 0
    accepted: list[float] = field(factory=list)

    @throttle.default
    def _own(self) -> Throttle:
        return Throttle(self.window, CONCURRENCY, patience=3000)

    async def call(self) -> None:
        """Send one call, again and again until it is accepted."""
        takes = around(self.work, 0.3, self.chance.getrandbits(32))
        while True:
            with await self.throttle.permit() as permit:
                await anyio.sleep(self.way * self.chance.uniform(0.5, 1.5))
                answer = self.site(anyio.current_time())
                if answer is None:
                    await anyio.sleep(takes())
                await anyio.sleep(self.way * self.chance.uniform(0.5, 1.5))
                if answer is None:
                    permit.completed(10)
                    self.accepted.append(anyio.current_time())
                    return
                self.refused += 1
                permit.refused(answer.retry_after)

    async def job(self, calls: int, after: float = 0.0) -> None:
        """Send so many calls."""
        await anyio.sleep(after)
        slots = anyio.Semaphore(CONCURRENCY)

        async def deliver() -> None:
            await self.call()
            slots.release()

        async with anyio.create_task_group() as deliveries:
            for _ in range(calls):
                await slots.acquire()
                deliveries.start_soon(deliver)


@asynccontextmanager
async def busy(clients: list[Client]) -> AsyncIterator[None]:
    """Have clients send without end in the body of the `async with`."""
    async with anyio.create_task_group() as jobs:
        for client in clients:
            jobs.start_soon(client.job, 1_000_000)
        yield
        jobs.cancel_scope.cancel()


@simulated
async def equal(
    clients: int, calls: int, window: RequestWindow, work: float, way: float, seed: int
) -> tuple[float, int]:
    """Give the seconds until all are done, and the refusals."""
    site, chance = Window(window.calls, window.seconds), random.Random(seed)
    all_of_them = [Client(site, chance, window, work, way) for _ in range(clients)]
    async with anyio.create_task_group() as jobs:
        for client in all_of_them:
            jobs.start_soon(client.job, calls, chance.uniform(0, window.seconds / 60))
    return anyio.current_time(), sum(client.refused for client in all_of_them)


def optimum(calls: int, in_flight: int, window: RequestWindow, seconds: float) -> float:
    full = (calls - 1) // window.calls
    return full * window.seconds + (calls - full * window.calls) / in_flight * seconds


@pytest.mark.parametrize("clients", [2, 4, 8])
@pytest.mark.parametrize(
    ("window", "work", "way"), [(SCALED, 0.02, 0.001), (WINDOW, 0.2, WAY), (WINDOW, 3.0, WAY)]
)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_equal_clients_are_done_soon_and_are_seldom_refused(
    clients: int, window: RequestWindow, work: float, way: float, seed: int
) -> None:
    seconds, refused = equal(clients, 360 // clients, window, work, way, seed)
    assert seconds <= 1.6 * optimum(360, clients * CONCURRENCY, window, work + 2 * way)
    # Each client must be told once that the window is full; there are three of them.
    assert refused <= 3 * 3 * clients


@simulated
async def left(neighbours: int, work: float, seed: int) -> list[int]:
    """Give how many calls are accepted in each window after the neighbours have left."""
    site, chance = Window(120), random.Random(seed)
    ours = Client(site, chance, work=work)
    others = [Client(site, chance, work=work) for _ in range(neighbours)]
    async with busy([ours]):
        async with busy(others):
            await anyio.sleep(chance.uniform(180, 240))
        since = anyio.current_time()
        await anyio.sleep(240)
    return [
        sum(since + 60 * window <= at < since + 60 * (window + 1) for at in ours.accepted)
        for window in range(4)
    ]


@pytest.mark.parametrize("neighbours", [1, 3])
@pytest.mark.parametrize("work", [0.2, 3.0])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_when_neighbours_have_left_the_whole_window_is_used_within_two_windows(
    neighbours: int, work: float, seed: int
) -> None:
    assert min(left(neighbours, work, seed)[2:]) >= 0.85 * 120


@simulated
async def waits(*, fresh: bool, jobs: int, seed: int) -> list[float]:
    """Give how long single calls wait beside jobs of others."""
    site, chance = Window(120), random.Random(seed)
    found = list[float]()
    async with busy([Client(site, chance) for _ in range(jobs)]):
        await anyio.sleep(90)
        ours = Client(site, chance)
        for _ in range(20):
            if fresh:
                ours = Client(site, chance)
            since = anyio.current_time()
            await ours.call()
            found.append(anyio.current_time() - since)
            await anyio.sleep(chance.uniform(0, 90))
    return found


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_single_call_waits_no_longer_than_one_of_a_fresh_client(jobs: int) -> None:
    first, later = (
        [wait for seed in range(4) for wait in waits(fresh=fresh, jobs=jobs, seed=seed)]
        for fresh in (True, False)
    )
    assert statistics.mean(later) <= 1.5 * statistics.mean(first)
    assert statistics.mean(later) <= WINDOW.seconds


@pytest.mark.parametrize(("limit", "seconds"), [(1, 0.5), (5, 1.0), (20, 10.0)])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_site_with_a_shorter_window_than_told_is_kept_up_with(
    limit: int, seconds: float, seed: int
) -> None:
    took, refused = lone(Window(limit, seconds), 40, seed)
    # A Retry-After is in whole seconds: with one call in half a second, that doubles the time.
    assert took <= 3 * max(1.0, seconds) * 40 / limit
    assert refused <= 40


@simulated
async def lone(site: Window, calls: int, seed: int) -> tuple[float, int]:
    """Give the seconds that a lone client takes, and its refusals."""
    client = Client(site, random.Random(seed))
    await client.job(calls)
    return anyio.current_time(), client.refused
