"""What all tests share. Async tests run on asyncio, through anyio's own plugin."""

import os
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, settings

from async_enroll import EnrollmentClient
from async_enroll.sandbox import Platform

# Commands are started hundreds of times: their bytecode is kept, as where a package is installed.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# The first text that is drawn on a machine waits for a table of Unicode: that is not slow input.
# Nor is a busy machine an error. So many examples keep the suite below five minutes.
settings.register_profile(
    "ours", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ours")


@pytest.fixture(scope="session", autouse=True)
def runtime_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Commands share their request window with those of the same test run alone."""
    os.environ["XDG_RUNTIME_DIR"] = str(tmp_path_factory.mktemp("run"))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    """A platform without a throttle, with three courses and ten learners."""
    async with Platform(window=None) as platform:
        for number in range(3):
            platform.add_course(f"course-v1:Org+C{number}+2026", cohorts=["red", "blue"])
        for number in range(10):
            platform.add_user(f"learner{number}", f"learner{number}@example.org")
        yield platform


@pytest.fixture
async def client(platform: Platform) -> AsyncIterator[EnrollmentClient]:
    async with EnrollmentClient(platform.url, platform.token) as client:
        yield client
