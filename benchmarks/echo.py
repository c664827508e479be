"""A platform that costs next to nothing: every bulk call succeeds, and the listing is ready.

It speaks just enough HTTP for a client that keeps its connections. So what is measured
against it is the client, and not the platform. ``python -m benchmarks.echo`` serves until
its standard input ends.
"""

from __future__ import annotations

import asyncio
import re
import sys

import anyio
import msgspec

from async_enroll.models import NOBODY
from benchmarks.processes import dismissed, say

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_NEVER = b'{"user":true,"enrollment":false,"allowed":false,"auto_enroll":false}'
_SINCE_NOW = b'{"user":true,"enrollment":true,"allowed":false,"auto_enroll":false}'
_ENROLLED = b'","after":%b,"before":%b}' % (_SINCE_NOW, _NEVER)


def bulk_answer(body: bytes) -> bytes:
    """What the platform answers where everybody has an account and nobody is enrolled."""
    call = msgspec.json.decode(body)
    results = b",".join(
        b'{"identifier":"%b","invalidIdentifier":true}' % identifier
        if identifier == NOBODY.encode()
        else b'{"identifier":"%b%b' % (identifier, _ENROLLED)
        for identifier in call["identifiers"].encode().split(b",")
    )
    courses = b",".join(
        b'"%b":{"action":"enroll","results":[%b],"auto_enroll":true}' % (course, results)
        for course in call["courses"].encode().split(b",")
    )
    flags = b'"auto_enroll":true,"email_students":false'
    return b'{"action":"enroll","courses":{%b},%b}' % (courses, flags)


PAGE = 1_000
"""Records on a page."""

FORMS = ("array", "commas", "lines", "pages")
"""The forms of a listing; the first part of a path says which is wanted."""


def listing(records: int) -> bytes:
    """A listing of so many records, as a JSON array."""
    return b"[%b]" % b",".join(_records(records))


def _records(records: int, courses: int = 120) -> list[bytes]:
    return [
        msgspec.json.encode(
            {
                "username": f"learner{number:06}",
                "email": f"learner{number:06}@example.org",
                "course_id": f"course-v1:Org+C{number % courses:04}+2026",
                "is_active": True,
                "mode": "audit",
                "created": f"20{number % 25:02}-{number % 12 + 1:02}-09 20:{number % 60:02}",
            }
        )
        for number in range(records)
    ]


def _listings(records: int, courses: int) -> dict[bytes, bytes]:
    """The answer to a GET, by the target of the request up to what all have in common."""
    found = _records(records, courses)
    answers = {
        b"/array": b"[%b]" % b",".join(found),
        b"/commas": b",\n".join(found),
        b"/lines": b"\n".join(found),
    }
    pages = range(1, max(1, -(-records // PAGE)) + 1)
    for page in pages:
        some = b",".join(found[(page - 1) * PAGE : page * PAGE])
        following = b'"?page=%d"' % (page + 1) if page < len(pages) else b"null"
        answers[b"/pages?page=%d" % page] = b'{"count":%d,"next":%b,"results":[%b]}' % (
            records,
            following,
            some,
        )
    return answers


_TARGET = re.compile(rb"GET (/\w*)[^ ?]*(\?page=\d+)?")


class Conversation(asyncio.Protocol):
    """One connection: answers a POST as a bulk call, and a GET with one of `listings`."""

    def __init__(self, listings: dict[bytes, bytes]) -> None:
        self._listings = listings
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where the answers go."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer the requests that are complete."""
        self._received += data
        while (start := self._received.find(b"\r\n\r\n") + 4) > 3:
            head = bytes(self._received[:start])
            length = _LENGTH.search(head)
            end = start + (int(length[1]) if length else 0)
            if len(self._received) < end:
                return
            posted = head.startswith(b"POST")
            self._answer(
                bulk_answer(bytes(self._received[start:end])) if posted else self._listed(head)
            )
            del self._received[:end]

    def _listed(self, head: bytes) -> bytes:
        if b"/user/v1/me " in head:
            return b'{"username":"staff"}'
        target = _TARGET.match(head)
        assert target
        form, page = target.groups(b"")
        if form == b"/pages":
            return self._listings[form + (page or b"?page=1")]
        return self._listings.get(form, self._listings[b"/array"])

    def _answer(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self._transport.writelines((head % len(body), body))


async def main(records: int = 0, courses: int = 120) -> None:
    """Serve a listing of so many records in so many courses in all forms, and any bulk call."""
    listings = _listings(records, courses)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Conversation(listings), "127.0.0.1", 0)
    async with server:
        say(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await dismissed()


if __name__ == "__main__":
    numbers = map(int, sys.argv[1:])
    anyio.run(lambda: main(*numbers))
