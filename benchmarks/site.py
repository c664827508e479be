"""The sandbox in a process of its own, with what Open edX has beside it for other clients."""

from __future__ import annotations

import math
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import anyio
import msgspec
from aiohttp import web
from attrs import asdict, field, frozen

from async_enroll import RequestWindow
from async_enroll.sandbox import Platform
from benchmarks.processes import dismissed, say, serving


@frozen
class Setting:
    """A sandbox to be served: its window, its learners, and as `Platform` has them."""

    window: RequestWindow
    learners: int
    seconds_per_call: float = 0.0
    seconds_per_pair: float = 0.0
    workers: int | None = None
    backlog: int | None = None
    gateway_timeout: float | None = None

    def limit(self, in_flight: int) -> float:
        """The fewest seconds in which everybody can be enrolled, one a call.

        All windows but the last have to pass; then its calls take their time.
        """
        passed = (self.learners - 1) // self.window.calls
        last = self.learners - passed * self.window.calls
        rounds = math.ceil(last / in_flight)
        return passed * self.window.seconds + rounds * self.seconds_per_call


@frozen
class Answered:
    """A bulk call: its status, when it came and was answered, in seconds of a steady clock."""

    status: int
    arrival: float
    end: float


@frozen
class Site:
    """Where the sandbox is, and who is in it; `calls` and `enrolled` once it is left."""

    url: str
    front: str
    """The same with an endpoint for tokens, and bulk calls without the last slash."""
    token: str
    learners: list[str]
    course: str
    calls: list[Answered] = field(factory=list)
    enrolled: list[str] = field(factory=list)
    """Usernames, one for each enrollment."""


@asynccontextmanager
async def visited(setting: Setting) -> AsyncIterator[Site]:
    """Serve a sandbox of one course; nobody is enrolled yet."""
    async with serving(__name__, msgspec.json.encode(asdict(setting)).decode()) as server:
        site = Site(**server.greeting)
        yield site
        await server.stop()
        account = await server.hear()
    site.calls.extend(Answered(*call) for call in account["calls"])
    site.enrolled.extend(account["enrolled"])


async def _serve(setting: Setting) -> None:
    async with Platform(
        window=setting.window,
        seconds_per_call=setting.seconds_per_call,
        seconds_per_pair=setting.seconds_per_pair,
        workers=setting.workers,
        backlog=setting.backlog,
        gateway_timeout=setting.gateway_timeout,
    ) as platform:
        population = platform.seed(setting.learners, 1)
        async with _front(platform) as front:
            say(
                {
                    "url": platform.url,
                    "front": front,
                    "token": platform.token,
                    "learners": population.emails,
                    "course": population.courses[0],
                }
            )
            await dismissed()
        say(
            {
                "calls": [
                    (request.status, request.arrival, request.end)
                    for request in platform.requests
                    if "bulk_enroll" in request.path
                ],
                "enrolled": [record.username for record in platform.enrollments],
            }
        )


@asynccontextmanager
async def _front(platform: Platform) -> AsyncIterator[str]:
    """Give tokens, and pass on the bulk calls that Open edX takes and the sandbox does not."""

    async def token(_: web.Request) -> web.Response:
        return web.json_response({"access_token": platform.token, "expires_in": 3600})

    async def bulk_enroll(request: web.Request) -> web.Response:
        url = f"{platform.url}/api/bulk_enroll/v1/bulk_enroll/"
        headers = {"Authorization": request.headers["Authorization"]}
        body = await request.json()
        async with session.post(url, json=body, headers=headers) as answer:
            return web.Response(
                status=answer.status, body=await answer.read(), content_type=answer.content_type
            )

    application = web.Application()
    application.router.add_post("/oauth2/access_token", token)
    application.router.add_post("/api/bulk_enroll/v1/bulk_enroll", bulk_enroll)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    async with aiohttp.ClientSession() as session:
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


if __name__ == "__main__":
    told = msgspec.json.decode(sys.argv[1])
    anyio.run(_serve, Setting(**{**told, "window": RequestWindow(**told["window"])}))
