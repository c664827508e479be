"""Producers that never outlive their consumers."""

import asyncio
import gc
from collections.abc import AsyncGenerator
from contextlib import aclosing

import anyio
import anyio.lowlevel
import pytest

from async_enroll.jobs.producers import Background
from async_enroll.models import Emit
from async_enroll.pacing.request_slots import RequestSlots
from tests.waiting import until


class Endless:
    """Emits numbers for ever; knows whether it is still at it."""

    def __init__(self) -> None:
        self.running = 0
        self.emitted = 0

    async def __call__(self, emit: Emit[int]) -> None:
        self.running += 1
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anyio.sleep_forever)
                while True:
                    await emit(self.emitted)
                    self.emitted += 1
        finally:
            self.running -= 1


async def others_than_this() -> set[asyncio.Task[object]]:
    gc.collect()
    await asyncio.sleep(0.01)
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


async def first(values: AsyncGenerator[int]) -> int:
    async for value in values:
        return value
    raise AssertionError("no value")


async def test_a_consumer_that_leaves_its_loop_ends_the_producer() -> None:
    before = await others_than_this()
    produce = Endless()
    assert await first(Background().stream(produce, buffer=3)) == 0
    gc.collect()
    await until(lambda: asyncio.all_tasks() - {asyncio.current_task()} <= before)
    assert produce.running == 0
    assert produce.emitted <= 5  # three ahead, one in hand, one waiting


async def test_a_consumer_that_is_cancelled_ends_the_producer_before_it_ends() -> None:
    produce = Endless()
    async with anyio.create_task_group() as tasks:

        async def consume() -> None:
            async with aclosing(Background().stream(produce, buffer=0)) as values:
                async for _ in values:
                    await anyio.sleep_forever()

        tasks.start_soon(consume)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert produce.running == 0


class Slow(Endless):
    """Takes its time to end, once it is cancelled."""

    async def __call__(self, emit: Emit[int]) -> None:
        try:
            await super().__call__(emit)
        finally:
            self.running += 1
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.05)
            self.running -= 1


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_a_consumer_that_is_cancelled_again_waits_for_the_producer(times: int) -> None:
    produce = Slow()

    async def consume() -> None:
        async for _ in Background().stream(produce, buffer=0):
            pass  # a slow loop would be cancelled outside of the stream

    before = await others_than_this()
    consumer = asyncio.create_task(consume())
    await asyncio.sleep(0.005)
    for _ in range(times):
        consumer.cancel()
        await asyncio.sleep(0.005)
    with pytest.raises(asyncio.CancelledError):
        await consumer
    assert produce.running == 0
    assert await others_than_this() == before


async def test_closing_is_cancelled_only_once_all_producers_have_ended() -> None:
    background, producers = Background(), [Slow(), Slow(), Slow()]
    streams = [background.stream(produce, buffer=0) for produce in producers]
    for stream in streams:
        await anext(stream)
    closing = asyncio.create_task(background.aclose())
    for _ in range(2):
        await asyncio.sleep(0.005)
        closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert [produce.running for produce in producers] == [0, 0, 0]
    for stream in streams:
        await stream.aclose()


async def test_a_consumer_that_is_cancelled_while_all_is_closed_waits_as_well() -> None:
    background, produce = Background(), Slow()

    async def consume() -> None:
        async for _ in background.stream(produce, buffer=0):
            await asyncio.sleep(0)

    consumer = asyncio.create_task(consume())
    await asyncio.sleep(0.005)
    closing = asyncio.create_task(background.aclose())
    await asyncio.sleep(0.005)
    consumer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await consumer
    assert produce.running == 0
    await closing


async def test_closing_ends_all_producers() -> None:
    background, produce = Background(), Endless()
    streams = [background.stream(produce, buffer=0) for _ in range(3)]
    for stream in streams:
        assert await anext(stream) >= 0
    assert produce.running == 3
    await background.aclose()
    assert produce.running == 0
    for stream in streams:
        await stream.aclose()


async def test_what_the_producer_raises_comes_after_what_it_emitted() -> None:
    async def produce(emit: Emit[int]) -> None:
        await emit(1)
        raise LookupError("broken")

    stream = Background().stream(produce, buffer=5)
    assert await anext(stream) == 1
    with pytest.raises(LookupError, match="broken"):
        await anext(stream)


async def test_an_exception_that_nobody_waits_for_is_silent() -> None:
    async def produce(emit: Emit[int]) -> None:
        try:
            await emit(1)
            await anyio.sleep_forever()
        finally:
            raise LookupError("broken")

    assert await first(Background().stream(produce, buffer=0)) == 1
    await others_than_this()  # an exception never retrieved would be logged here, and fail


async def test_slots_bound_what_is_held() -> None:
    slots = RequestSlots(2)
    held = peak = 0

    async def hold() -> None:
        nonlocal held, peak
        async with slots.slot():
            held += 1
            peak = max(peak, held)
            await anyio.sleep(0.01)
            held -= 1

    async with anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(hold)
    assert peak == 2


async def test_a_lent_slot_stays_with_a_consumer_that_does_not_wait() -> None:
    slots = RequestSlots(1)
    order: list[str] = []

    async def other() -> None:
        async with slots.slot():
            order.append("other")

    async with anyio.create_task_group() as tasks, slots.slot() as slot:
        tasks.start_soon(other)
        await anyio.wait_all_tasks_blocked()
        async with slot.lent():
            order.append("mine")
        await asyncio.sleep(0)
        order.append("still mine")
    assert order == ["mine", "still mine", "other"]


async def test_a_lent_slot_serves_others_while_its_consumer_waits() -> None:
    slots = RequestSlots(1)
    async with slots.slot() as slot:
        async with slot.lent(), slots.slot():
            await anyio.lowlevel.checkpoint()
        with anyio.move_on_after(0.05) as scope:
            async with slots.slot():
                pass
    assert scope.cancelled_caught  # it was taken back
    async with slots.slot():
        pass
