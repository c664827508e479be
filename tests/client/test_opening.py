"""Opening and closing a client."""

from collections.abc import AsyncIterator

import aiohttp
import anyio
import pytest

from async_enroll import BatchLimits, ConfigurationError, EnrollmentClient, RosterEntry
from async_enroll.sandbox import Platform
from tests.sessions import takes_sessions

C0 = "course-v1:Org+C0+2026"


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    async with Platform() as platform:
        platform.add_course(C0)
        for number in range(2):
            platform.add_user(f"learner{number}", f"learner{number}@example.org")
        yield platform


@takes_sessions
async def test_a_client_without_a_block(platform: Platform) -> None:
    """As in a notebook, and as often as it is opened."""
    async with aiohttp.ClientSession() as session:
        for given in (None, session):
            client = EnrollmentClient(
                platform.url, platform.token, session=given, batch=BatchLimits(1)
            )
            for number in range(2):
                assert await client.open() is client
                assert (await client.bulk_enroll([f"learner{number}"], [C0])).ok
                with pytest.raises(ConfigurationError, match="open already"):
                    await client.open()
                results = client.stream([RosterEntry(f"new{n}@example.org", C0) for n in range(40)])
                await anext(results)
                await client.aclose()
                with pytest.raises(ConfigurationError, match="closed while"):
                    [result async for result in results]
                with pytest.raises(ConfigurationError, match="is not open"):
                    await client.bulk_enroll(["learner1"], [C0])
                await client.aclose()  # nothing is left to close


def test_trio_is_refused_in_words() -> None:
    async def opened() -> None:
        async with EnrollmentClient("http://127.0.0.1:9", "token"):
            raise AssertionError("opened")

    with pytest.raises(ConfigurationError, match=r"asyncio event loop.*trio is not supported"):
        anyio.run(opened, backend="trio")
