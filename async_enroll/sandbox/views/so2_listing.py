"""GET /api/so2/v1/enrollments (MOOCit)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import anyio.lowlevel
from aiohttp import web
from attrs import frozen

from async_enroll.models import EnrollmentQuery
from async_enroll.sandbox.http.access import Tokens, require_method, require_staff
from async_enroll.sandbox.http.answers import Refusal, json_answer
from async_enroll.sandbox.http.exchange import Exchange
from async_enroll.sandbox.storage.database import Database
from async_enroll.sandbox.views.listing import ListingForm, content, encoded, matching

_MOST_DIGITS = 5


@frozen
class EnrollmentsView:
    """The endpoint; `page_size` counts only for the form with pages.

    Requiring global staff is a guess: the reference names no permission.
    """

    database: Database
    tokens: Tokens
    form: ListingForm
    page_size: int

    async def handle(self, exchange: Exchange) -> web.StreamResponse:
        """Answer a request; raises Refusal."""
        request = exchange.request
        require_staff(self.tokens.authenticate(request))
        require_method(request, "GET")
        _require_headers(request)
        query = EnrollmentQuery(
            course_id=request.query.get("course_id") or None,
            username=request.query.get("username") or None,
            days=_number(request, "days"),
        )
        if self.form is ListingForm.PAGES:
            return json_answer(self._page(request, query))
        return await self._stream(request, query)

    def _page(self, request: web.Request, query: EnrollmentQuery) -> dict[str, Any]:
        number = _number(request, "page")
        number = 1 if number is None else number
        rows = list(matching(self.database, query))
        last = max(1, -(-len(rows) // self.page_size))
        if not 1 <= number <= last:
            raise Refusal(HTTPStatus.NOT_FOUND, {"detail": "Invalid page."})
        start = (number - 1) * self.page_size
        return {
            "count": len(rows),
            "next": _page_url(request, number + 1) if number < last else None,
            "previous": _page_url(request, number - 1) if number > 1 else None,
            "results": [content(row) for row in rows[start : start + self.page_size]],
        }

    async def _stream(self, request: web.Request, query: EnrollmentQuery) -> web.StreamResponse:
        response = web.StreamResponse()
        lines = self.form is ListingForm.LINES
        response.content_type = "application/x-ndjson" if lines else "application/json"
        try:
            await response.prepare(request)
            for piece in encoded(matching(self.database, query), self.form):
                await response.write(piece)
                # A fast reader would otherwise starve all other requests.
                await anyio.lowlevel.checkpoint()
            await response.write_eof()
        except ConnectionError:
            pass  # The reader has left; there is nobody to tell.
        return response


def _require_headers(request: web.Request) -> None:
    if request.headers.get("Access-Control-Request-Headers", "").lower() != "authorization":
        missing = "Access-Control-Request-Headers: authorization"
    elif request.content_type != "application/json":
        missing = "Content-Type: application/json"
    else:
        return
    raise Refusal(HTTPStatus.BAD_REQUEST, {"detail": f"Missing header {missing}"})


def _number(request: web.Request, name: str) -> int | None:
    text = request.query.get(name)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise Refusal(HTTPStatus.BAD_REQUEST, {name: ["A valid integer is required."]})
    return int(text)


def _page_url(request: web.Request, number: int) -> str:
    return str(request.url.update_query(page=number))
