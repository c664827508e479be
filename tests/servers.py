"""Loopback servers that do what no platform should: for what a client must withstand."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Conversation = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def talking(
    conversation: Conversation, tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """Serve a conversation a connection; give the URL."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await conversation(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has left
        finally:
            writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def saying(said: bytes) -> AsyncIterator[str]:
    """Answer every request with the same bytes, then close the connection; give the URL."""

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(said)
        await writer.drain()

    async with talking(conversation) as url:
        yield url


async def request(reader: asyncio.StreamReader) -> bytes:
    """Read one request; give its head."""
    head, _ = await whole_request(reader)
    return head


async def whole_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Read one request; give its head and body."""
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return head, await reader.readexactly(int(line.split(b":")[1]))
    return head, b""


def answer(status: str, body: bytes = b"", *headers: str, kind: str = "application/json") -> bytes:
    """The bytes of a whole HTTP answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body
