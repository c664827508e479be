"""Processes that share a window, on a simulated clock: how near the best, whatever fails."""

import math
import random
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from functools import partial

import anyio
import pytest
from attrs import define, field

from async_enroll import RequestWindow
from async_enroll.pacing.shared.log import Reply, Request, SharedLog
from async_enroll.pacing.shared.store import StoreError
from async_enroll.pacing.shared.window import LIMIT, SharedWindow
from async_enroll.pacing.throttle import Throttle
from tests.clock import simulated

WINDOW = RequestWindow(120, 6)
Work = Callable[[], Coroutine[object, object, None]]


@define
class Server:
    """A store without a network; `delay` is the seconds that an exchange takes."""

    delay: float = 0.001
    up: bool = True
    ahead: float = 0.0
    log: SharedLog = field(factory=SharedLog)
    exchanges: int = 0

    async def exchange(self, request: Request) -> Reply:
        await anyio.sleep(self.delay / 2)
        if not self.up:
            raise StoreError("nobody listens")
        self.exchanges += 1
        reply = self.log.exchange(request, anyio.current_time() + self.ahead)
        await anyio.sleep(self.delay / 2)
        return reply

    async def aclose(self) -> None:
        """Nothing is open."""


@define
class Site:
    """The platform's throttle, and how it took each process's calls."""

    window: RequestWindow = WINDOW
    refused: int = 0
    done: Counter[str] = field(factory=Counter)
    at: float = 0.0
    _taken: deque[float] = field(factory=deque)

    def take(self, who: str, now: float) -> float | None:
        """Count a call, or say when to come again."""
        while self._taken and self._taken[0] <= now - self.window.seconds:
            self._taken.popleft()
        if len(self._taken) >= self.window.calls:
            self.refused += 1
            return float(math.ceil(self._taken[0] + self.window.seconds - now))
        self._taken.append(now)
        self.done[who] += 1
        self.at = now
        return None


class Process:
    """A client of its own, with a throttle and a part in the shared window."""

    def __init__(
        self, site: Site, server: Server, name: str = "", window: RequestWindow = WINDOW
    ) -> None:
        self.told: list[str | None] = []
        self.log = SharedWindow(window, 8, lease=60, report=self._tell)
        self.log.open(server)
        self.throttle = Throttle(window, 8, patience=300, log=self.log)
        self._site, self._name, self._chance = site, name, random.Random(name)

    async def _tell(self, lost: str | None) -> None:
        self.told.append(lost)

    async def call(self) -> None:
        """One call, until it is taken."""
        while True:
            with await self.throttle.permit() as permit:
                await anyio.sleep(self._chance.uniform(0.002, 0.01))
                retry_after = self._site.take(self._name, anyio.current_time())
                await anyio.sleep(self._chance.uniform(0.002, 0.01))
                if retry_after is None:
                    return
                permit.refused(retry_after)

    async def job(self, calls: int) -> None:
        """As many calls, of which one waits in line at a time, as those of a job do."""
        places = anyio.Semaphore(8)

        async def one() -> None:
            await self.call()
            places.release()

        async with anyio.create_task_group() as tasks:
            for _ in range(calls):
                await places.acquire()
                tasks.start_soon(one)


async def together(*work: Work) -> None:
    async with anyio.create_task_group() as tasks:
        for one in work:
            tasks.start_soon(one)


async def run(
    site: Site,
    server: Server,
    processes: int,
    calls: int,
    *meanwhile: Work,
) -> list[Process]:
    """Have processes make as many calls each, at once; close them in the end."""
    all_ = [Process(site, server, f"{number}") for number in range(processes)]
    await together(*[partial(one.job, calls) for one in all_], *meanwhile)
    for one in all_:
        await one.log.aclose()
    return all_


@pytest.mark.parametrize("processes", [1, 2, 4, 8])
@pytest.mark.parametrize("delay", [0.0005, 0.003])
def test_the_optimum_of_the_window(processes: int, delay: float) -> None:
    @simulated
    async def world() -> None:
        site, server = Site(), Server(delay)
        await run(site, server, processes, 360 // processes)
        assert site.refused == 0
        assert site.at <= 1.06 * 12
        assert server.exchanges <= 4 * 360

    world()


@simulated
async def test_a_place_at_once_only_in_a_window_of_our_own() -> None:
    site, server = Site(), Server()
    process = Process(site, server)
    assert process.throttle.permit_at_once() is None
    await process.call()
    assert process.throttle.permit_at_once() is None
    await process.log.aclose()
    assert process.throttle.permit_at_once() is not None


@simulated
async def test_a_process_that_is_killed_is_not_waited_for() -> None:
    site, server = Site(), Server()
    killed = Process(site, server, "killed")
    victims = anyio.CancelScope()

    async def until_killed() -> None:
        with victims:
            await killed.job(90)

    async def kill() -> None:
        await anyio.sleep(0.2)
        assert killed.log._task is not None
        killed.log._task.cancel()  # it cannot say goodbye
        victims.cancel()

    await run(site, server, 3, 90, until_killed, kill)
    assert killed.log.in_flight == 0 or site.done["killed"] < 90
    assert site.refused == 0
    assert site.at <= 3 * WINDOW.seconds


@simulated
async def test_single_calls_beside_jobs_wait_for_the_window_and_a_place_in_it() -> None:
    site, server = Site(), Server()
    waited: list[float] = []

    async def single(number: int) -> None:
        await anyio.sleep(3 + number * 2)
        began = anyio.current_time()
        process = Process(site, server, f"single {number}")
        await process.call()
        await process.log.aclose()
        waited.append(anyio.current_time() - began)

    await run(site, server, 2, 400, *[partial(single, number) for number in range(8)])
    assert site.refused == 0
    assert len(waited) == 8
    assert max(waited) <= 1.1 * WINDOW.seconds


@simulated
async def test_no_process_starves() -> None:
    site, server = Site(), Server()
    names = [f"{number}" for number in range(4)]
    processes = [Process(site, server, name) for name in names]
    with anyio.move_on_after(5 * WINDOW.seconds):
        await together(*[partial(one.job, 10_000) for one in processes])
    for one in processes:
        await one.log.aclose()
    assert min(site.done[name] for name in names) >= 0.9 * max(site.done.values())


@simulated
async def test_a_narrower_window_is_found_out_once_for_all() -> None:
    site, server = Site(RequestWindow(80, 6)), Server()
    await run(site, server, 4, 160)
    assert site.refused <= 40
    assert site.at <= 1.25 * 7 * 6
    # A process that comes later need not find out.
    before = site.refused
    await anyio.sleep(2)
    await run(site, server, 1, 100)
    assert site.refused <= before + 2


@simulated
async def test_what_was_learned_survives_the_log() -> None:
    site, server = Site(RequestWindow(80, 6)), Server()

    async def lose() -> None:
        await anyio.sleep(15)
        assert 70 <= server.log.share_calls <= 90
        server.log = SharedLog()
        await anyio.sleep(1)
        assert 70 <= server.log.share_calls <= 90

    await run(site, server, 4, 80, lose)


@simulated
async def test_of_different_windows_the_smaller_counts() -> None:
    site, server = Site(RequestWindow(40, 6)), Server()
    knows = Process(site, server, "knows", RequestWindow(40, 6))
    other = Process(site, server, "other")
    await together(lambda: knows.job(60), lambda: other.job(60))
    assert site.refused == 0
    await knows.log.aclose()
    await other.log.aclose()


@simulated
async def test_a_hold_is_for_all() -> None:
    site, server = Site(), Server()
    held, other = Process(site, server, "held"), Process(site, server, "other")
    await held.call()
    held.throttle.hold(3)
    await anyio.sleep(0.1)
    began = anyio.current_time()
    await other.call()
    assert 2.5 <= anyio.current_time() - began <= 3.5
    held.throttle.hold(3_600)
    await anyio.sleep(0.1)
    began = anyio.current_time()
    await other.call()  # somebody else's hold ends with a window at most
    assert anyio.current_time() - began <= 1.1 * WINDOW.seconds
    await held.log.aclose()
    await other.log.aclose()


@simulated
async def test_a_log_that_is_lost_is_restored() -> None:
    site, server = Site(), Server()

    async def lose() -> None:
        for _ in range(3):
            await anyio.sleep(2.3)
            server.log = SharedLog()

    await run(site, server, 4, 90, lose)
    assert site.refused <= 4
    assert sum(site.done.values()) == 360
    assert site.at <= 1.2 * 12


@pytest.mark.parametrize("ahead", [-86_400.0, -1.0, 1.0, 86_400.0])
def test_a_clock_that_is_set_does_no_harm(ahead: float) -> None:
    @simulated
    async def world() -> None:
        site, server = Site(), Server()

        async def set_clock() -> None:
            await anyio.sleep(3.3)
            server.ahead = ahead

        await run(site, server, 4, 90, set_clock)
        assert site.refused <= 4
        assert site.at <= 1.2 * 12

    world()


@simulated
async def test_a_store_that_is_down_from_the_start_is_told_of_once() -> None:
    site, server = Site(), Server(up=False)
    (process,) = await run(site, server, 1, 130)
    assert site.refused == 0
    assert site.at <= 1.06 * 6
    assert process.told == ["nobody listens"]


@pytest.mark.parametrize("slow", [False, True])
def test_a_store_that_is_away_for_a_time_is_done_without(slow: bool) -> None:
    @simulated
    async def world() -> None:
        site, server = Site(), Server()

        async def outage() -> None:
            await anyio.sleep(3.3)
            server.up, server.delay = slow, 30.0 if slow else 0.001
            await anyio.sleep(5)
            server.up, server.delay = True, 0.001

        processes = await run(site, server, 2, 240, outage)
        reason = f"no answer within {LIMIT:g} s" if slow else "nobody listens"
        assert all(one.told == [reason, None] for one in processes)
        assert sum(site.done.values()) == 480
        assert site.refused <= 40

    world()


@simulated
async def test_no_call_waits_for_a_slow_store_longer_than_a_second() -> None:
    site, server = Site(), Server(delay=60.0)
    process = Process(site, server)
    began = anyio.current_time()
    await process.call()
    assert anyio.current_time() - began <= 1.0
    await process.log.aclose()
    assert anyio.current_time() - began <= 2.0


@simulated
async def test_a_caller_who_gives_up_leaves_no_place_taken() -> None:
    site, server = Site(), Server(delay=0.2)
    process = Process(site, server)
    with anyio.move_on_after(0.15):
        await process.call()
    await anyio.sleep(1)
    assert process.log.in_flight == 0
    assert not server.log.places
    await process.log.aclose()
