"""The listening server."""

from __future__ import annotations

from aiohttp import web

from async_enroll.sandbox.http.reset import reset
from async_enroll.sandbox.http.tasks import Tasks

_GRACE = 0.1
"""Seconds for calls to end when the server is stopped."""


class Server:
    """Serves an application, always on the same port after the first start.

    `tasks` is the work for callers. `keep_alive`: seconds after which an idle connection is closed.
    """

    def __init__(self, tasks: Tasks, host: str, port: int, keep_alive: float) -> None:
        self._tasks = tasks
        self._host = host
        self._port = port
        self._keep_alive = keep_alive
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """The URL, also while it is down, without a trailing slash."""
        return f"http://{self._host}:{self._port}"

    async def start(self, application: web.Application) -> None:
        """Listen. Raises OSError if the port is in use."""
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
        """Stop listening, give calls a moment to end, roll back the others."""
        if self._runner:
            await self._runner.cleanup()
            self._runner = None
        await self._tasks.cancel()

    async def crash(self) -> None:
        """Reset all connections and roll back all calls, at once."""
        if self._runner and self._runner.server:
            for site in self._runner.sites:
                await site.stop()
            for connection in self._runner.server.connections:
                if connection.transport:
                    reset(connection.transport)
            await self._tasks.cancel()
        await self.stop()
