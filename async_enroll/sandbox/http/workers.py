"""The application's workers: queueing, and the answers to refusals and crashes."""

from __future__ import annotations

import math
from http import HTTPStatus

import anyio
from aiohttp import web

from async_enroll.sandbox.http.answers import Crash, Refusal, html_answer, refusal_answer
from async_enroll.sandbox.http.exchange import Endpoint, Exchange, R


class Workers:
    """Process `workers` requests at once (None: any number), first come, first served.

    `backlog`: how many may wait (None: any number); others get a 503. `peak`: the most processed at
    once.
    """

    def __init__(self, number: int | None, backlog: int | None = None) -> None:
        self.peak = 0
        self._free = anyio.CapacityLimiter(math.inf if number is None else number)
        self._backlog = math.inf if backlog is None else backlog

    def busy(self) -> int:
        """Number of requests that are being processed."""
        return int(self._free.borrowed_tokens)

    def before(self, endpoint: Endpoint[R]) -> Endpoint[R | web.Response]:
        """Return `endpoint`, whose Refusal and Crash become answers."""

        async def answer(exchange: Exchange) -> R | web.Response:
            waiting = self._free.statistics().tasks_waiting
            if self._free.available_tokens < 1 and waiting >= self._backlog:
                return html_answer(HTTPStatus.SERVICE_UNAVAILABLE)
            async with self._free:
                self.peak = max(self.peak, self.busy())
                try:
                    return await endpoint(exchange)
                except Refusal as refusal:
                    return refusal_answer(refusal)
                except Crash:
                    return html_answer(HTTPStatus.INTERNAL_SERVER_ERROR)

        return answer
