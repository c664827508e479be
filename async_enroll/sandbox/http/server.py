"""Where the platform listens."""

from __future__ import annotations

from aiohttp import web

from async_enroll.sandbox.http.reset import reset
from async_enroll.sandbox.http.tasks import Tasks

_GRACE = 0.1
"""Seconds the calls in hand are given to end when the server is stopped."""


class Server:
    """Serves an application while it is up, always on the same port once it has been.

    `tasks` are what is being done for callers. `keep_alive`: seconds after which a connection
    is closed on which nothing is asked.
    """

    def __init__(self, tasks: Tasks, host: str, port: int, keep_alive: float) -> None:
        self._tasks = tasks
        self._host = host
        self._port = port
        self._keep_alive = keep_alive
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where it listens, or will again, without a trailing slash."""
        return f"http://{self._host}:{self._port}"

    async def start(self, application: web.Application) -> None:
        """Listen; raises OSError if the port is taken."""
        runner = web.AppRunner(
            application,
            access_log=None,
            shutdown_timeout=_GRACE,
            handler_cancellation=True,
            keepalive_timeout=self._keep_alive,
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._port = runner.addresses[0][1]
        self._runner = runner

    async def stop(self) -> None:
        """Listen no longer, give callers a moment to get their answers, undo what is not done."""
        if self._runner:
            await self._runner.cleanup()
            self._runner = None
        await self._tasks.cancel()

    async def crash(self) -> None:
        """Reset all connections and undo what is being done, at once."""
        if self._runner and self._runner.server:
            for site in self._runner.sites:
                await site.stop()
            for connection in self._runner.server.connections:
                if connection.transport:
                    reset(connection.transport)
            await self._tasks.cancel()
        await self.stop()
