"""The proxy's patience, and what goes on behind its back."""

import time
from functools import partial

import anyio

from tests.sandbox.raw import C1, LISTING, MISSING, small_platform, speaking_to
from tests.waiting import until


async def test_a_504_comes_at_the_limit_and_the_work_commits_later() -> None:
    async with (
        small_platform(gateway_timeout=0.1, seconds_per_call=1.0) as platform,
        speaking_to(platform) as raw,
    ):
        start = time.monotonic()
        answer = await raw.bulk("Jane", C1)
        assert 0.1 <= time.monotonic() - start < 1.0
        assert (answer.status, answer.is_page) == (504, True)
        assert not platform.is_enrolled("Jane", C1)
        await until(lambda: platform.is_enrolled("Jane", C1))
    assert [(request.status, request.pairs) for request in platform.requests] == [(504, 1)]


async def test_or_it_does_not_commit() -> None:
    async with (
        small_platform(gateway_timeout=0.05, seconds_per_pair=0.1) as platform,
        speaking_to(platform) as raw,
    ):
        assert (await raw.bulk("Jane", f"{C1},{MISSING}")).status == 504
        await anyio.sleep(0.15)
        assert (platform.enrollments, platform.audit) == ([], [])


async def test_who_is_quick_enough_is_answered() -> None:
    async with (
        small_platform(gateway_timeout=0.5, seconds_per_call=0.02) as platform,
        speaking_to(platform) as raw,
    ):
        assert (await raw.bulk("Jane", C1)).status == 200
        assert (await raw.bulk("Jane", MISSING)).status == 404
        assert (await raw.request("GET", LISTING)).status == 200


async def test_waiting_in_line_takes_time_too() -> None:
    async with (
        small_platform(gateway_timeout=0.5, seconds_per_call=0.2, workers=1) as platform,
        speaking_to(platform) as raw,
        anyio.create_task_group() as tasks,
    ):
        for _ in range(5):
            tasks.start_soon(partial(raw.bulk, "Jane", C1))
    statuses = [request.status for request in platform.requests]
    assert (statuses[0], statuses[-1]) == (200, 504)


async def test_what_is_undone_when_the_platform_is_left_stays_undone() -> None:
    async with (
        small_platform(gateway_timeout=0.05, seconds_per_call=5) as platform,
        speaking_to(platform) as raw,
    ):
        assert (await raw.bulk("Jane", C1)).status == 504
        start = time.monotonic()
    assert time.monotonic() - start < 2.5
    assert platform.enrollments == []
