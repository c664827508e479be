"""The proxy's time-out."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from aiohttp import web

from async_enroll.sandbox.http.answers import html_answer
from async_enroll.sandbox.http.exchange import Endpoint, Exchange
from async_enroll.sandbox.http.tasks import Tasks


class Gateway:
    """Answers 504 after `timeout` seconds (None: never), while the work continues behind it."""

    def __init__(self, timeout: float | None, tasks: Tasks) -> None:
        self._timeout = timeout
        self._tasks = tasks

    def before(self, endpoint: Endpoint[web.StreamResponse]) -> Endpoint[web.StreamResponse]:
        """Return `endpoint` with the time-out."""
        if self._timeout is None:
            return endpoint

        async def answer(exchange: Exchange) -> web.StreamResponse:
            work = self._tasks.start(endpoint(exchange))
            done, _ = await asyncio.wait([work], timeout=self._timeout)
            return work.result() if done else html_answer(HTTPStatus.GATEWAY_TIMEOUT)

        return answer
