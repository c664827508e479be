"""What answers in place of a site: a firewall, a login page, an API gateway."""

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
    """Wraps an endpoint, and rejects bodies that contain `text` (None: none)."""

    def __init__(self, text: str | None) -> None:
        self._text = text

    def before(self, endpoint: Endpoint[web.StreamResponse]) -> Endpoint[web.StreamResponse]:
        """Return `endpoint` behind the firewall."""
        if self._text is None:
            return endpoint
        needle = self._text.encode()

        async def answer(exchange: Exchange) -> web.StreamResponse:
            return rejection() if needle in exchange.body else await endpoint(exchange)

        return answer


def rejection(status: HTTPStatus = HTTPStatus.FORBIDDEN) -> web.Response:
    """Return the page of a firewall; some send it with status 200."""
    return web.Response(text=_PAGE, status=status, content_type="text/html")


def login() -> web.Response:
    """Return the redirect of a site that requires a login."""
    headers = {"Location": "https://id.example.org/login?next=/api"}
    return web.Response(status=HTTPStatus.FOUND, headers=headers, content_type="text/html")


def no_route() -> web.Response:
    """Return the 404 of an API gateway: JSON without the framework's `detail`."""
    content = {"message": "no Route matched with those values"}
    return json_answer(content, status=HTTPStatus.NOT_FOUND)
