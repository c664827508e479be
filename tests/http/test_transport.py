"""One exchange: what goes over the wire, and each way it can go wrong, over real sockets."""

import asyncio
import gzip
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import aiohttp
import anyio
import pytest
import trustme
from yarl import URL

from async_enroll import (
    AuthenticationError,
    ConfigurationError,
    EnrollError,
    EnrollmentClient,
    TransportError,
)
from async_enroll.http.tokens import BearerToken
from async_enroll.http.transport import LARGEST_ANSWER, Pieces, Transport
from async_enroll.http.unpacking import LARGEST_PIECE
from tests.servers import answer, request, saying, talking
from tests.sessions import takes_sessions


@asynccontextmanager
async def opened(url: str, timeout: float = 5.0) -> AsyncIterator[Transport]:
    site = URL(url)
    async with Transport(site, BearerToken("secret"), timeout=timeout, session=None) as transport:
        yield transport


def kept_alive() -> AbstractAsyncContextManager[str]:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await request(reader)
            writer.write(answer("200 OK", b"{}"))

    return talking(conversation)


async def get(url: str, timeout: float = 5.0) -> bytes:
    async with opened(url, timeout) as transport:
        return (await transport.call("GET", transport.site)).body


async def test_the_documented_headers_are_sent() -> None:
    heads: list[bytes] = []

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await request(reader))
        writer.write(answer("200 OK", b"[]"))
        await writer.drain()

    async with talking(conversation) as url:
        assert await get(url) == b"[]"
    lines = heads[0].split(b"\r\n")
    assert b"Authorization: Bearer secret" in lines
    assert b"Access-Control-Request-Headers: authorization" in lines
    assert b"Content-Type: application/json" in lines


async def test_no_cookie_is_kept() -> None:
    heads: list[bytes] = []

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            heads.append(await request(reader))
            writer.write(answer("200 OK", b"[]", "Set-Cookie: sessionid=1"))
            await writer.drain()

    async with talking(conversation) as url, opened(url) as transport:
        for _ in range(2):
            await transport.call("GET", transport.site)
    assert len(heads) == 2
    assert b"Cookie" not in heads[1]


async def test_a_redirect_is_not_followed() -> None:
    heads: list[bytes] = []

    async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await request(reader))

    async with talking(elsewhere) as target:
        said = answer("307 Temporary Redirect", b"", f"Location: {target}/")
        async with saying(said) as url, opened(url) as transport:
            reply = await transport.call("POST", transport.site, b"{}")
    assert reply.status == 307
    assert not heads


async def test_nobody_listens() -> None:
    async with saying(b"") as url:
        pass
    with pytest.raises(TransportError, match="no connection to http://127") as raised:
        await get(url)
    assert not raised.value.sent


async def test_a_host_without_address() -> None:
    with pytest.raises(TransportError, match=r"nowhere\.invalid has no address") as raised:
        await get("http://nowhere.invalid/")
    assert not raised.value.sent


async def test_a_certificate_that_nobody_vouches_for() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(TransportError, match="shows no valid certificate") as raised:
            await get(f"https://127.0.0.1:{port}")
    assert not raised.value.sent


async def test_https_where_http_is_spoken() -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer("400 Bad Request"))

    async with talking(conversation) as url:
        with pytest.raises(TransportError, match="no TLS with") as raised:
            await get(url.replace("http", "https"))
    assert not raised.value.sent


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"", "closed the connection without an answer"),
        (answer("200 OK", b"[1, 2]")[:-2], "was cut short"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n", "was cut short"),
        (b"220 smtp.example.org ESMTP\r\n\r\n", "does not speak HTTP"),
    ],
)
async def test_no_whole_answer(said: bytes, words: str) -> None:
    async with saying(said) as url:
        with pytest.raises(TransportError, match=words) as raised:
            await get(url)
    assert raised.value.sent


async def test_an_answer_that_goes_on_in_another_protocol() -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n")
        writer.write(b"Upgrade: h2c\r\n\r\n")
        await reader.read()  # until the client leaves

    asyncio.get_running_loop().set_debug(True)  # then aiohttp warns of what is left open
    with warnings.catch_warnings(record=True) as warned:
        async with talking(conversation) as url:
            assert await get(url) == b""
    assert warned == []


async def test_no_answer_in_time() -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        await reader.read()  # until the client leaves

    async with talking(conversation) as url:
        with pytest.raises(TransportError, match=r"no answer from .* within 0.2 s") as raised:
            await get(url, timeout=0.2)
    assert raised.value.sent


async def test_an_answer_that_drips() -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with talking(conversation) as url:
        with pytest.raises(TransportError, match=r"within 0\.3 s"):
            await get(url, timeout=0.3)


async def test_an_answer_without_end() -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")
        while True:
            writer.write(b" " * 1024 * 1024)
            await writer.drain()

    async with talking(conversation) as url:
        with pytest.raises(TransportError, match=f"larger than {LARGEST_ANSWER} bytes"):
            await get(url, timeout=30)


@pytest.mark.parametrize("encoding", ["gzip", "X-GZIP"])
async def test_a_compressed_answer(encoding: str) -> None:
    content = b"[" + b"1234567," * 1_000_000 + b"0]"
    packed = gzip.compress(content)
    said = answer("200 OK", packed, f"Content-Encoding: {encoding}")
    async with saying(said) as url, opened(url) as transport:
        assert (await transport.call("GET", transport.site)).body == content
        async with transport.stream(transport.site) as pieces:
            assert isinstance(pieces, Pieces)
            found = [piece async for piece in pieces]
        assert b"".join(found) == content
        assert max(map(len, found)) <= LARGEST_PIECE


@pytest.mark.parametrize(
    ("packed", "words"),
    [
        (gzip.compress(b"[]", mtime=0)[:-4], "was cut short"),
        (b"[]", "is not compressed as it says"),
        (gzip.compress(b"[]", mtime=0) + b"more", "is not compressed as it says"),
    ],
)
async def test_a_compressed_answer_that_cannot_be_read(packed: bytes, words: str) -> None:
    said = answer("200 OK", packed, "Content-Encoding: gzip")
    async with saying(said) as url:
        with pytest.raises(TransportError, match=words) as raised:
            await get(url)
    assert raised.value.sent


async def test_a_small_answer_that_unpacks_to_a_large_one() -> None:
    # 2 GiB in two megabytes: members of gzip can follow each other.
    member = gzip.compress(bytes(64 * 1024 * 1024))
    said = answer("200 OK", member * 32, "Content-Encoding: gzip")
    async with saying(said) as url, opened(url, timeout=30) as transport:
        with pytest.raises(TransportError, match=f"larger than {LARGEST_ANSWER} bytes"):
            await transport.call("GET", transport.site)
        async with transport.stream(transport.site) as pieces:
            assert isinstance(pieces, Pieces)
            seen = 0
            async for piece in pieces:
                assert len(piece) <= LARGEST_PIECE
                seen += len(piece)
                if seen > LARGEST_ANSWER:
                    break


@pytest.mark.parametrize("size", [8_200, 60_000])
async def test_long_headers(size: int) -> None:
    long = f"Content-Security-Policy: {'a' * size}"
    async with saying(answer("200 OK", b"[]", long)) as url:
        assert await get(url) == b"[]"


async def test_headers_without_end() -> None:
    async with saying(answer("200 OK", b"[]", f"Set-Cookie: {'a' * 1_000_000}")) as url:
        with pytest.raises(TransportError, match="does not speak HTTP") as raised:
            await get(url)
    assert raised.value.sent


async def test_a_streamed_answer_may_take_longer_than_the_timeout() -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
        for _ in range(6):
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(0.1)

    async with (
        talking(conversation) as url,
        opened(url, timeout=0.3) as transport,
        transport.stream(transport.site) as pieces,
    ):
        assert isinstance(pieces, Pieces)
        assert b"".join([piece async for piece in pieces]) == b"......"


async def test_a_large_body_is_sent() -> None:
    async with saying(answer("200 OK", b"{}")) as url, opened(url) as transport:
        assert (await transport.call("POST", transport.site, b" " * 4 * 1024 * 1024)).ok


@pytest.mark.parametrize("natively", [True, False], ids=["a task", "a scope"])
async def test_what_is_cancelled_on_closing_is_closed_all_the_same(natively: bool) -> None:
    sessions: list[aiohttp.ClientSession | None] = []

    async def use() -> None:
        with anyio.CancelScope() as scope:
            async with kept_alive() as url, opened(url) as transport:
                await transport.call("GET", transport.site)
                sessions.extend([transport._session, transport._session_for_fresh])
                task = asyncio.current_task()
                assert task is not None
                (task if natively else scope).cancel()

    task = asyncio.create_task(use())
    await asyncio.wait([task])
    assert task.cancelled() == natively
    assert [session.closed for session in sessions if session] == [True, True]


@takes_sessions
async def test_a_session_of_the_callers_own_is_used_and_left_open() -> None:
    async with saying(answer("200 OK", b"{}")) as url, aiohttp.ClientSession() as session:
        async with Transport(URL(url), BearerToken("x"), timeout=5, session=session) as transport:
            assert (await transport.call("GET", transport.site)).ok
        assert not session.closed


async def test_a_transport_that_is_not_open() -> None:
    transport = Transport(URL("http://127.0.0.1"), BearerToken("x"), timeout=5, session=None)
    with pytest.raises(ConfigurationError, match="async with"):
        await transport.call("GET", transport.site)


@pytest.mark.parametrize("token", ["", "  \n", "a b", "a\x00b", "à", "Bearer x"])
def test_what_is_no_token(token: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        BearerToken(token)
    assert not token.strip() or token not in str(raised.value)


class Source:
    """A source of tokens that gives something, or fails."""

    def __init__(self, given: object) -> None:
        self.given = given

    async def authorization(self) -> str:
        if isinstance(self.given, BaseException):
            raise self.given
        return self.given  # type: ignore[return-value]  # what is tried here

    async def renew(self) -> bool:
        return False


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        (None, ConfigurationError, "gives a NoneType; expected the header's value"),
        (b"Bearer sesame", ConfigurationError, "gives a bytes; expected the header's value"),
        ("", ConfigurationError, "cannot stand in a header"),
        ("  ", ConfigurationError, "cannot stand in a header"),
        ("Bearer sesame\r\nX-Evil: 1", ConfigurationError, "cannot stand in a header"),
        ("Bearer sesame\n", ConfigurationError, "cannot stand in a header"),
        ("Bearer ses\0ame", ConfigurationError, "cannot stand in a header"),
        ("Bearer sesam\u00e9", ConfigurationError, "cannot stand in a header"),
        ("Bearer sesame\udcff", ConfigurationError, "cannot stand in a header"),
        (KeyError("sesame"), AuthenticationError, "has failed: KeyError"),
        (asyncio.CancelledError("sesame"), AuthenticationError, "has failed: it was cancelled"),
        (TransportError("down", sent=False), TransportError, "down"),
    ],
)
async def test_sources_of_tokens(given: object, kind: type[EnrollError], words: str) -> None:
    async with saying(answer("200 OK")) as url, EnrollmentClient(url, Source(given)) as client:
        with pytest.raises(kind, match=words) as raised:
            await anext(client.enrollments())
        with pytest.raises(kind, match=words):
            await client.bulk_enroll(["jane"], ["course-v1:Org+C0+2026"])
    assert "sesam" not in str(raised.value)


async def test_a_token_of_a_kind_of_ones_own_is_asked_for_each_time() -> None:
    class Counted(BearerToken):
        asked = 0

        async def authorization(self) -> str:
            Counted.asked += 1
            return f"Bearer sesame{Counted.asked}"

    async with (
        saying(answer("200 OK")) as url,
        EnrollmentClient(url, Counted("sesame")) as client,
    ):
        assert [one async for one in client.enrollments(course_id="course-v1:O+C+R")] == []
    assert Counted.asked == 1


async def test_a_source_of_tokens_that_is_not_asynchronous() -> None:
    class Plain:
        def authorization(self) -> str:
            return "Bearer sesame"

        def renew(self) -> bool:
            return False

    async with EnrollmentClient("http://127.0.0.1:1", Plain()) as client:  # type: ignore[arg-type]
        with pytest.raises(AuthenticationError, match="has failed: TypeError"):
            await anext(client.enrollments())


async def test_a_source_of_tokens_is_cancelled_with_its_caller() -> None:
    class Slow(Source):
        async def authorization(self) -> str:
            await anyio.sleep(60)
            return await super().authorization()

    async with EnrollmentClient("http://127.0.0.1:1", Slow("Bearer x")) as client:
        with anyio.move_on_after(0.05) as scope:
            await anext(client.enrollments())
    assert scope.cancelled_caught
