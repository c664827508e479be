"""What stands before the application: body limit, the line of workers, error pages, access log."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import anyio
from aiohttp import web
from attrs import define

from async_enroll.sandbox.access_log import Request
from async_enroll.sandbox.answers import Crash, Refusal, html_answer, json_answer

Handler = Callable[["Exchange"], Awaitable[web.StreamResponse]]
"""An endpoint of the application; it raises Refusal and Crash."""


@define(eq=False)
class Exchange:
    """A request with its body; `pairs` is for the endpoint to set."""

    request: web.Request
    body: bytes = b""
    pairs: int = 0


class _TooLarge(Exception):
    """The body is larger than the proxy takes."""


class Front:
    """Lets `workers` requests be processed at once (None: any number), first come first served.

    Bodies may have `body_limit` bytes. `requests` lists what has been answered,
    `in_flight_peak` is the most that were processed at once.
    """

    def __init__(self, *, workers: int | None, body_limit: int) -> None:
        self.requests: list[Request] = []
        self.in_flight_peak = 0
        self._body_limit = body_limit
        self._workers = anyio.CapacityLimiter(math.inf if workers is None else workers)

    def before(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """`handler` as aiohttp wants it, with all of this before it."""

        async def handle(request: web.Request) -> web.StreamResponse:
            arrival = time.monotonic()
            exchange = Exchange(request)
            # nginx takes in the whole body before it bothers the application.
            try:
                exchange.body = await self._body(request)
            except _TooLarge:
                response: web.StreamResponse = html_answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            except ConnectionError:
                # The caller left half-way; only the log sees this answer, as with nginx.
                response = html_answer(HTTPStatus.BAD_REQUEST)
            else:
                response = await self._process(exchange, handler)
            self.requests.append(_log_line(exchange, response, arrival))
            return response

        return handle

    async def _body(self, request: web.Request) -> bytes:
        body = bytearray()
        async for piece in request.content.iter_any():
            body += piece
            if len(body) > self._body_limit:
                raise _TooLarge
        return bytes(body)

    async def _process(self, exchange: Exchange, handler: Handler) -> web.StreamResponse:
        async with self._workers:
            in_flight = int(self._workers.borrowed_tokens)
            self.in_flight_peak = max(self.in_flight_peak, in_flight)
            try:
                return await handler(exchange)
            except Refusal as refusal:
                return json_answer(refusal.content, status=refusal.status, headers=refusal.headers)
            except Crash:
                return html_answer(HTTPStatus.INTERNAL_SERVER_ERROR)


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
