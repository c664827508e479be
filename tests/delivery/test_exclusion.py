"""Calls that may name the same learner go one after the other, and none is passed over."""

import asyncio
import time
from contextlib import AsyncExitStack
from functools import partial

import anyio
import pytest
from anyio.abc import TaskGroup

from async_enroll.delivery.exclusion import Exclusion
from async_enroll.models import Action, Batch

SETTLE = 0.5
C0, C1 = "course-v1:Org+C0+2026", "course-v1:Org+C1+2026"


class Calls:
    """Calls by name: those that are under way, and those that were stopped while they waited."""

    def __init__(self, tasks: TaskGroup) -> None:
        self.exclusion = Exclusion(SETTLE)
        self.under_way: list[str] = []
        self.waited: list[str] = []
        self.stopped: list[str] = []
        self.going_on: list[str] = []
        self._tasks = tasks
        self._ends: dict[str, anyio.Event] = {}

    async def begin(
        self, name: str, *, course: str = C0, scope: anyio.CancelScope | None = None
    ) -> None:
        self._ends[name] = anyio.Event()
        self._tasks.start_soon(self._call, name, course, scope or anyio.CancelScope())
        await anyio.wait_all_tasks_blocked()

    async def _call(self, name: str, course: str, scope: anyio.CancelScope) -> None:
        async with self.exclusion.sole(
            Batch(Action.ENROLL, (course,), (name,)),
            waiting=lambda: self.waited.append(name),
            until_stopped=lambda: scope,
            owner=name,
            goes_on=lambda: name in self.going_on,
        ) as free:
            if not free:
                self.stopped.append(name)
                return
            self.under_way.append(name)
            await self._ends[name].wait()
            self.under_way.remove(name)

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await anyio.wait_all_tasks_blocked()


async def test_calls_go_in_order_of_arrival() -> None:
    async with anyio.create_task_group() as tasks:
        calls = Calls(tasks)
        await calls.begin("jane@example.org")
        await calls.begin("joe@example.org")
        await calls.begin("joe")
        assert calls.under_way == ["jane@example.org", "joe@example.org"]
        assert calls.waited == ["joe"]
        await calls.begin("jim@example.org")  # or "joe" would wait for as long as others come
        await calls.begin("jim@example.com", course=C1)
        assert calls.under_way == ["jane@example.org", "joe@example.org", "jim@example.com"]
        await calls.end("jane@example.org")
        assert "joe" not in calls.under_way
        await calls.end("joe@example.org")
        assert calls.under_way == ["jim@example.com", "joe"]
        await calls.end("joe")
        assert calls.under_way == ["jim@example.com", "jim@example.org"]
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize(("first", "second"), [("zoe", "Zo\u00eb"), ("Jane", "jane")])
async def test_names_that_may_be_one_learner(first: str, second: str) -> None:
    async with anyio.create_task_group() as tasks:
        calls = Calls(tasks)
        await calls.begin(first)
        await calls.begin(second)
        await calls.begin("other")
        assert calls.under_way == [first, "other"]
        tasks.cancel_scope.cancel()


async def test_whoever_is_stopped_while_waiting_excludes_nobody() -> None:
    async with anyio.create_task_group() as tasks:
        calls, scope = Calls(tasks), anyio.CancelScope()
        await calls.begin("jane")
        await calls.begin("jane@example.org", scope=scope)
        await calls.begin("joe")
        assert calls.under_way == ["jane"]
        scope.cancel()
        await anyio.wait_all_tasks_blocked()
        assert calls.stopped == ["jane@example.org"]
        assert calls.under_way == ["jane", "joe"]
        tasks.cancel_scope.cancel()


async def test_a_cancelled_call_leaves_nothing_behind() -> None:
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(anyio.create_task_group())
        calls = Calls(tasks)
        await calls.begin("jane")
        await calls.begin("jane@example.org")
        tasks.cancel_scope.cancel()
    with anyio.fail_after(5):
        batch = Batch(Action.ENROLL, (C0,), ("jane",))
        async with calls.exclusion.sole(
            batch, waiting=pytest.fail, until_stopped=anyio.CancelScope
        ) as free:
            assert free


@pytest.mark.parametrize("settled", [False, True])
async def test_a_call_may_exclude_others_until_its_owner_is_settled(settled: bool) -> None:
    async with anyio.create_task_group() as tasks:
        calls = Calls(tasks)
        await calls.begin("jane")
        await calls.begin("jane@example.org")
        calls.going_on.append("jane")
        since = anyio.current_time()
        await calls.end("jane")
        assert calls.under_way == []
        if settled:
            calls.exclusion.settled("jane")
        with anyio.fail_after(5):
            while not calls.under_way:
                await anyio.sleep(0.01)
        assert calls.under_way == ["jane@example.org"]
        assert (anyio.current_time() < since + SETTLE) == settled
        tasks.cancel_scope.cancel()


def test_hundreds_of_calls_that_wait_for_each_other_cost_little() -> None:
    async def all_of_them() -> None:
        exclusion = Exclusion(SETTLE)

        async def call(name: str) -> None:
            async with exclusion.sole(
                Batch(Action.ENROLL, (C0,), (name,)),
                waiting=int,
                until_stopped=anyio.CancelScope,
            ):
                await asyncio.sleep(0)

        async with anyio.create_task_group() as tasks:
            for number in range(200):
                tasks.start_soon(call, f"learner{number}")
                tasks.start_soon(call, f"learner{number}@example.org")

    since = time.process_time()
    asyncio.run(all_of_them())
    assert time.process_time() - since < 2.0  # it takes a twentieth of that


def test_a_client_that_is_opened_again_on_another_loop_does_not_wait_for_ever() -> None:
    """A loop may have been closed while a call went on to exclude others."""
    exclusion = Exclusion(SETTLE)
    batch = Batch(Action.UNENROLL, (C0,), ("jane",))

    async def call(*, goes_on: bool) -> None:
        async with exclusion.sole(
            batch, waiting=list, until_stopped=anyio.CancelScope, goes_on=lambda: goes_on
        ) as free:
            assert free

    anyio.run(partial(call, goes_on=True))
    since = time.monotonic()
    anyio.run(partial(call, goes_on=False))
    assert time.monotonic() >= since + SETTLE


async def test_a_call_that_an_earlier_run_has_lost() -> None:
    async with anyio.create_task_group() as tasks:
        calls = Calls(tasks)
        calls.exclusion.lost(Batch(Action.UNENROLL, (C0,), ("jane",)), owner="lost")
        await calls.begin("jane@example.org")
        assert not calls.under_way
        calls.exclusion.settled("lost")
        await anyio.wait_all_tasks_blocked()
        assert calls.under_way == ["jane@example.org"]
        tasks.cancel_scope.cancel()
