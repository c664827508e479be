"""Connections: which are used again, by whom, on which loop, and what happens when they end."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import anyio
import pytest
import trustme
from yarl import URL

from async_enroll import (
    BatchLimits,
    ConfigurationError,
    EnrollError,
    EnrollmentClient,
    Outcome,
    TransportError,
)
from async_enroll.http.tokens import BearerToken
from async_enroll.http.transport import Transport
from async_enroll.models import EmailStudents
from async_enroll.sandbox import Platform
from tests.http.proxies import both_ways
from tests.servers import answer, talking, whole_request
from tests.sessions import takes_sessions

COURSE = "course-v1:Org+C0+2026"


@asynccontextmanager
async def hanging_up(target: str | None = None) -> AsyncIterator[tuple[str, list[str]]]:
    """Close each connection on its second request, without an answer.

    Give the URL, and the methods of the requests that were answered.
    """
    answered: list[str] = []

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, body = await whole_request(reader)
        method, path, _ = head.decode().split(" ", 2)
        if target is None and b"Connection: close" in head:
            writer.write(answer("200 OK", b"{}", "Connection: close"))
        elif target is None:
            writer.write(answer("200 OK", b"{}"))
        else:
            headers = [line.split(": ", 1) for line in head.decode().split("\r\n")[1:-2]]
            kept = {name: value for name, value in headers if name == "Authorization"}
            async with aiohttp.request(
                method,
                URL(target + path, encoded=True),
                headers={**kept, "Content-Type": "application/json"},
                data=body,
            ) as came_back:
                writer.write(answer(f"{came_back.status} Something", await came_back.read()))
        answered.append(method)
        await writer.drain()
        await reader.read(1)

    async with talking(conversation) as url:
        yield url, answered


@pytest.mark.parametrize("own_session", [True, pytest.param(False, marks=takes_sessions)])
async def test_a_fresh_connection(own_session: bool) -> None:
    async with hanging_up() as (url, answered), aiohttp.ClientSession() as theirs:
        site, auth = URL(url), BearerToken("token")
        session = None if own_session else theirs
        async with Transport(site, auth, timeout=5, session=session) as transport:
            for _ in range(3):
                assert (await transport.call("GET", site)).ok
                assert (await transport.call("POST", site, b"{}", fresh=True)).ok
    assert answered == ["GET", "POST"] * 3


@takes_sessions
async def test_a_connection_that_the_application_has_left_open() -> None:
    async with hanging_up() as (url, answered), aiohttp.ClientSession() as theirs:
        async with theirs.get(url) as response:
            await response.read()
        async with Transport(
            URL(url), BearerToken("token"), timeout=5, session=theirs
        ) as transport:
            assert (await transport.call("POST", URL(url), b"{}", fresh=True)).ok
    assert answered == ["GET", "POST"]


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("own_session", [True, pytest.param(False, marks=takes_sessions)])
async def test_a_site_that_keeps_connections_it_was_asked_to_close(
    own_session: bool, tls: bool
) -> None:
    opened = 0

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        while True:
            await whole_request(reader)
            writer.write(answer("200 OK", b"{}"))
            await writer.drain()

    authority = trustme.CA()
    ours, theirs = ssl.create_default_context(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.configure_trust(ours)
    authority.issue_cert("127.0.0.1").configure_cert(theirs)
    connector = aiohttp.TCPConnector(ssl=ours)
    async with (
        talking(conversation, theirs if tls else None) as url,
        aiohttp.ClientSession(connector=connector) as session,
        Transport(
            URL(url),
            BearerToken("token"),
            timeout=5,
            session=None if own_session else session,
            ssl_context=ours,
        ) as transport,
    ):
        for _ in range(3):
            assert (await transport.call("POST", URL(url), b"{}", fresh=True)).ok
    assert opened == 3


async def test_a_session_where_aiohttp_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("async_enroll.http.transport.TAKES_SESSIONS", False)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(ConfigurationError, match=r"needs aiohttp 3\.14\.1 or newer, found"):
            EnrollmentClient("https://example.org", "token", session=session)
    EnrollmentClient("https://example.org", "token")


@pytest.mark.parametrize(("mail", "attempts"), [(True, 1), ("changed", 2)])
async def test_a_site_that_ends_idle_connections(
    platform: Platform, mail: EmailStudents, attempts: int
) -> None:
    people = [f"learner{number}" for number in range(10)]
    async with hanging_up(platform.url) as (url, answered):
        async with EnrollmentClient(
            url, platform.token, batch=BatchLimits(identifiers=1), concurrency=2
        ) as client:
            report = await client.bulk_enroll(people, [COURSE], email_students=mail)
    assert report.ok
    assert {result.attempts for result in report.results} == {attempts}
    assert len(platform.outbox) == 10
    assert answered.count("POST") == len(platform.requests)


async def test_a_job_without_mail_on_a_site_that_ends_idle_connections(platform: Platform) -> None:
    people = [f"learner{number}" for number in range(10)]
    async with hanging_up(platform.url) as (url, _):
        async with EnrollmentClient(
            url, platform.token, batch=BatchLimits(identifiers=1), concurrency=2, settle=0.5
        ) as client:
            report = await client.bulk_enroll(people, [COURSE])
            lost = [result for result in report.results if result.attempts > 1]
            again = await client.bulk_unenroll(people, [COURSE])
    assert report.ok
    assert again.ok
    assert 1 <= len(lost) <= 2  # those in flight at the first loss
    assert {result.attempts for result in again.results} == {1}
    assert not platform.outbox


@pytest.mark.parametrize(("mail", "kept"), [(False, True), (True, False), ("changed", False)])
async def test_connections_of_a_job(platform: Platform, mail: EmailStudents, kept: bool) -> None:
    opened = 0

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        target = URL(platform.url)
        await both_ways((reader, writer), await asyncio.open_connection(target.host, target.port))

    people = [f"learner{number}" for number in range(10)]
    async with (
        talking(relay) as url,
        EnrollmentClient(
            url, platform.token, batch=BatchLimits(identifiers=1), concurrency=1
        ) as client,
    ):
        assert (await client.bulk_enroll(people, [COURSE], email_students=mail)).ok
    posts = len(platform.requests)
    assert posts > 10
    assert opened < 5 if kept else opened >= posts


@pytest.mark.parametrize(
    "stray", [answer("200 OK", b'"stray"'), answer("408 Request Timeout", b""), b"more of it"]
)
async def test_bytes_that_no_request_has_asked_for(stray: bytes) -> None:
    strayed = asyncio.Event()

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            _, body = await whole_request(reader)
            writer.write(answer("200 OK", body))
            await writer.drain()
            await asyncio.sleep(0.05)
            writer.write(stray)
            await writer.drain()
            strayed.set()

    async with (
        talking(conversation) as url,
        Transport(URL(url), BearerToken("token"), timeout=5, session=None) as transport,
    ):
        for body in (b"1", b"2", b"3"):
            assert (await transport.call("POST", URL(url), body)).body == body
            await strayed.wait()
            await asyncio.sleep(0.05)
            strayed.clear()


@pytest.mark.parametrize(
    "stray", [b"", answer("408 Request Timeout", b"<html>", kind="text/html")], ids=["twice", "408"]
)
async def test_an_answer_that_is_not_to_the_call(platform: Platform, stray: bytes) -> None:
    """It comes when the next call is under way: the last answer again, or one to an idle client."""
    async with aiohttp.ClientSession() as session:

        async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                head, body = await whole_request(reader)
                method, path, _ = head.decode().split(" ", 2)
                kept = method == "POST" and b"Connection: close" not in head
                if kept and said:
                    writer.write(stray or said[-1])
                headers = {
                    "Authorization": f"Bearer {platform.token}",
                    "Content-Type": "application/json",
                }
                url = URL(platform.url + path, encoded=True)
                async with session.request(method, url, headers=headers, data=body) as response:
                    came_back = answer(f"{response.status} Something", await response.read())
                if kept:
                    said.append(came_back)
                writer.write(came_back)
                await writer.drain()

        said: list[bytes] = []
        platform.enroll("learner2", COURSE)
        async with (
            talking(conversation) as url,
            EnrollmentClient(
                url, platform.token, batch=BatchLimits(identifiers=1), concurrency=1, settle=0.2
            ) as client,
        ):
            report = await client.bulk_enroll([f"learner{n}" for n in range(4)], [COURSE])
    assert report.ok
    assert {one.identifier: one.outcome for one in report} == {
        "learner0": Outcome.ENROLLED,
        "learner1": Outcome.ENROLLED,
        "learner2": Outcome.ALREADY_ENROLLED,
        "learner3": Outcome.ENROLLED,
    }


async def test_a_server_that_speaks_first() -> None:
    opened = 0

    async def conversation(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        writer.write(b"SSH-2.0-OpenSSH\r\n")
        await writer.drain()

    async with (
        talking(conversation) as url,
        Transport(URL(url), BearerToken("token"), timeout=5, session=None) as transport,
    ):
        with pytest.raises(TransportError):
            await transport.call("POST", URL(url), b"{}")
    assert opened == 1


@takes_sessions
async def test_a_session_that_is_closed_while_calls_are_under_way() -> None:
    people = [f"learner{number}@example.org" for number in range(40)]
    async with Platform(window=None, seconds_per_call=0.1) as slow:
        slow.add_course(COURSE)
        # With a limit, calls wait for a connection, whose future is cancelled.
        session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1))
        async with EnrollmentClient(
            slow.url,
            slow.token,
            session=session,
            batch=BatchLimits(identifiers=2),
            settle=0.2,
            patience=1,
        ) as client:
            async with anyio.create_task_group() as tasks:

                async def close() -> None:
                    while len(slow.requests) < 3:
                        await anyio.sleep(0.01)
                    await session.close()

                tasks.start_soon(close)
                with pytest.raises(EnrollError, match="session") as raised:
                    await client.bulk_enroll(people, [COURSE])
    assert raised.value.report is not None
    done = raised.value.report.results
    assert not any(slow.is_allowed(one.identifier, COURSE) for one in done if one.attempts == 0)


async def test_a_call_whose_future_is_cancelled() -> None:
    async with hanging_up() as (url, _):
        async with Transport(URL(url), BearerToken("x"), timeout=5, session=None) as transport:
            future = asyncio.get_running_loop().create_future()
            future.cancel()
            with pytest.raises(TransportError, match="was cut off") as raised:
                await transport.in_words(future)
            assert raised.value.sent
            with anyio.move_on_after(0.01) as scope:
                await transport.in_words(anyio.sleep(5))
            assert scope.cancelled_caught


def test_another_loop_than_the_one_it_was_opened_on() -> None:
    client = EnrollmentClient("http://127.0.0.1:1", "token")

    async def use() -> list[object]:
        return [record async for record in client.enrollments()]

    with asyncio.Runner() as first, asyncio.Runner() as second:
        first.run(client.__aenter__())
        with pytest.raises(ConfigurationError, match="opened on another event loop"):
            second.run(use())
        with pytest.raises(ConfigurationError, match="opened on another event loop"):
            second.run(client.bulk_enroll(["jane"], [COURSE]))
        first.run(client.__aexit__(None, None, None))


def test_no_loop_of_asyncio() -> None:
    opening = EnrollmentClient("http://127.0.0.1:1", "token").__aenter__()
    with pytest.raises(ConfigurationError, match="needs a running asyncio"):
        opening.send(None)  # as another event loop would


@pytest.mark.parametrize("path", ["/a\0b", "/a b", "/a\r\nHost: evil", "/\u00e9"])
async def test_an_address_that_cannot_be_asked_for(path: str) -> None:
    async with hanging_up() as (url, answered):
        async with Transport(URL(url), BearerToken("x"), timeout=5, session=None) as transport:
            with pytest.raises(EnrollError, match="expected an address"):
                await transport.call("GET", URL(f"{url}{path}", encoded=True))
    assert not answered
