"""Answers: JSON of the application, HTML pages of proxy and framework."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web


class Refusal(Exception):
    """The application refuses a request: an error status with a JSON body."""

    def __init__(
        self, status: HTTPStatus, content: Any, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, content)
        self.status = status
        self.content = content
        self.headers = headers


class Crash(Exception):
    """The application fails: the framework's 500 page."""


def json_answer(
    content: Any, *, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return `content` as JSON."""
    return web.Response(
        body=msgspec.json.encode(content),
        status=status,
        headers=headers,
        content_type="application/json",
    )


def refusal_answer(refusal: Refusal) -> web.Response:
    """Return the answer for a refusal."""
    return json_answer(refusal.content, status=refusal.status, headers=refusal.headers)


def html_answer(status: HTTPStatus) -> web.Response:
    """Return an HTML page that names the status."""
    heading = f"{status.value} {status.phrase}"
    page = (
        f"<!DOCTYPE html>\n<html><head><title>{heading}</title></head>\n"
        f"<body><h1>{heading}</h1></body></html>\n"
    )
    return web.Response(text=page, status=status, content_type="text/html")
