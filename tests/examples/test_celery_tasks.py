"""The example for Celery, run as it stands: a real worker of four processes, a real Redis."""

import json
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from subprocess import DEVNULL

import anyio
import pytest

from async_enroll import RequestWindow
from async_enroll.sandbox import Platform
from tests.redis_server import RedisServer, needs_redis, serving

COURSE = "course-v1:Org+C0+2026"
TASKS = 40
SUBMIT = """
import json, sys
from celery_tasks import enroll
course, *learners = sys.argv[1:]
tasks = [enroll.delay([learner], [course]) for learner in learners]
tasks.append(enroll.delay(["no address"], [course]))
print(json.dumps([task.get(timeout=60) for task in tasks]))
"""


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with serving() as server:
        yield server


@needs_redis
async def test_a_worker_of_four_processes(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its processes take turns in one window, and each keeps its client from task to task."""
    learners = [f"learner{number}@example.org" for number in range(TASKS)]
    async with Platform(window=RequestWindow()) as site:
        site.add_course(COURSE)
        monkeypatch.setenv("ASYNC_ENROLL_URL", site.url)
        monkeypatch.setenv("ASYNC_ENROLL_TOKEN", site.token)
        monkeypatch.setenv("REDIS_URL", server.url)
        folder = Path(__file__).parent
        worker = [sys.executable, "-m", "celery", "--app", "celery_tasks", "worker"]
        options = ["--concurrency", "4", "--loglevel", "ERROR", "--without-gossip"]
        async with await anyio.open_process(
            [*worker, *options, "--without-mingle"], cwd=folder, stdout=DEVNULL, stderr=None
        ) as process:
            done = await anyio.run_process(
                [sys.executable, "-c", SUBMIT, COURSE, *learners], cwd=folder, stderr=None
            )
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
        *enrolled, failed = json.loads(done.stdout)
        asked = Counter(request.path for request in site.requests)
        assert {one.email for one in site.audit} == set(learners)
    assert enrolled == [{}] * TASKS
    assert list(failed) == [f"no address {COURSE}"]
    # Four clients, each of which has asked once who it is.
    assert asked["/api/user/v1/me"] == 4
    assert all(request.status != 429 for request in site.requests)
    with server.client() as redis:
        assert len(list(redis.scan_iter("async_enroll:*"))) == 1
