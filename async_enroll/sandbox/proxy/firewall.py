"""What stands in front of a site and answers in its place: a firewall, a login, an API gateway."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from async_enroll.sandbox.http.answers import json_answer
from async_enroll.sandbox.http.exchange import Endpoint, Exchange

_PAGE = (
    "<!DOCTYPE html>\n<html><head><title>Request Rejected</title></head>\n"
    "<body>The requested URL was rejected.</body></html>\n"
)


class Firewall:
    """Stands before an endpoint, and rejects bodies that hold `text` (None: none)."""

    def __init__(self, text: str | None) -> None:
        self._text = text

    def before(self, endpoint: Endpoint[web.StreamResponse]) -> Endpoint[web.StreamResponse]:
        """`endpoint`, with this before it."""
        if self._text is None:
            return endpoint
        needle = self._text.encode()

        async def answer(exchange: Exchange) -> web.StreamResponse:
            return rejection() if needle in exchange.body else await endpoint(exchange)

        return answer


def rejection(status: HTTPStatus = HTTPStatus.FORBIDDEN) -> web.Response:
    """The page of a firewall; some answer 200 with it."""
    return web.Response(text=_PAGE, status=status, content_type="text/html")


def login() -> web.Response:
    """The redirect of a site that lets nobody in without a login."""
    headers = {"Location": "https://id.example.org/login?next=/api"}
    return web.Response(status=HTTPStatus.FOUND, headers=headers, content_type="text/html")


def no_route() -> web.Response:
    """The 404 of an API gateway, in JSON, without the `detail` of the platform's framework."""
    content = {"message": "no Route matched with those values"}
    return json_answer(content, status=HTTPStatus.NOT_FOUND)
