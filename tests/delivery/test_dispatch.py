"""The calls of one job, and those who wait to send them."""

import asyncio
from itertools import count
from typing import cast

import anyio

from async_enroll import RequestWindow
from async_enroll.delivery.attempt import Attempt
from async_enroll.delivery.dispatch import Dispatch
from async_enroll.delivery.event_log import EventLog
from async_enroll.events import BatchSent, Event
from async_enroll.models import Action, Batch
from async_enroll.pacing.circuit_breaker import CircuitBreaker
from async_enroll.pacing.throttle import Throttle
from async_enroll.platform.bulk_enroll import BulkEnrollApi
from async_enroll.platform.json import BulkAnswer
from tests.clock import simulated


class Answering:
    """The endpoint of a platform that answers every call at once."""

    async def bulk_enroll(self, *_: object, **__: object) -> BulkAnswer:
        return BulkAnswer({})

    async def up(self) -> bool:
        return True


@simulated
async def test_who_comes_while_one_who_waits_is_woken_waits_behind() -> None:
    sent: list[str] = []

    def noted(event: Event) -> None:
        if isinstance(event, BatchSent):
            sent.extend(event.batch.identifiers)

    api, throttle = Answering(), Throttle(RequestWindow(), concurrency=8, patience=300)
    dispatch = Dispatch(
        cast(BulkEnrollApi, api),
        throttle,
        CircuitBreaker(300, api.up),
        EventLog(1, on_event=noted),
        calls=count(1),
        auto_enroll=True,
        reason=None,
        mail_changed=False,
    )

    async def send(who: str) -> None:
        batch = Batch(Action.ENROLL, ("course-v1:Org+C0+2026",), (who,))
        await dispatch.send(Attempt(batch, email=False), asyncio.Event())

    async def send_once_nobody_waits(who: str) -> None:
        while dispatch.is_waiting:
            await asyncio.sleep(0)
        await send(who)

    throttle.hold(1)
    async with anyio.create_task_group() as calls:
        for who in ("first", "second"):
            calls.start_soon(send, who)
        await asyncio.sleep(0.5)
        calls.start_soon(send_once_nobody_waits, "third")
    assert sent == ["first", "second", "third"]
