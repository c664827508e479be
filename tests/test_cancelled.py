"""Whether a CancelledError is one's own, and what is waited for in spite of it."""

import asyncio
from contextlib import suppress

import anyio
import anyio.lowlevel
import pytest

from async_enroll.cancellation import ended, is_cancelled


async def somebody_elses() -> None:
    """Wait for a future that somebody cancels."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    loop.call_soon(future.cancel)
    await future


async def told_when_interrupted(told: list[bool]) -> None:
    try:
        await anyio.sleep_forever()
    finally:
        told.append(is_cancelled())
        with anyio.CancelScope(shield=True):  # cleaning up
            told.append(is_cancelled())
            await anyio.lowlevel.checkpoint()
            with pytest.raises(asyncio.CancelledError):
                await somebody_elses()
            told.append(is_cancelled())


async def test_a_future_that_somebody_has_cancelled() -> None:
    with pytest.raises(asyncio.CancelledError):
        await somebody_elses()
    assert not is_cancelled()


async def test_the_same_in_a_task_group() -> None:
    told: list[bool] = []

    async def wait() -> None:
        with pytest.raises(asyncio.CancelledError):
            await somebody_elses()
        told.append(is_cancelled())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
    assert told == [False]


async def test_a_task_that_is_cancelled() -> None:
    told: list[bool] = []
    task = asyncio.create_task(told_when_interrupted(told))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told == [True, True, True]
    assert not is_cancelled()


async def test_a_scope_that_is_cancelled() -> None:
    told: list[bool] = []
    with anyio.move_on_after(0.01):
        await told_when_interrupted(told)
    assert told == [True, True, True]
    assert not is_cancelled()


async def test_a_scope_around_a_task_group_that_is_cancelled() -> None:
    told: list[bool] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(told_when_interrupted, told)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
        assert is_cancelled()
    assert told == [True, True, True]
    assert not is_cancelled()


async def test_a_scope_that_the_task_has_cancelled_itself() -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        assert is_cancelled()  # though nothing has been raised yet
        await anyio.lowlevel.checkpoint()
    assert not is_cancelled()


async def test_a_sibling_that_fails() -> None:
    told: list[bool] = []

    with suppress(ExceptionGroup):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(told_when_interrupted, told)
            await anyio.wait_all_tasks_blocked()
            raise LookupError
    assert told == [True, True, True]
    assert not is_cancelled()


async def test_a_time_out_that_is_over() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await asyncio.sleep(1)
    assert not is_cancelled()


@pytest.mark.parametrize("times", [1, 2, 5])
async def test_tasks_have_ended_however_often_who_waits_is_cancelled(times: int) -> None:
    async def fail() -> None:
        await asyncio.sleep(0.02)
        raise LookupError("nobody hears of it")

    tasks = [asyncio.create_task(asyncio.sleep(0.05)), asyncio.create_task(fail())]
    waiting = asyncio.create_task(ended(*tasks))
    for _ in range(times):
        await asyncio.sleep(0)
        waiting.cancel("enough")
    with pytest.raises(asyncio.CancelledError, match="enough"):
        await waiting
    assert all(task.done() for task in tasks)


async def test_a_scope_that_is_cancelled_is_heeded_after_tasks_have_ended() -> None:
    task = asyncio.create_task(asyncio.sleep(0.05))
    with anyio.move_on_after(0.01) as scope:
        await ended(task)
        assert task.done()
        await anyio.sleep_forever()
    assert scope.cancelled_caught


async def test_nothing_to_wait_for() -> None:
    await ended()
