"""The sandbox's own page at `/`: courses, enrollments, mails and calls, updated as they change.

Real platforms have no such page. It reads the database and the access log, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from aiohttp import web

from async_enroll.errors import ConfigurationError
from async_enroll.models import RequestWindow
from async_enroll.sandbox.domain.mail import Mail
from async_enroll.sandbox.domain.release import Release
from async_enroll.sandbox.fault_plan import Fault
from async_enroll.sandbox.http.access_log import Request
from async_enroll.sandbox.storage.database import Database


class Site(Protocol):
    """What the page shows of a `Platform` beside its database."""

    release: Release
    outbox: list[Mail]

    @property
    def requests(self) -> Sequence[Request]:
        """The access log."""

    @property
    def faults_made(self) -> Sequence[tuple[int, Fault]]:
        """The bulk calls that met a fault."""


def pages(
    site: Site, database: Database, busy: Callable[[], int], window: RequestWindow | None
) -> list[web.RouteDef]:
    """The page's route. `busy` counts the requests in progress, `window` is the throttle's.

    Raises:
        ConfigurationError: if jinja2 is not installed.

    """
    try:
        from async_enroll.sandbox.playground.page import Playground
    except ImportError:
        raise ConfigurationError(
            'the playground needs jinja2: pip install "async_enroll[cli]"'
        ) from None
    return [web.get("/", Playground(site, database, busy, window).show)]
