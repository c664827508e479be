"""The front of the proxy: body limit and access log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import web

from async_enroll.sandbox.http.access_log import Request
from async_enroll.sandbox.http.answers import html_answer
from async_enroll.sandbox.http.exchange import Endpoint, Exchange
from async_enroll.sandbox.http.tasks import Tasks


class _TooLarge(Exception):
    """The body is larger than the proxy accepts."""


class Front:
    """Reads bodies of up to `body_limit` bytes; `requests` lists the requests that have ended."""

    def __init__(self, tasks: Tasks, *, body_limit: int) -> None:
        self.requests: list[Request] = []
        self._tasks = tasks
        self._body_limit = body_limit

    def before(
        self, endpoint: Endpoint[web.StreamResponse]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Return `endpoint` as an aiohttp handler, behind all of this."""

        async def handle(request: web.Request) -> web.StreamResponse:
            # This ends when the caller disconnects; the work continues.
            return await asyncio.shield(self._tasks.start(self._answer(request, endpoint)))

        return handle

    async def _answer(
        self, request: web.Request, endpoint: Endpoint[web.StreamResponse]
    ) -> web.StreamResponse:
        arrival = time.monotonic()
        exchange = Exchange(request)
        # nginx reads the whole body before it passes the request on.
        try:
            exchange.body = await self._body(request)
        except _TooLarge:
            response: web.StreamResponse = html_answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        except ConnectionError:
            # The caller disconnected: only the log sees this answer, as with nginx.
            response = html_answer(HTTPStatus.BAD_REQUEST)
        else:
            response = await endpoint(exchange)
        self.requests.append(_log_line(exchange, response, arrival))
        return response

    async def _body(self, request: web.Request) -> bytes:
        body = bytearray()
        async for piece in request.content.iter_any():
            body += piece
            if len(body) > self._body_limit:
                raise _TooLarge
        return bytes(body)


def _log_line(exchange: Exchange, response: web.StreamResponse, arrival: float) -> Request:
    request = exchange.request
    headers = request.headers.copy()
    headers.popall("Authorization", None)
    path, _, query = request.raw_path.partition("?")
    return Request(
        method=request.method,
        path=path,
        query=query,
        headers=headers,
        status=response.status,
        arrival=arrival,
        end=time.monotonic(),
        pairs=exchange.pairs,
    )
