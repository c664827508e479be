"""What the platform answers where it has no endpoint."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from async_enroll.sandbox.http.answers import html_answer
from async_enroll.sandbox.http.exchange import Exchange


async def not_found(_: Exchange) -> web.StreamResponse:
    """Answer with the framework's 404 page."""
    return html_answer(HTTPStatus.NOT_FOUND)
