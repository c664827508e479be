"""GET /api/enrollment/v1/enrollments (Open edX, openedx/core/djangoapps/enrollments)."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from aiohttp import web
from attrs import frozen

from async_enroll.models import Enrollment, EnrollmentQuery
from async_enroll.sandbox.access import Tokens, require_method, require_staff, require_window
from async_enroll.sandbox.answers import Refusal, json_answer
from async_enroll.sandbox.course_keys import is_course_key
from async_enroll.sandbox.database import Database
from async_enroll.sandbox.exchange import Exchange
from async_enroll.sandbox.listing import created, matching
from async_enroll.sandbox.throttle import Throttle

_LARGEST_PAGE = 100
_MOST_USERNAMES = 100
_USERNAME = re.compile(r"[-a-zA-Z0-9_]{2,30}")

_Place = tuple[str, str, str]
"""Where a record stands among the others."""


@frozen
class CoreView:
    """The endpoint: newest first, in pages by cursor. `throttle` None does not throttle."""

    database: Database
    tokens: Tokens
    throttle: Throttle | None

    async def handle(self, exchange: Exchange) -> web.Response:
        """Answer a request; raises Refusal."""
        request = exchange.request
        caller = self.tokens.authenticate(request)
        require_staff(caller)
        if self.throttle:
            require_window(caller, self.throttle)
        require_method(request, "GET")
        return json_answer(self._page(request))

    def _page(self, request: web.Request) -> dict[str, Any]:
        size = _page_size(request)
        cursor = request.query.get("page")
        after = None if cursor is None else _place(cursor)
        rows = sorted(self._matching(request), key=_place_of, reverse=True)
        if after is not None:
            rows = [row for row in rows if _place_of(row) < after]
        more = len(rows) > size
        return {
            "next": _page_url(request, rows[size - 1]) if more else None,
            # A link back, which no reader of a whole list follows, is not modelled.
            "previous": None,
            "results": [_content(row) for row in rows[:size]],
        }

    def _matching(self, request: web.Request) -> Iterator[Enrollment]:
        course_id = request.query.get("course_id") or None
        if course_id and not is_course_key(course_id):
            raise _invalid("course_id", f"'{course_id}' is not a valid course id.")
        for username in _usernames(request):
            yield from matching(self.database, EnrollmentQuery(course_id, username))


def _usernames(request: web.Request) -> list[str | None]:
    """Whose enrollments are asked for: a list of None is of everybody's."""
    text = request.query.get("username")
    if not text:
        return [None]
    names = text.split(",")
    if len(names) > _MOST_USERNAMES:
        raise _invalid(
            "username",
            f"Too many usernames in a single request - {len(names)}. "
            f"A maximum of {_MOST_USERNAMES} is allowed",
        )
    if not all(map(_USERNAME.fullmatch, names)):
        raise _invalid("username", "Enter a valid username.")
    # One name in two spellings is one learner.
    return list({name.lower(): name for name in names}.values())


def _invalid(field: str, message: str) -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, {field: [message]})


def _page_size(request: web.Request) -> int:
    text = request.query.get("page_size", "")
    size = int(text) if text.isascii() and text.isdigit() else 0
    return min(size, _LARGEST_PAGE) or _LARGEST_PAGE


def _place_of(row: Enrollment) -> _Place:
    return created(row).isoformat(), row.course_id, row.username


def _place(cursor: str) -> _Place:
    try:
        created, course_id, username = urlsafe_b64decode(cursor).decode().split("|")
    except ValueError:
        raise Refusal(HTTPStatus.NOT_FOUND, {"detail": "Invalid cursor"}) from None
    return created, course_id, username


def _page_url(request: web.Request, last: Enrollment) -> str:
    cursor = urlsafe_b64encode("|".join(_place_of(last)).encode()).decode()
    return str(request.url.update_query(page=cursor))


def _content(row: Enrollment) -> dict[str, Any]:
    return {
        "created": f"{created(row).isoformat()}Z",
        "mode": row.mode,
        "is_active": row.is_active,
        "user": row.username,
        "course_id": row.course_id,
    }
