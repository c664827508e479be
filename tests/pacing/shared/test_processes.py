"""Real processes that share a window through a real Redis, and through a file.

What exactly they make of it is for `test_window`, on a simulated clock; here the machine may be
slow, and so all that takes time has twice what it needs.
"""

import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from subprocess import PIPE

import anyio
import pytest
from anyio.abc import Process
from attrs import define, field

from async_enroll import BatchLimits, EnrollmentClient, RequestWindow
from async_enroll.events import Event, SharedWindowLost, SharedWindowRestored
from async_enroll.sandbox import Platform
from tests.pacing.shared.worker import COURSE
from tests.redis_server import RedisServer, needs_redis, serving
from tests.waiting import until

WINDOW = RequestWindow(40, 2)
LEARNERS = 29
"""With the call that checks the course, 30 a process: 120 of four, which take two windows."""


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with serving() as server:
        yield server


@pytest.fixture
async def site() -> AsyncIterator[Platform]:
    async with Platform(window=WINDOW) as site:
        site.add_course(COURSE)
        yield site


@define
class Worker:
    """A running process, and what it has printed."""

    process: Process
    lines: list[str] = field(factory=list)

    async def listen(self) -> None:
        assert self.process.stdout
        text = ""
        async for piece in self.process.stdout:
            text += piece.decode()
            self.lines = text.splitlines()

    async def begin(self) -> None:
        await until(lambda: "ready" in self.lines, seconds=60)
        assert self.process.stdin
        await self.process.stdin.send(b"\n")


@asynccontextmanager
async def working(site: Platform, shared_window: str, count: int) -> AsyncIterator[list[Worker]]:
    """So many workers, which begin together; they have ended well in the end, unless killed."""
    async with AsyncExitStack() as stack:
        workers = []
        for number in range(count):
            options = {
                "url": site.url,
                "token": site.token,
                "shared_window": shared_window,
                "calls": WINDOW.calls,
                "seconds": WINDOW.seconds,
                "name": f"w{number}",
                "learners": LEARNERS,
            }
            command = [sys.executable, "-m", "tests.pacing.shared.worker", json.dumps(options)]
            process = await anyio.open_process(command, stdin=PIPE, stdout=PIPE, stderr=None)
            await stack.enter_async_context(process)
            workers.append(Worker(process))
        async with anyio.create_task_group() as tasks:
            for worker in workers:
                tasks.start_soon(worker.listen)
            for worker in workers:
                await worker.begin()
            yield workers
            for worker in workers:
                assert await worker.process.wait() in (0, -signal.SIGKILL)


def refusals(site: Platform) -> int:
    return sum(request.status == 429 for request in site.requests)


def enrolled(site: Platform) -> int:
    return len({one.email for one in site.audit})


@pytest.fixture(params=["redis", "file"])
def shared_window(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return f"file://{tmp_path}/window.db"
    server: RedisServer = request.getfixturevalue("server")
    return server.url


each = pytest.mark.parametrize(
    "shared_window", [pytest.param("redis", marks=needs_redis), "file"], indirect=True
)


@each
async def test_four_at_once(site: Platform, shared_window: str) -> None:
    began = time.monotonic()
    async with working(site, shared_window, 4):
        began = time.monotonic()
    assert enrolled(site) == 4 * LEARNERS
    assert refusals(site) <= 4
    assert time.monotonic() - began <= 2 * 2 * WINDOW.seconds + 4  # starting and ending aside


@each
async def test_one_of_four_is_killed(site: Platform, shared_window: str) -> None:
    async with working(site, shared_window, 4) as workers:
        await until(lambda: len(site.audit) >= 20, seconds=20)
        with suppress(ProcessLookupError):  # it may have ended on a busy machine
            workers[0].process.kill()
    assert enrolled(site) >= 3 * LEARNERS
    assert refusals(site) <= 4


@needs_redis
async def test_redis_forgets_everything(site: Platform, server: RedisServer) -> None:
    with server.client() as redis:
        async with working(site, server.url, 3):
            await until(lambda: len(site.audit) >= 20, seconds=30)
            redis.flushall()
            await until(lambda: len(site.audit) >= 60, seconds=30)
            redis.flushall()
    assert enrolled(site) == 3 * LEARNERS
    assert refusals(site) <= 12


@needs_redis
async def test_redis_is_restarted(site: Platform, server: RedisServer) -> None:
    async with working(site, server.url, 2) as workers:
        await until(lambda: len(site.audit) >= 10, seconds=30)
        server.stop()
        await until(lambda: any(len(worker.lines) > 1 for worker in workers), seconds=30)
        server.start()
    assert enrolled(site) == 2 * LEARNERS
    # On a busy machine, one may end before it notices, and Redis may be slow another time.
    for told in [[line.split()[0] for line in worker.lines[1:]] for worker in workers]:
        assert told == (["SharedWindowLost", "SharedWindowRestored"] * len(told))[: len(told)]


@asynccontextmanager
async def telling(
    site: Platform, shared_window: str, window: RequestWindow = WINDOW
) -> AsyncIterator[tuple[EnrollmentClient, list[Event]]]:
    """A client of this process, and what it tells of its window."""
    events: list[Event] = []

    def tell(event: Event) -> None:
        if isinstance(event, SharedWindowLost | SharedWindowRestored):
            events.append(event)

    async with EnrollmentClient(
        site.url,
        site.token,
        window=window,
        shared_window=shared_window,
        batch=BatchLimits(1),
        on_event=tell,
    ) as client:
        yield client, events


def reasons(events: list[Event]) -> list[str]:
    return [event.reason if isinstance(event, SharedWindowLost) else "back" for event in events]


@needs_redis
async def test_redis_is_down_when_the_client_opens(site: Platform) -> None:
    server = RedisServer()
    async with telling(site, server.url) as (client, events):
        assert (await client.bulk_enroll(["jane@example.org"], [COURSE])).ok
        await until(lambda: events)
        server.start()
        try:
            await until(lambda: len(events) == 2)
        finally:
            server.stop()
    (lost, back) = reasons(events)
    assert f"127.0.0.1:{server.port}" in lost
    assert back == "back"


@needs_redis
async def test_redis_stands_still(site: Platform, server: RedisServer) -> None:
    async with telling(site, server.url) as (client, events):
        assert (await client.bulk_enroll(["jane@example.org"], [COURSE])).ok
        server.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        assert (await client.bulk_enroll(["john@example.org"], [COURSE])).ok
        seconds = time.monotonic() - began
        server.send_signal(signal.SIGCONT)
        await until(lambda: len(events) == 2)
    assert seconds <= 4
    assert reasons(events) == ["no answer within 0.8 s", "back"]


@needs_redis
async def test_redis_is_full(site: Platform) -> None:
    with serving("--maxmemory", "1") as server:
        async with telling(site, server.url) as (client, events):
            assert (await client.bulk_enroll(["jane@example.org"], [COURSE])).ok
            await until(lambda: events)
            with server.client() as redis:
                redis.config_set("maxmemory", 0)
            await until(lambda: len(events) == 2)
    (lost, back) = reasons(events)
    assert "OOM" in lost or "memory" in lost
    assert back == "back"


@needs_redis
async def test_the_server_hangs_up_on_an_idle_connection(
    site: Platform, server: RedisServer
) -> None:
    async with telling(site, server.url) as (client, events):
        assert (await client.bulk_enroll(["jane@example.org"], [COURSE])).ok
        with server.client() as redis:
            redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert (await client.bulk_enroll(["john@example.org"], [COURSE])).ok
    assert events == []
    assert refusals(site) == 0


FORKING = """
import anyio, os, sys
from async_enroll import BatchLimits, EnrollmentClient, RequestWindow

url, token, shared_window, course = sys.argv[1:]
window = RequestWindow(10, 30)
client = EnrollmentClient(
    url, token, window=window, shared_window=shared_window, batch=BatchLimits(1)
)

async def work(number):
    async with client:
        names = [f"f{number}x{one}@example.org" for one in range(4)]
        assert (await client.bulk_enroll(names, [course])).ok

children = []
while len(children) < 2 and 0 not in children:
    children.append(os.fork())
if 0 in children:
    anyio.run(work, len(children))
else:
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@each
async def test_a_client_made_before_a_fork_is_opened_after_it(shared_window: str) -> None:
    """As the workers of many servers are: each has a connection and a name of its own."""
    async with Platform(window=RequestWindow(10, 30)) as site:
        site.add_course(COURSE)
        arguments = [site.url, site.token, shared_window, COURSE]
        await anyio.run_process([sys.executable, "-c", FORKING, *arguments], stderr=None)
        assert enrolled(site) == 8
        assert refusals(site) == 0
