"""A platform that goes down with calls in progress, and comes back."""

from collections.abc import Awaitable

import anyio
import pytest
from aiohttp import ClientConnectorError, ClientError, ClientOSError, ServerDisconnectedError

from async_enroll.models import Action, RequestWindow
from async_enroll.sandbox import Fault, Faults, Mail, Platform
from tests.sandbox.raw import C1, C2, LISTING, Raw, small_platform, speaking_to, until_mailed


async def expect_reset(call: Awaitable[object]) -> None:
    with pytest.raises(ClientOSError, match="reset"):
        await call


async def test_calls_in_progress_are_undone_and_reset() -> None:
    async with (
        small_platform(seconds_per_pair=0.2) as platform,
        speaking_to(platform) as raw,
        anyio.create_task_group() as tasks,
    ):
        platform.enroll("joe", C2)
        tasks.start_soon(expect_reset, raw.bulk("Jane,joe", C1, email_students=True))
        tasks.start_soon(expect_reset, raw.bulk("joe,Jane", C2, email_students=True))
        await until_mailed(platform, 2)
        await platform.crash()
        assert [row.username for row in platform.enrollments] == ["joe"]
        assert platform.audit == []
        assert {mail.to for mail in platform.outbox} == {"Jane@example.org", "joe@example.org"}
        assert platform.requests == []


async def test_nobody_listens_until_it_is_back(platform: Platform, raw: Raw) -> None:
    assert (await raw.bulk("Jane", C1, email_students=True)).status == 200
    url = platform.url
    await platform.crash()
    for _ in range(2):
        # The first may still try the connection it kept.
        with pytest.raises((ClientOSError, ServerDisconnectedError)):
            await raw.bulk("joe", C1)
    with pytest.raises(ClientConnectorError):
        await raw.request("GET", LISTING)
    await platform.restart()
    assert platform.url == url
    assert (await raw.bulk("joe", C1)).status == 200
    assert [row.username for row in platform.enrollments] == ["Jane", "joe"]
    assert platform.outbox == [Mail(Action.ENROLL, "Jane@example.org", C1)]
    assert [request.status for request in platform.requests] == [200, 200]


async def test_rows_of_the_undone_are_free() -> None:
    async with (
        small_platform(seconds_per_pair=0.2) as platform,
        speaking_to(platform) as raw,
        anyio.create_task_group() as tasks,
    ):
        for _ in range(2):  # one writes, one waits
            tasks.start_soon(expect_reset, raw.bulk("Jane", C1, email_students=True))
        await until_mailed(platform, 1)
        await platform.crash()
        await platform.restart()
        (result,) = await raw.results("Jane", C1)
        assert result["before"]["enrollment"] is False
        assert len(platform.audit) == 1


async def test_work_behind_a_504_is_undone_too() -> None:
    faults = Faults.schedule({0: Fault.GATEWAY_TIMEOUT_DURING}, linger=0.2)
    async with small_platform(faults=faults) as platform, speaking_to(platform) as raw:
        assert (await raw.bulk("Jane", C1, email_students=True)).status == 504
        await until_mailed(platform, 1)
        await platform.crash()
        await platform.restart()
        await anyio.sleep(0.3)
        assert platform.enrollments == []


async def test_windows_and_the_count_of_calls_are_kept() -> None:
    window = RequestWindow(calls=2, seconds=60)
    faults = Faults.schedule({1: Fault.UNAVAILABLE_AFTER})
    async with (
        small_platform(window=window, faults=faults) as platform,
        speaking_to(platform) as raw,
    ):
        statuses = [(await raw.bulk("Jane", C1)).status]
        await platform.crash()
        await platform.restart()
        async with speaking_to(platform) as raw:
            statuses += [(await raw.bulk("Jane", C1)).status for _ in range(2)]
    assert statuses == [200, 503, 429]


async def test_stalled_callers_are_reset() -> None:
    faults = Faults.schedule({0: Fault.STALL})
    async with (
        small_platform(faults=faults) as platform,
        speaking_to(platform) as raw,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(expect_reset, raw.bulk("Jane", C1))
        with anyio.fail_after(2):
            while not platform.requests:
                await anyio.sleep(0.005)
        await platform.crash()


async def test_it_may_be_left_down(platform: Platform, raw: Raw) -> None:
    async with small_platform() as other:
        await other.crash()
        await other.crash()
    with pytest.raises(RuntimeError):
        await other.restart()
    with pytest.raises(RuntimeError):
        await other.crash()


async def test_many_crashes_lose_nothing_that_was_answered() -> None:
    async with (
        Platform(window=None, seconds_per_pair=0.005) as platform,
        speaking_to(platform) as raw,
    ):
        population = platform.seed(learners=100, courses=1)
        (course,) = population.courses
        confirmed: set[str] = set()

        async def enroll_all(names: tuple[str, ...]) -> None:
            for name in names:
                try:
                    answer = await raw.bulk(name, course)
                except ClientError:
                    await anyio.sleep(0.01)
                else:
                    assert answer.status == 200
                    confirmed.add(name)

        async with anyio.create_task_group() as tasks:
            for start in range(5):
                tasks.start_soon(enroll_all, population.usernames[start::5])
            for _ in range(4):
                await anyio.sleep(0.05)
                await platform.crash()
                await platform.restart()
        enrolled = {row.username for row in platform.enrollments}
        assert confirmed
        assert confirmed <= enrolled
        assert len(platform.audit) == len(enrolled)
