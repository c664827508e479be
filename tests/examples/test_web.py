"""The example web services, run as they stand, under callers of all kinds."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

import aiohttp
import anyio
import pytest

from async_enroll import BatchLimits, RequestWindow
from async_enroll.sandbox import Platform
from tests.examples.serving import aiohttp_web, fastapi
from tests.waiting import until

WINDOW = RequestWindow(100, 0.15)
AHEAD = 1 + 2 * 2 + 7
"""Calls for a caller who does not read, two at once: one checks the courses, twice two have
results that wait to be taken, and those of a few are on their way."""
COURSES = [f"course-v1:Org+C{number}+2026" for number in range(3)]

Serve = Callable[..., AbstractAsyncContextManager[str]]


@pytest.fixture
async def site(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Platform]:
    async with Platform(window=WINDOW, seconds_per_call=0.01) as site:
        for course_id in COURSES:
            site.add_course(course_id)
        monkeypatch.setenv("ASYNC_ENROLL_URL", site.url)
        monkeypatch.setenv("ASYNC_ENROLL_TOKEN", site.token)
        yield site


@pytest.fixture(params=[aiohttp_web, fastapi], ids=lambda serve: serve.__name__)
def serve(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Serve:
    return partial(request.param, monkeypatch, window=WINDOW)


async def test_callers_who_hang_up_among_many_who_do_not(serve: Serve, site: Platform) -> None:
    """The former are served no longer, and the latter all the same."""
    places = anyio.CapacityLimiter(50)

    def done_for_the_gone() -> int:
        return sum(record.email.startswith("gone") for record in site.audit)

    async with (
        serve(batch=BatchLimits(identifiers=5)) as url,
        aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=0)) as session,
    ):

        async def stay(number: int) -> None:
            who, course_id = f"stays{number}@example.org", COURSES[number % 3]
            job = {"identifiers": [who], "courses": [course_id]}
            async with places, session.post("/enroll", json=job) as answer:
                assert answer.status == 200
                told = (await answer.json())["courses"]
            assert [result["identifier"] for result in told[course_id]["results"]] == [who]
            assert told[course_id]["results"][0]["after"]["allowed"]
            assert site.is_allowed(who, course_id)

        async def hang_up(number: int) -> None:
            many = [f"gone{number}-{n}@example.org" for n in range(200)]
            job = {"identifiers": many, "courses": [COURSES[0]]}
            pairs = [(who, COURSES[1]) for who in many]
            path, body = ("/enroll", job) if number % 2 else ("/migrate", pairs)
            async with session.post(path, json=body) as answer:
                await answer.read()
            raise AssertionError("answered before anybody could hang up")

        async with anyio.create_task_group() as callers:
            async with anyio.create_task_group() as the_gone:
                for number in range(10):
                    the_gone.start_soon(hang_up, number)
                for number in range(200):
                    callers.start_soon(stay, number)
                await until(lambda: done_for_the_gone() > 100, seconds=20)
                the_gone.cancel_scope.cancel()
        await standstill(done_for_the_gone)
        assert done_for_the_gone() < 10 * 200


async def standstill(number: Callable[[], int]) -> int:
    """Wait until a number grows no more; give it."""
    last = -1
    while number() > last:
        last = number()
        await anyio.sleep(0.2)
    return last


async def test_what_stops_a_job_is_said(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Platform() as site:
        monkeypatch.setenv("ASYNC_ENROLL_URL", site.url)
        monkeypatch.setenv("ASYNC_ENROLL_TOKEN", "wrong")
        async with serve() as url, aiohttp.ClientSession(url) as session:
            job = {"identifiers": ["jane"], "courses": [COURSES[0]]}
            async with session.post("/enroll", json=job) as answer:
                assert answer.status == 502
                assert "the token is not accepted" in await answer.text()
            with pytest.raises(aiohttp.ClientPayloadError):
                async with session.post("/migrate", json=[("jane", COURSES[0])]) as answer:
                    await answer.read()


async def test_what_the_caller_gets_wrong_is_told_to_them(serve: Serve, site: Platform) -> None:
    async with serve() as url, aiohttp.ClientSession(url) as session:
        for job, words in (
            ({"identifiers": ["jane"], "courses": []}, "no courses are given"),
            ({"identifiers": ["jane"]}, "courses"),
        ):
            async with session.post("/enroll", json=job) as answer:
                assert 400 <= answer.status < 500
                assert words in await answer.text()
        async with session.post("/enroll", data=b"[") as answer:
            assert 400 <= answer.status < 500
        async with session.post("/enroll", json=["jane", COURSES[0]]) as answer:
            assert 400 <= answer.status < 500
        for pairs in (b"[", b"5", b'[["jane"]]'):
            headers = {"Content-Type": "application/json"}
            async with session.post("/migrate", data=pairs, headers=headers) as answer:
                assert 400 <= answer.status < 500
    assert not site.requests


async def test_the_answer_tells_what_happened_to_each(serve: Serve, site: Platform) -> None:
    async with serve() as url, aiohttp.ClientSession(url) as session:
        job = {"identifiers": ["jane@example.org", "nobody"], "courses": COURSES[:1]}
        async with session.post("/enroll", json=job) as answer:
            results = (await answer.json())["courses"][COURSES[0]]["results"]
    assert [one["outcome"] for one in results] == ["allowed", "invalid_identifier"]
    assert results[1]["error"]
    assert "error" not in results[0]


@asynccontextmanager
async def reading_nothing(
    url: str, site: Platform, pairs: int
) -> AsyncIterator[tuple[asyncio.StreamReader, int]]:
    """Ask for a migration and let it come to a standstill; give how many calls that took."""
    # Long lines come to a standstill sooner: much is on its way before anybody has to wait.
    course_id = f"course-v1:Org+{'C' * 200}+2026"
    site.add_course(course_id)
    body = json.dumps([(f"{number}@example.org", course_id) for number in range(pairs)])
    host, port = url.removeprefix("http://").split(":")
    caller = socket.socket()
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    caller.setblocking(False)
    await asyncio.get_running_loop().sock_connect(caller, (host, int(port)))
    reader, writer = await asyncio.open_connection(sock=caller, limit=4096)
    head = ["POST /migrate HTTP/1.1", f"Host: {host}", "Connection: close"]
    head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    writer.write("\r\n".join([*head, "", body]).encode())
    try:
        assert b"200 OK" in await reader.readline()
        yield reader, await standstill(lambda: calls(site))
    finally:
        writer.transport.abort()


def calls(site: Platform) -> int:
    return sum(request.pairs > 0 for request in site.requests)


def jobs_under_way() -> list[str]:
    """The tasks in which clients do what is streamed."""
    return [name for task in asyncio.all_tasks() if "Background" in (name := repr(task))]


async def test_a_caller_who_reads_slowly_slows_the_job_down(serve: Serve, site: Platform) -> None:
    async with (
        serve(concurrency=2, batch=BatchLimits(identifiers=100)) as url,
        reading_nothing(url, site, 16 * 100) as (reader, sent),
    ):
        assert sent <= AHEAD
        assert (await reader.read()).count(b"allowed") == 16 * 100
        assert calls(site) == 1 + 16


async def test_a_caller_who_stalls_and_hangs_up_leaves_nothing_behind(
    serve: Serve, site: Platform
) -> None:
    async with serve(concurrency=2, batch=BatchLimits(identifiers=100)) as url:
        async with reading_nothing(url, site, 16 * 100):
            assert jobs_under_way()
        await until(lambda: not jobs_under_way())
        assert await standstill(lambda: calls(site)) <= AHEAD
