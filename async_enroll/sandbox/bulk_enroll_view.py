"""POST /api/bulk_enroll/v1/bulk_enroll/ (Open edX, lms/djangoapps/bulk_enroll)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web
from attrs import frozen

from async_enroll.sandbox.access import (
    Tokens,
    require_method,
    require_staff,
    require_window,
)
from async_enroll.sandbox.answers import Refusal, json_answer
from async_enroll.sandbox.bulk_call import read_bulk_call
from async_enroll.sandbox.bulk_enroll import Mail, bulk_enroll
from async_enroll.sandbox.database import Database
from async_enroll.sandbox.exchange import Exchange
from async_enroll.sandbox.pace import Effort, Pace
from async_enroll.sandbox.throttle import Throttle


@frozen
class BulkEnrollView:
    """The endpoint. `throttle` None does not throttle."""

    database: Database
    tokens: Tokens
    outbox: list[Mail]
    throttle: Throttle | None
    pace: Pace

    async def handle(self, exchange: Exchange) -> web.Response:
        """Answer a request; raises Refusal and Crash."""
        request = exchange.request
        caller = self.tokens.authenticate(request)
        require_staff(caller)
        if self.throttle:
            require_window(caller, self.throttle)
        require_method(request, "POST")
        call = read_bulk_call(_json(exchange), self._cohort_exists)
        exchange.pairs = call.pairs
        effort = Effort(self.pace, call.pairs, linger=exchange.linger, breaks=exchange.breaks)
        return json_answer(await bulk_enroll(self.database, self.outbox, call, effort))

    def _cohort_exists(self, course_id: str, cohort: str) -> bool:
        course = self.database.courses.get(course_id)
        return course is not None and cohort in course.cohorts


def _json(exchange: Exchange) -> Any:
    if not exchange.body:
        return {}
    media_type = exchange.request.content_type
    if media_type != "application/json":
        detail = f'Unsupported media type "{media_type}" in request.'
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, {"detail": detail})
    try:
        return orjson.loads(exchange.body)
    except orjson.JSONDecodeError as error:
        raise Refusal(HTTPStatus.BAD_REQUEST, {"detail": f"JSON parse error - {error}"}) from None
