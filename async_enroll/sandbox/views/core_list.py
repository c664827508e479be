"""GET /api/enrollment/v1/enrollments (Open edX, openedx/core/djangoapps/enrollments)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from aiohttp import web
from attrs import frozen

from async_enroll.models import Enrollment
from async_enroll.sandbox.http.answers import Refusal, json_answer
from async_enroll.sandbox.http.exchange import Exchange
from async_enroll.sandbox.storage.database import Database
from async_enroll.sandbox.views.core_filters import CoreQuery, read_query
from async_enroll.sandbox.views.cursor import Cursor
from async_enroll.sandbox.views.listing import created

_PAGE_SIZE = 100
"""Records on a page; newer releases accept a smaller number."""


@frozen
class CoreView:
    """The endpoint: newest first, in pages by cursor or, with `numbered`, by number.

    `filters`: whether it supports ``email`` and ``page_size``.
    """

    database: Database
    filters: bool
    numbered: bool = False

    async def handle(self, exchange: Exchange) -> web.Response:
        """Answer a request; raises Refusal."""
        request = exchange.request
        query = read_query(request.query, filters=self.filters)
        rows = self._matching(query)
        size = _page_size(request) if self.filters else _PAGE_SIZE
        page = _numbered_page if self.numbered else _cursor_page
        return json_answer(page(request, rows, size))

    def _matching(self, query: CoreQuery) -> list[Enrollment]:
        rows = [row for rows in self.database.listed_rows() for row in query.matching(rows)]
        # The sort is stable: of rows of one moment, the later ones come first.
        rows.reverse()
        return sorted(rows, key=created, reverse=True)


def _cursor_page(request: web.Request, rows: list[Enrollment], size: int) -> dict[str, Any]:
    text = request.query.get("cursor")
    cursor = Cursor.read(text) if text is not None else Cursor()
    start = cursor.start([created(row) for row in rows])
    page, more = rows[start : start + size], rows[start + size : start + size + 1]
    following = Cursor.after([created(row) for row in rows], start + size) if more else None
    return {
        "next": following and _link(request, cursor=following.text),
        # `previous` is not modelled: no reader of a whole list follows it.
        "previous": None,
        "results": [_content(row) for row in page],
    }


def _numbered_page(request: web.Request, rows: list[Enrollment], size: int) -> dict[str, Any]:
    pages = max(1, -(-len(rows) // size))
    number = _page_number(request, pages)
    start = (number - 1) * size
    return {
        "next": _link(request, page=str(number + 1)) if number < pages else None,
        "previous": _link(request, page=str(number - 1)) if number > 1 else None,
        "count": len(rows),
        "num_pages": pages,
        "current_page": number,
        "start": start,
        "results": [_content(row) for row in rows[start : start + size]],
    }


def _link(request: web.Request, **changed: str) -> str:
    return str(request.url.with_query(sorted({**request.query, **changed}.items())))


def _page_number(request: web.Request, pages: int) -> int:
    text = request.query.get("page", "1")
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= number <= pages:
        raise Refusal(HTTPStatus.NOT_FOUND, {"detail": "Invalid page."})
    return number


def _page_size(request: web.Request) -> int:
    text = request.query.get("page_size", "")
    size = int(text) if text.isascii() and text.isdigit() else 0
    return min(size, _PAGE_SIZE) or _PAGE_SIZE


def _content(row: Enrollment) -> dict[str, Any]:
    return {
        "created": f"{created(row).isoformat()}Z",
        "mode": row.mode,
        "is_active": row.is_active,
        "user": row.username,
        "course_id": row.course_id,
    }
