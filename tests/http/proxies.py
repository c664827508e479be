"""What stands between a client and a site: a proxy, and a server that ends TLS; on loopback."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trustme
from attrs import Factory, define
from yarl import URL

from tests.servers import answer, talking, whole_request

HOST = "courses.example.org"


@define
class Seen:
    """A proxy's URL, and the heads of the requests that it was sent."""

    url: str
    heads: list[bytes] = Factory(list)

    def header(self, name: str) -> set[bytes | None]:
        """The values of a header in all requests; None for those without."""
        start = f"{name}: ".lower().encode()
        values: set[bytes | None] = set()
        for head in self.heads:
            lines = [line for line in head.split(b"\r\n") if line.lower().startswith(start)]
            values.add(lines[0][len(start) :] if lines else None)
        return values


@asynccontextmanager
async def proxying(target: str, user: str | None = None, refusal: str = "") -> AsyncIterator[Seen]:
    """Lead all requests to `target`, whichever host they are for, tunnels as well.

    `user`: "name:password", without which nobody is let through. `refusal`: a status with which
    tunnels are refused.
    """
    expected = b"Proxy-Authorization: Basic " + base64.b64encode((user or "").encode())

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, body = await whole_request(reader)
            seen.heads.append(head)
            if user is not None and expected not in head:
                writer.write(answer("407 Proxy Authentication Required", b"<html>who?"))
                return
            method, address, rest = head.split(b" ", 2)
            if method == b"CONNECT" and refusal:
                writer.write(answer(refusal, b"<html>no"))
                return
            url = URL(target)
            there, back = await asyncio.open_connection(url.host, url.port)
            if method == b"CONNECT":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                path = URL(address.decode(), encoded=True).raw_path_qs
                back.write(b" ".join([method, path.encode(), rest]) + body)
            await both_ways((reader, writer), (there, back))
            return

    async with talking(conversation) as url:
        seen = Seen(url)
        yield seen


@asynccontextmanager
async def behind_tls(
    target: str, authority: trustme.CA, context: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """Speak TLS for `target`, as `HOST` and as localhost; give the URL."""
    context = context or ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST, "localhost").configure_cert(context)

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        url = URL(target)
        await both_ways((reader, writer), await asyncio.open_connection(url.host, url.port))

    async with talking(conversation, context) as url:
        yield url


Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def both_ways(one: Ends, other: Ends) -> None:
    """Pass bytes on in both directions, until one side ends."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()

    pumps = [
        asyncio.create_task(pump(one[0], other[1])),
        asyncio.create_task(pump(other[0], one[1])),
    ]
    try:
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in pumps:
            task.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        other[1].close()
