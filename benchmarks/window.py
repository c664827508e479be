"""How long calls take under the platform's window, against the shortest time it allows."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
from aiolimiter import AsyncLimiter

from async_enroll import BatchLimits, EnrollmentClient, RequestWindow
from async_enroll.sandbox import Platform
from benchmarks.tables import Table

WINDOW = RequestWindow(120, 6)
CALLS = 300
COURSE = "course-v1:Org+C1+2026"
IDENTIFIERS = [f"learner{number}@example.org" for number in range(CALLS)]


async def ours(platform: Platform) -> None:
    """One identifier a call, so that there are as many calls as the others make."""
    async with EnrollmentClient(
        platform.url, platform.token, window=WINDOW, batch=BatchLimits(identifiers=1)
    ) as client:
        (await client.bulk_enroll(IDENTIFIERS, [COURSE])).raise_for_failures()


async def gather_under_aiolimiter(platform: Platform) -> None:
    """What a user would write: all calls at once behind a leaky bucket, refused ones again."""
    limiter = AsyncLimiter(WINDOW.calls, WINDOW.seconds)
    in_flight = asyncio.Semaphore(8)
    headers = {"Authorization": f"Bearer {platform.token}"}

    async def call(session: aiohttp.ClientSession, identifier: str) -> None:
        body = {
            "action": "enroll",
            "courses": COURSE,
            "identifiers": identifier,
            "auto_enroll": True,
            "email_students": False,
        }
        while True:
            async with in_flight, limiter:
                url = f"{platform.url}/api/bulk_enroll/v1/bulk_enroll/"
                async with session.post(url, json=body, headers=headers) as response:
                    await response.read()
            if response.status != 429:
                response.raise_for_status()
                return
            await asyncio.sleep(float(response.headers["Retry-After"]))

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(call(session, identifier) for identifier in IDENTIFIERS))


async def measure(enroll: Callable[[Platform], Awaitable[None]]) -> tuple[float, int]:
    """Seconds, and refusals."""
    async with Platform(window=WINDOW) as platform:
        platform.add_course(COURSE)
        start = time.perf_counter()
        await enroll(platform)
        took = time.perf_counter() - start
        return took, sum(request.status == 429 for request in platform.requests)


async def run() -> AsyncIterator[Table]:
    """The table."""
    limit = (CALLS - 1) // WINDOW.calls * WINDOW.seconds
    table = Table(
        f"{CALLS} calls, {WINDOW.calls} per {WINDOW.seconds:g} s",
        ("client", "seconds", "of the limit", "refusals"),
    )
    table.add("the limit", f"{limit:.2f}", "1.000", "0")
    for name, enroll in (
        ("async_enroll", ours),
        ("gather under aiolimiter", gather_under_aiolimiter),
    ):
        took, refusals = await measure(enroll)
        table.add(name, f"{took:.2f}", f"{took / limit:.3f}", str(refusals))
    yield table
