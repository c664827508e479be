"""POST /api/bulk_enroll/v1/bulk_enroll (Open edX, lms/djangoapps/bulk_enroll)."""

from __future__ import annotations

from aiohttp import web
from attrs import frozen

from async_enroll.sandbox.domain.bulk_enroll import BulkEnroll
from async_enroll.sandbox.faults.pace import Effort, Pace
from async_enroll.sandbox.http.answers import json_answer
from async_enroll.sandbox.http.exchange import Exchange
from async_enroll.sandbox.http.form import read_body
from async_enroll.sandbox.views.bulk_call import read_bulk_call


@frozen
class BulkEnrollView:
    """The endpoint, for callers that have been admitted."""

    bulk_enroll: BulkEnroll
    pace: Pace

    async def handle(self, exchange: Exchange) -> web.Response:
        """Answer a request; raises Refusal and Crash."""
        content = read_body(exchange.body, exchange.request.headers.get("Content-Type", ""))
        call = read_bulk_call(content, self.bulk_enroll.release, self._cohort_exists)
        exchange.pairs = call.pairs
        effort = Effort(self.pace, call.pairs, linger=exchange.linger, fault=exchange.fault)
        return json_answer(await self.bulk_enroll(call, effort))

    def _cohort_exists(self, course_id: str, cohort: str) -> bool:
        course = self.bulk_enroll.database.course(course_id)
        return course is not None and course.cohort(cohort) is not None
