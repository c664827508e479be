"""The request window of all processes with a token, as one of them uses it.

A background task exchanges with the store what this process and the others do: a place for each
call before it is sent, its answer afterwards. `shared.membership` decides what to tell, and what
the answers mean.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

import anyio

from async_enroll.cancellation import ended
from async_enroll.models import RequestWindow
from async_enroll.pacing.shared.log import Reply, Request
from async_enroll.pacing.shared.membership import Membership
from async_enroll.pacing.shared.store import Store, StoreError
from async_enroll.pacing.sliding_window import Call

LIMIT = 0.8
"""Seconds after which an exchange is given up: no call waits for the store longer than that."""

_TOO_SLOW = f"no answer within {LIMIT:g} s"

Report = Callable[[str | None], Awaitable[None]]
"""Called with why the store cannot be reached, and with None once it is reached again."""


async def probe(store: Store) -> float:
    """Try a store with an exchange of no effect; return how many seconds it took, and close it.

    Raises:
        StoreError: if it cannot be used.

    """
    began = anyio.current_time()
    request = Membership(RequestWindow(), 1, 1.0).request(began, leaves=True)
    try:
        with anyio.fail_after(LIMIT):
            await store.exchange(request)
        return anyio.current_time() - began
    except TimeoutError:
        raise StoreError(_TOO_SLOW) from None
    finally:
        await store.aclose()


class SharedWindow:
    """A `pacing.window.Window` that many processes share.

    `lease`: seconds, more than a call can take. While the store cannot be reached, the window is
    this process's own, which `report` is told once, and once more when that is over.
    """

    def __init__(
        self, window: RequestWindow, concurrency: int, *, lease: float, report: Report
    ) -> None:
        self._settings = window, concurrency, lease
        self._report = report
        self._membership = Membership(*self._settings)
        self._process = 0
        self._task: asyncio.Task[None] | None = None
        self._wanted: asyncio.Future[Call | None] | None = None
        self._is_closing = False
        self._woken = anyio.Event()

    def open(self, store: Store) -> None:
        """Begin to use `store`. What was opened in another process, before a fork, is let be."""
        self._membership = Membership(*self._settings)
        self._membership.away = False
        self._process = os.getpid()
        self._wanted, self._is_closing, self._woken = None, False, anyio.Event()
        self._task = asyncio.create_task(self._keep_up(store))

    async def aclose(self) -> None:
        """Tell the store of the last calls, and close it."""
        task, self._task = self._task, None
        if task is not None:
            self._is_closing = True
            self._woken.set()
            await ended(task)

    @property
    def in_flight(self) -> int:
        """The number of our calls that were sent and not yet answered."""
        return self._membership.own.in_flight

    def wait(self, now: float) -> float:
        """Seconds until there may be a place; infinite if a call in flight must return first."""
        return self._membership.wait(now)

    def reserve_at_once(self, now: float) -> Call | None:
        """Take a place, if the window is our own now; only after `wait` returned 0."""
        if self._membership.away or not self._is_kept_up(asyncio.get_running_loop()):
            return self._membership.send(now)
        return None

    async def reserve(self, now: float) -> Call | None:
        """Take a place, if there is one; only after `wait` returned 0."""
        if call := self.reserve_at_once(now):
            return call
        wanted: asyncio.Future[Call | None] = asyncio.get_running_loop().create_future()
        self._wanted = wanted
        self._woken.set()
        try:
            return await wanted
        except asyncio.CancelledError:
            if wanted.done() and not wanted.cancelled() and (call := wanted.result()):
                self.unsent(call)
            raise
        finally:
            self._wanted = None

    def answered(self, call: Call, now: float, *, worked: float = 0.0) -> None:
        """Record that the platform counted this call, or may have."""
        self._membership.answered(call, now, worked=worked)
        self._woken.set()

    def unsent(self, call: Call) -> None:
        """Give back the place of a call that never reached the platform."""
        self._membership.unsent(call, anyio.current_time())
        self._woken.set()

    def refused(self, call: Call, retry_after: float | None, now: float) -> bool:
        """Record a 429; return whether the calls of all processes explain it."""
        explained = self._membership.refused(call, retry_after, now)
        self._woken.set()
        return explained

    def hold(self, seconds: float) -> None:
        """Have all processes hold their calls for `seconds`."""
        self._membership.hold(seconds, anyio.current_time())
        self._woken.set()

    def _is_kept_up(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether somebody exchanges on our behalf: not after a fork, nor on another loop."""
        task = self._task
        return task is not None and self._process == os.getpid() and task.get_loop() is loop

    @property
    def _asking(self) -> asyncio.Future[Call | None] | None:
        """Where an answer is awaited to whether there is a place."""
        return None if self._wanted is None or self._wanted.done() else self._wanted

    async def _keep_up(self, store: Store) -> None:
        membership = self._membership
        try:
            while not self._is_closing:
                await self._exchange(store)
                await self._until_due()
            if not membership.away:
                request = membership.request(anyio.current_time(), leaves=True)
                with anyio.move_on_after(LIMIT):
                    await store.exchange(request)
        except StoreError:
            pass  # the last calls keep their places a little longer
        finally:
            membership.away = True
            self._settle(None)
            await store.aclose()

    async def _until_due(self) -> None:
        """Wait until an exchange is due, or the window is closed."""
        while not self._is_closing and self._asking is None:
            self._woken = anyio.Event()
            wait = self._membership.due - anyio.current_time()
            if wait <= 0:
                return
            with anyio.move_on_after(wait):
                await self._woken.wait()

    async def _exchange(self, store: Store) -> None:
        membership = self._membership
        reason = _TOO_SLOW
        asked, found = anyio.current_time(), None
        try:
            with anyio.move_on_after(LIMIT):
                found = await self._ask(store)
        except StoreError as error:
            reason = str(error)
        now = anyio.current_time()
        if found is None:
            is_news = membership.lost(now)
            self._settle(None)
            if is_news:
                await self._report(reason)
            return
        was_away = membership.away
        request, reply = found
        call = membership.take(request, reply, asked, now)
        if request.wants and reply.known:
            self._settle(call)
        if was_away:
            await self._report(None)

    async def _ask(self, store: Store) -> tuple[Request, Reply]:
        """Make a request; once more where a connection that has worked does no longer."""
        membership = self._membership
        wants = self._asking is not None
        request = membership.request(anyio.current_time(), wants=wants)
        try:
            return request, await store.exchange(request)
        except StoreError:
            if membership.away:
                raise
        membership.forgotten()
        request = membership.request(anyio.current_time(), wants=wants)
        return request, await store.exchange(request)

    def _settle(self, call: Call | None) -> None:
        """Answer who waits for a place; take it back if nobody does any more."""
        if self._asking is not None:
            self._asking.set_result(call)
        elif call is not None:
            self.unsent(call)
