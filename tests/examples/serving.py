"""The example web services, served on loopback."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from types import ModuleType
from typing import Any

import anyio
import pytest
import uvicorn
from aiohttp import web

from async_enroll import EnrollmentClient
from tests.examples.loading import program
from tests.waiting import until


@asynccontextmanager
async def aiohttp_web(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> AsyncIterator[str]:
    """Serve the application for aiohttp.web with the options it is run with; give the URL."""
    options: dict[str, Any] = {}

    def run_app(_: web.Application, *, host: str, **given: Any) -> None:
        assert host == "127.0.0.1"
        options.update(given)

    monkeypatch.setattr(web, "run_app", run_app)
    module = program("aiohttp_web", run_as="__main__")
    _configure(module, monkeypatch, settings)
    runner = web.AppRunner(module.app, shutdown_timeout=1, **options)
    await runner.setup()
    with _listener() as listener:
        try:
            await web.SockSite(runner, listener).start()
            yield _url(listener)
        finally:
            await runner.cleanup()


@asynccontextmanager
async def fastapi(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> AsyncIterator[str]:
    """Serve the application for FastAPI under uvicorn; give the URL."""
    module = program("fastapi_app")
    _configure(module, monkeypatch, settings)
    server = uvicorn.Server(uvicorn.Config(module.app, log_level="warning"))
    with _listener() as listener:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listener])
            await until(lambda: server.started)
            yield _url(listener)
            server.should_exit = True


def _configure(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    """Scale the client: its settings are all that differs from the example."""
    monkeypatch.setattr(module, "EnrollmentClient", partial(EnrollmentClient, **settings))


def _listener() -> socket.socket:
    """Its connections take little before they make the writer wait, as a slow network does."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return listener


def _url(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"
