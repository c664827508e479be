"""Row locks."""

import anyio
import pytest
from anyio.lowlevel import checkpoint

from async_enroll.sandbox.storage.locks import Deadlock, Locks, Writer

ROW = ("course", "jane@example.org")
OTHER = ("course", "joe@example.org")


async def test_a_row_is_locked_until_its_writer_is_done() -> None:
    locks, first, second = Locks(), Writer(), Writer()
    await locks.acquire(first, ROW)
    await locks.acquire(first, ROW)
    await locks.acquire(second, OTHER)
    with anyio.move_on_after(0.01) as scope:
        await locks.acquire(second, ROW)
    assert scope.cancelled_caught
    locks.release(first)
    await locks.acquire(second, ROW)


async def test_who_waits_longest_is_next() -> None:
    locks, writers = Locks(), [Writer() for _ in range(4)]
    permits: list[int] = []

    async def write(number: int) -> None:
        await locks.acquire(writers[number], ROW)
        permits.append(number)
        await checkpoint()
        locks.release(writers[number])

    async with anyio.create_task_group() as tasks:
        for number in range(4):
            tasks.start_soon(write, number)
    assert permits == [0, 1, 2, 3]


async def test_nobody_waits_in_a_circle() -> None:
    locks, first, second = Locks(), Writer(), Writer()
    await locks.acquire(first, ROW)
    await locks.acquire(second, OTHER)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(locks.acquire, first, OTHER)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(Deadlock):
            await locks.acquire(second, ROW)
        locks.release(second)
    assert first.rows == {ROW, OTHER}


async def test_who_gave_up_waiting_is_in_no_circle() -> None:
    locks, first, second = Locks(), Writer(), Writer()
    await locks.acquire(first, ROW)
    await locks.acquire(second, OTHER)
    with anyio.move_on_after(0.01):
        await locks.acquire(first, OTHER)
    with anyio.move_on_after(0.01) as scope:
        await locks.acquire(second, ROW)
    assert scope.cancelled_caught
