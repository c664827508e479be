"""A proxy that limits the rate, as `limit_req … nodelay` of nginx does."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from http import HTTPStatus

from aiohttp import web
from attrs import frozen

from async_enroll.sandbox.http.answers import html_answer
from async_enroll.sandbox.http.exchange import Endpoint, Exchange


@frozen
class LimitReq:
    """At most `rate` requests a second from all callers, and a `burst` beyond these.

    Others get the proxy's page with `status`, without Retry-After, and never reach the application:
    503 unless the site sets `limit_req_status`, often to 429.
    """

    rate: float
    burst: int = 0
    status: int = HTTPStatus.SERVICE_UNAVAILABLE


class Limiter:
    """Wraps an endpoint, and admits as many requests as `limit` (None: any) allows."""

    def __init__(
        self, limit: LimitReq | None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = limit
        self._clock = clock
        self._excess = 0.0
        self._at = -math.inf

    def before(self, endpoint: Endpoint[web.StreamResponse]) -> Endpoint[web.StreamResponse]:
        """Return `endpoint` behind the limit."""
        limit = self._limit
        if limit is None:
            return endpoint

        async def answer(exchange: Exchange) -> web.StreamResponse:
            if not self.takes(limit):
                return html_answer(HTTPStatus(limit.status))
            return await endpoint(exchange)

        return answer

    def takes(self, limit: LimitReq) -> bool:
        """Count a request that arrives now, unless it is refused (ngx_http_limit_req_module)."""
        now = self._clock()
        excess = max(0.0, self._excess - limit.rate * (now - self._at) + 1)
        if excess > limit.burst:
            return False
        self._excess, self._at = excess, now
        return True
