"""Applies the planned faults to bulk calls."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from aiohttp import web

from async_enroll.sandbox.fault_plan import Fault, Faults
from async_enroll.sandbox.faults.lost_answers import Reset, Silence, cut, garbled, lacking_results
from async_enroll.sandbox.http.access import EXPIRED_TOKEN, unauthorized
from async_enroll.sandbox.http.answers import Refusal, html_answer, refusal_answer
from async_enroll.sandbox.http.exchange import Endpoint, Exchange
from async_enroll.sandbox.http.tasks import Tasks
from async_enroll.sandbox.proxy.firewall import login, no_route, rejection


class Mishaps:
    """Wraps an endpoint; `made` lists the faults so far, with the number of the call from 0."""

    def __init__(self, faults: Faults, tasks: Tasks) -> None:
        self.made: list[tuple[int, Fault]] = []
        self._plan = enumerate(faults)
        self._linger = faults.linger
        self._retry_after = faults.retry_after
        self._tasks = tasks

    def before(self, endpoint: Endpoint[web.Response]) -> Endpoint[web.StreamResponse]:
        """Return `endpoint`, failing as planned."""

        async def answer(exchange: Exchange) -> web.StreamResponse:
            number, fault = next(self._plan)
            if fault is None:
                return await endpoint(exchange)
            self.made.append((number, fault))
            if fault in _INSTEAD:
                return _INSTEAD[fault]()
            if fault is Fault.THROTTLED:
                return _throttled(self._retry_after)
            if fault is Fault.GATEWAY_TIMEOUT_DURING:
                exchange.linger = self._linger
                self._tasks.start(endpoint(exchange))
                return html_answer(HTTPStatus.GATEWAY_TIMEOUT)
            exchange.fault = fault
            return _AFTERWARDS.get(fault, _unchanged)(await endpoint(exchange))

        return answer


def _page(status: HTTPStatus) -> Callable[..., web.Response]:
    return lambda *_: html_answer(status)


def _soon() -> str:
    # A date has whole seconds only; this one is always in the future.
    return formatdate(math.ceil(time.time() + 0.5), usegmt=True)


def _throttled(retry_after: str | None) -> web.Response:
    return refusal_answer(
        Refusal(
            HTTPStatus.TOO_MANY_REQUESTS,
            {"detail": "Request was throttled."},
            headers=None if retry_after is None else {"Retry-After": retry_after},
        )
    )


def _unchanged(answer: web.Response) -> web.Response:
    return answer


_INSTEAD: Final[Mapping[Fault, Callable[[], web.StreamResponse]]] = {
    Fault.RESET_BEFORE: Reset,
    Fault.STALL: Silence,
    Fault.BAD_GATEWAY_BEFORE: _page(HTTPStatus.BAD_GATEWAY),
    Fault.UNAVAILABLE_BEFORE: _page(HTTPStatus.SERVICE_UNAVAILABLE),
    Fault.GATEWAY_TIMEOUT_BEFORE: _page(HTTPStatus.GATEWAY_TIMEOUT),
    Fault.THROTTLED_DATE: lambda: _throttled(_soon()),
    Fault.THROTTLED_SILENT: lambda: _throttled(None),
    Fault.UNAUTHORIZED: lambda: refusal_answer(unauthorized(EXPIRED_TOKEN["bearer"])),
    Fault.FIREWALL_PAGE: rejection,
    Fault.FIREWALL_PAGE_200: lambda: rejection(HTTPStatus.OK),
    Fault.LOGIN_REDIRECT: login,
    Fault.GATEWAY_JSON: no_route,
    Fault.TOO_LARGE: _page(HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
}
"""The answers to calls that are not processed."""

_AFTERWARDS: Final[Mapping[Fault, Callable[[web.Response], web.StreamResponse]]] = {
    Fault.RESET_AFTER: lambda _: Reset(),
    Fault.STALL_AFTER: lambda _: Silence(),
    Fault.BAD_GATEWAY_AFTER: _page(HTTPStatus.BAD_GATEWAY),
    Fault.UNDONE_RESET: lambda _: Reset(),
    Fault.UNDONE_BAD_GATEWAY: _page(HTTPStatus.BAD_GATEWAY),
    Fault.UNAVAILABLE_AFTER: _page(HTTPStatus.SERVICE_UNAVAILABLE),
    Fault.GATEWAY_TIMEOUT_AFTER: _page(HTTPStatus.GATEWAY_TIMEOUT),
    Fault.CUT: cut,
    Fault.GARBLED: garbled,
    Fault.MISSING_RESULTS: lacking_results,
}
"""What replaces the answer to a call that was processed, or rolled back half-way."""
