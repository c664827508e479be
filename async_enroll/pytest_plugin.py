"""pytest fixtures for users of async_enroll: a sandbox platform and a client connected to it.

pytest loads them wherever the package is installed. The platform runs in its own thread and
serves any test; the client runs on the test's event loop, under anyio's plugin or
pytest-asyncio.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

# pytest loads this module in every run; the fixtures import what they need when they are used.
if TYPE_CHECKING:
    from async_enroll import EnrollmentClient
    from async_enroll.sandbox import Platform


@pytest.fixture
def enroll_platform_options() -> dict[str, Any]:
    """Keyword arguments for the `Platform` of `enroll_platform`. Override it; default: none."""
    return {}


@pytest.fixture
def enroll_platform(enroll_platform_options: dict[str, Any]) -> Iterator[Platform]:
    """A running sandbox platform, without a throttle unless the options set `window`."""
    from async_enroll.sandbox import Platform

    with Platform(**{"window": None, **enroll_platform_options}) as platform:
        yield platform


@pytest.fixture
def enroll_client(request: pytest.FixtureRequest) -> EnrollmentClient:
    """A client connected to `enroll_platform`, for asynchronous tests.

    Its settings suit a fast platform: `timeout` and `patience` are 5 seconds, `settle` is half
    a second, and `window` is the platform's, or practically unlimited where it has none.
    """
    marker = request.node.get_closest_marker("asyncio")
    if "anyio_backend" in request.fixturenames:
        name = "_enroll_client_on_anyio"
    elif marker:
        default = request.config.getini("asyncio_default_test_loop_scope")
        name = _on_pytest_asyncio(marker.kwargs.get("loop_scope", default))
    else:
        pytest.fail(
            "enroll_client is for asynchronous tests that anyio's plugin or pytest-asyncio runs; "
            "others find the platform's url and token in enroll_platform",
            pytrace=False,
        )
    client: EnrollmentClient = request.getfixturevalue(name)
    return client


def _opening() -> Callable[..., AsyncIterator[EnrollmentClient]]:
    """A new function for each fixture, since pytest-asyncio sets attributes on it."""

    async def client(
        enroll_platform: Platform, enroll_platform_options: dict[str, Any]
    ) -> AsyncIterator[EnrollmentClient]:
        from async_enroll import EnrollmentClient, RequestWindow

        async with EnrollmentClient(
            enroll_platform.url,
            enroll_platform.token,
            window=enroll_platform_options.get("window") or RequestWindow(1_000_000, 1),
            timeout=5,
            settle=0.5,
            patience=5,
        ) as opened:
            yield opened

    return client


_enroll_client_on_anyio = pytest.fixture(_opening())


def _on_pytest_asyncio(loop_scope: str) -> str:
    return f"_enroll_client_on_pytest_asyncio_{loop_scope}"


def pytest_configure(config: pytest.Config) -> None:
    """Register client fixtures for every loop scope of pytest-asyncio, where it is active.

    Its strict mode handles only fixtures made with its own decorator.
    """
    if not config.pluginmanager.has_plugin("asyncio"):
        return
    from pytest_asyncio import fixture

    fixtures = ModuleType(f"{__name__}.on_pytest_asyncio")
    for scope in ("function", "class", "module", "package", "session"):
        setattr(fixtures, _on_pytest_asyncio(scope), fixture(_opening(), loop_scope=scope))
    config.pluginmanager.register(fixtures)
