"""A small platform and a caller."""

from collections.abc import AsyncIterator

import pytest

from async_enroll.sandbox import Platform
from tests.sandbox.raw import Raw, small_platform, speaking_to


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    async with small_platform() as platform:
        yield platform


@pytest.fixture
async def raw(platform: Platform) -> AsyncIterator[Raw]:
    async with speaking_to(platform) as raw:
        yield raw
