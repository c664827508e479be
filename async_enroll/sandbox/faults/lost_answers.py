"""Answers that do not arrive, or arrive damaged."""

from __future__ import annotations

from http import HTTPStatus
from typing import NoReturn, cast

import anyio
import msgspec
from aiohttp import web
from aiohttp.web_request import BaseRequest

from async_enroll.sandbox.http.answers import json_answer
from async_enroll.sandbox.http.reset import reset


class Reset(web.StreamResponse):
    """Resets the connection instead of answering; 444 is nginx's status for that."""

    def __init__(self) -> None:
        super().__init__(status=444)

    async def prepare(self, request: BaseRequest) -> NoReturn:
        """Reset the connection. Raises ConnectionResetError, as if the caller had done so."""
        if request.transport:
            reset(request.transport)
        raise ConnectionResetError


class Silence(web.StreamResponse):
    """Sends nothing until the caller disconnects; 499 is nginx's status for that."""

    def __init__(self) -> None:
        super().__init__(status=499)

    async def prepare(self, _: BaseRequest) -> None:
        """Wait to be cancelled."""
        await anyio.sleep_forever()


def cut(answer: web.Response) -> web.Response:
    """Return `answer`, ending in the middle of its body."""
    body = _body(answer)
    part = web.Response(
        body=body[: len(body) // 2],
        status=answer.status,
        headers={"Content-Length": str(len(body))},
        content_type=answer.content_type,
    )
    part.force_close()
    return part


def garbled(answer: web.Response) -> web.Response:
    """Return `answer` with half of its body: complete HTTP, but not JSON."""
    body = _body(answer)
    return web.Response(
        body=body[: len(body) // 2], status=answer.status, content_type=answer.content_type
    )


def lacking_results(answer: web.Response) -> web.Response:
    """Return `answer` without every other result of each course, if it has results."""
    if answer.status != HTTPStatus.OK:
        return answer
    content = msgspec.json.decode(_body(answer))
    for course in content["courses"].values():
        del course["results"][::2]
    return json_answer(content)


def _body(answer: web.Response) -> bytes:
    return cast(bytes, answer.body)  # as the platform's answers are made
