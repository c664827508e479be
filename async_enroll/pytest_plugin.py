"""Fixtures for the tests of those who use async_enroll: a platform, and a client open on it.

pytest finds them by itself wherever the package is installed. They serve tests of every
kind: the platform has a thread of its own, and the client is on the loop of its test,
whether anyio's plugin or pytest-asyncio runs that.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

# Every run of pytest loads this module: what the fixtures need is loaded where they are used.
if TYPE_CHECKING:
    from async_enroll import EnrollmentClient
    from async_enroll.sandbox import Platform


@pytest.fixture
def enroll_platform_options() -> dict[str, Any]:
    """Arguments for the `Platform` of `enroll_platform`: none, unless a test overrides this."""
    return {}


@pytest.fixture
def enroll_platform(enroll_platform_options: dict[str, Any]) -> Iterator[Platform]:
    """A platform that is served during the test, without a throttle unless one is asked for."""
    from async_enroll.sandbox import Platform

    with Platform(**{"window": None, **enroll_platform_options}) as platform:
        yield platform


@pytest.fixture
def enroll_client(request: pytest.FixtureRequest) -> EnrollmentClient:
    """A client open on `enroll_platform`, for asynchronous tests.

    It is made for a platform as quick as this one: a call may last 5 s, half a second
    settles the fate of a lost one, and it sends as fast as the platform takes calls.
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
    """A function for a fixture: one each, for pytest-asyncio leaves its mark on them."""

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
    """Where pytest-asyncio is at work, open the client on each of its loops, too.

    Its strict mode takes up no fixtures but those that it has made itself.
    """
    if not config.pluginmanager.has_plugin("asyncio"):
        return
    from pytest_asyncio import fixture

    fixtures = ModuleType(f"{__name__}.on_pytest_asyncio")
    for scope in ("function", "class", "module", "package", "session"):
        setattr(fixtures, _on_pytest_asyncio(scope), fixture(_opening(), loop_scope=scope))
    config.pluginmanager.register(fixtures)
