"""What a user would write, with care, and ours: each enrolls one learner a call.

One a call, so that all make as many calls. Other clients are given the window as well.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import aiohttp
import requests
from aiolimiter import AsyncLimiter
from limits import RateLimitItemPerSecond
from limits.aio.storage import Storage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.storage import storage_from_string
from openedx_rest_api_client.client import OpenedxRESTAPIClient

from async_enroll import BatchLimits, EnrollmentClient, RequestWindow, RosterEntry
from benchmarks.site import Site

IN_FLIGHT = 8
_TRIES = 10
_TOO_MANY = 429


async def async_enroll(site: Site, window: RequestWindow, shared_window: str | None = None) -> None:
    """Ours; each course is asked about just before its first call."""
    async with EnrollmentClient(
        site.url,
        site.token,
        window=window,
        shared_window=shared_window,
        concurrency=IN_FLIGHT,
        batch=BatchLimits(identifiers=1),
    ) as client:
        roster = [RosterEntry(learner, site.course) for learner in site.learners]
        (await client.apply(roster, preflight=False)).raise_for_failures()


def loop_of_requests(site: Site, _: RequestWindow) -> None:
    """A call after the other; one that is refused again, when the platform says so."""
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {site.token}"
        for learner in site.learners:
            answer = session.post(_url(site), json=_body(site, learner))
            while answer.status_code == _TOO_MANY:
                time.sleep(float(answer.headers["Retry-After"]))
                answer = session.post(_url(site), json=_body(site, learner))
            answer.raise_for_status()


def openedx_rest_api_client(site: Site, _: RequestWindow) -> None:
    """The client on PyPI, as its documentation has it. It logs a refusal, and goes on."""
    logging.getLogger("openedx_rest_api_client").addHandler(logging.NullHandler())
    client = OpenedxRESTAPIClient(site.front, "client_id", "client_secret")
    for learner in site.learners:
        client.change_enrollment([learner], [site.course], "enroll", email_students=False)


async def gather_under_aiolimiter(site: Site, window: RequestWindow) -> None:
    """All calls at once behind a leaky bucket; those that are refused or fail again."""
    limiter = AsyncLimiter(window.calls, window.seconds)
    in_flight = asyncio.Semaphore(IN_FLIGHT)

    async def call(session: aiohttp.ClientSession, learner: str) -> None:
        for attempt in range(_TRIES):
            async with (
                in_flight,
                limiter,
                session.post(_url(site), json=_body(site, learner)) as answer,
            ):
                await answer.read()
            if answer.status == _TOO_MANY:
                await asyncio.sleep(float(answer.headers["Retry-After"]))
            elif answer.status >= 500:
                await asyncio.sleep(2**attempt)
            else:
                break
        answer.raise_for_status()

    headers = {"Authorization": f"Bearer {site.token}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        await asyncio.gather(*(call(session, learner) for learner in site.learners))


async def moving_window_of_limits(site: Site, window: RequestWindow, store: str) -> None:
    """All calls at once behind the moving window of `limits`; those that are refused again.

    `store` says where it keeps the window: a URL as `limits` has them.
    """
    storage = storage_from_string(
        store, **({"implementation": "redispy"} if "redis" in store else {})
    )
    assert isinstance(storage, Storage)
    limiter = MovingWindowRateLimiter(storage)
    limit = RateLimitItemPerSecond(window.calls, int(window.seconds))
    in_flight = asyncio.Semaphore(IN_FLIGHT)

    async def place() -> None:
        while not await limiter.hit(limit, "token"):
            stats = await limiter.get_window_stats(limit, "token")
            await asyncio.sleep(max(0.01, stats.reset_time - time.time()))

    async def call(session: aiohttp.ClientSession, learner: str) -> None:
        async with in_flight:
            status = _TOO_MANY
            while status == _TOO_MANY:
                await place()
                async with session.post(_url(site), json=_body(site, learner)) as answer:
                    await answer.read()
                status = answer.status
                if status == _TOO_MANY:
                    await asyncio.sleep(float(answer.headers["Retry-After"]))
            answer.raise_for_status()

    headers = {"Authorization": f"Bearer {site.token}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        await asyncio.gather(*(call(session, learner) for learner in site.learners))


def _url(site: Site) -> str:
    return f"{site.url}/api/bulk_enroll/v1/bulk_enroll/"


def _body(site: Site, learner: str) -> dict[str, object]:
    return {
        "action": "enroll",
        "courses": site.course,
        "identifiers": learner,
        "auto_enroll": True,
        "email_students": False,
    }


CONTENDERS: dict[str, Callable[[Site, RequestWindow], Awaitable[None] | None]] = {
    "async_enroll": async_enroll,
    "loop of requests": loop_of_requests,
    "gather under aiolimiter": gather_under_aiolimiter,
    "openedx-rest-api-client": openedx_rest_api_client,
}
