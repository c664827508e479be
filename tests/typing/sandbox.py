"""The sandbox, as tests of others use it."""

from typing import Any, assert_type

import pytest

from async_enroll import Enrollment, EnrollmentClient, RequestWindow
from async_enroll.sandbox import Fault, Faults, Mail, Platform


@pytest.fixture
def enroll_platform_options() -> dict[str, Any]:
    return {"window": None, "faults": Faults.schedule({0: Fault.RESET_AFTER})}


async def on_this_loop() -> None:
    async with Platform(window=RequestWindow(40), faults=Faults.chance(0.2, seed=1)) as platform:
        assert_type(platform, Platform)
        await platform.crash()
        await platform.restart()


def in_a_thread() -> None:
    with Platform(window=None) as platform:
        assert_type(platform.url, str)
        assert_type(platform.token, str)
        assert_type(platform.seed(10, 2).usernames, tuple[str, ...])
        assert_type(platform.outbox, list[Mail])
        assert_type(platform.enrollments, list[Enrollment])
        platform.add_user("jane")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def playground() -> None:
    faults = Faults.shares({Fault.CUT: 0.1, Fault.STALL: 0.05}, seed=1)
    with Platform(playground=True, faults=faults) as platform:
        assert_type(platform.url, str)


async def of_fixtures(enroll_platform: Platform, enroll_client: EnrollmentClient) -> None:
    enroll_platform.add_course("course-v1:Org+C1+2026", cohorts=["red"])
    await enroll_client.bulk_enroll(["jane@example.org"], ["course-v1:Org+C1+2026"])
    assert_type(enroll_platform.cohort_of("jane@example.org", "course-v1:Org+C1+2026"), str | None)
