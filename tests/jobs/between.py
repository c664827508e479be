"""A server between a client and the platform: it changes answers, or acts before requests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web
from yarl import URL

from async_enroll.sandbox import Platform

Change = Callable[[web.Request, bytes], Awaitable[web.Response | None]]
"""Gets a request and a body, its own or the answer's; returns another answer, or None."""

_PASSED_ON = ("Authorization", "Content-Type", "Access-Control-Request-Headers")


@asynccontextmanager
async def between(
    platform: Platform, change: Change | None = None, before: Change | None = None
) -> AsyncIterator[str]:
    """Serve what the platform answers; `change` may change a success, `before` answer instead."""

    async def handle(request: web.Request) -> web.Response:
        body = await request.read()
        if before and (other := await before(request, body)):
            return other
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        url = f"{platform.url}{request.raw_path}"
        async with session.request(
            request.method, URL(url, encoded=True), data=body, headers=headers
        ) as answer:
            said = (await answer.read()).replace(
                platform.url.encode(), str(request.url.origin()).encode()
            )
            if change and answer.ok and (other := await change(request, said)):
                return other
            kind = answer.headers.get("Content-Type", "text/plain")
            return web.Response(status=answer.status, body=said, headers={"Content-Type": kind})

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(application, handler_cancellation=True)
    async with aiohttp.ClientSession(auto_decompress=True) as session:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            host, port, *_ = runner.addresses[0]
            yield f"http://{host}:{port}"
        finally:
            await runner.cleanup()


def is_listing(request: web.Request) -> bool:
    return request.method == "GET" and request.path.endswith("/enrollments")


def is_account(request: web.Request) -> bool:
    return request.path.endswith("/accounts")


def is_own(request: web.Request) -> bool:
    return request.path.endswith("/me")


def cut(said: bytes) -> web.Response:
    """The first part of an answer, as a whole answer."""
    return web.Response(body=said[: len(said) * 2 // 3], content_type="application/json")


def broken() -> web.Response:
    """What the platform answers where it fails."""
    return web.Response(status=500, text="<title>Server Error</title>", content_type="text/html")
