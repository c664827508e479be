"""The platform's public face."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from contextlib import ExitStack
from datetime import datetime
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from anyio.from_thread import start_blocking_portal

from async_enroll.models import Enrollment, EnrollmentQuery, RequestWindow
from async_enroll.sandbox.access import Tokens
from async_enroll.sandbox.access_log import Request
from async_enroll.sandbox.accounts_view import AccountsView
from async_enroll.sandbox.answers import html_answer
from async_enroll.sandbox.bulk_enroll import Mail
from async_enroll.sandbox.bulk_enroll_view import BulkEnrollView
from async_enroll.sandbox.core_view import CoreView
from async_enroll.sandbox.course import Audit, Course, User
from async_enroll.sandbox.course_keys import is_course_key
from async_enroll.sandbox.database import Database, utc_minute
from async_enroll.sandbox.enrollments_view import EnrollmentsView
from async_enroll.sandbox.exchange import Exchange
from async_enroll.sandbox.faults import Fault, Faults
from async_enroll.sandbox.front import Front
from async_enroll.sandbox.gateway import Gateway
from async_enroll.sandbox.listing import ListingForm, matching
from async_enroll.sandbox.mishaps import Mishaps
from async_enroll.sandbox.pace import Pace
from async_enroll.sandbox.population import Population, populate
from async_enroll.sandbox.release import Release, release_named
from async_enroll.sandbox.server import Server
from async_enroll.sandbox.tasks import Tasks
from async_enroll.sandbox.throttle import Throttle
from async_enroll.sandbox.token_view import TokenView
from async_enroll.sandbox.workers import Workers


class Platform:
    """An embedded platform, served while the ``async with`` or ``with`` block lasts.

    ``async with`` serves it on the loop of the caller, ``with`` in a thread of its own: for
    callers who have no loop, or several. Its state can be prepared before, and looked at
    after that.

    `release`: which code it behaves like: ``"moocit"`` (the default), or Open edX's of
    ``"2020"``, ``"2022"``, ``"2025"`` or ``"2026"`` (see `Release`); another raises
    ValueError. `window`: how many bulk calls and pages of the core list are taken of one
    user; None switches the throttle off. `listing` and `page_size`: the form of MOOCit's
    enrollment listing; None: the site has none, as plain Open edX, where `listing` is of no
    account. `core_listing`: whether the site
    has Open edX's own list of enrollments, and tells of accounts. `seconds_per_call` and
    `seconds_per_pair`: how long a bulk call is worked on; calls are worked on side by side,
    by at most so many `workers` (None: any number), the others wait in line; beyond a
    `backlog` of so many, they are turned away with a 503. `gateway_timeout`: seconds after
    which the proxy answers a bulk call with a 504 (None: never). `body_limit`: bytes of the
    largest body the proxy takes. `bulk_enrollment_view`: whether the site has the bulk
    endpoint at all (`ENABLE_BULK_ENROLLMENT_VIEW`). `faults`: which bulk calls go wrong,
    and how. `token`: the staff token, a random one unless given. `token_lifetime`: seconds
    for which the tokens are good that applications get (`add_application`); `token_faults`:
    which of their requests for one go wrong. `port` 0 is any free one.

    A call is worked on to its end even when its client has left or the proxy has given
    up. Its mails leave pair by pair, its changes are seen when it ends; until then, calls
    that write to the same learner in the same course wait, and one that would close a
    circle of waiting is undone with a 500.
    """

    def __init__(
        self,
        *,
        release: str = "moocit",
        window: RequestWindow | None = RequestWindow(),
        listing: ListingForm | None = ListingForm.ARRAY,
        page_size: int = 100,
        core_listing: bool = True,
        seconds_per_call: float = 0.0,
        seconds_per_pair: float = 0.0,
        workers: int | None = None,
        backlog: int | None = None,
        gateway_timeout: float | None = None,
        body_limit: int = 1024 * 1024,
        bulk_enrollment_view: bool = True,
        faults: Faults | None = None,
        token: str | None = None,
        token_lifetime: float = 3600.0,
        token_faults: Faults | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.release: Release = release_named(release)
        self._database = Database()
        self._tokens = Tokens()
        self.token: str = self._tokens.add(staff=True, token=token)
        self.outbox: list[Mail] = []
        self._tasks = Tasks()
        self._front = Front(self._tasks, body_limit=body_limit)
        self._gateway = Gateway(gateway_timeout, self._tasks)
        self._workers = Workers(workers, backlog)
        self._mishaps = Mishaps(faults or Faults.schedule({}), self._tasks)
        self._token_mishaps = Mishaps(token_faults or Faults.schedule({}), self._tasks)
        self._token_view = TokenView(self._tokens, token_lifetime)
        throttle = Throttle(window) if window else None
        self._bulk_enroll = BulkEnrollView(
            self._database,
            self._tokens,
            self.outbox,
            throttle,
            Pace(seconds_per_call, seconds_per_pair),
        )
        self._bulk_paths = self.release.paths if bulk_enrollment_view else ()
        self._enrollments = (
            EnrollmentsView(self._database, self._tokens, listing, page_size).handle
            if listing and self.release.so2_listing
            else _not_found
        )
        core = CoreView(self._database, self._tokens, throttle)
        accounts = AccountsView(self._database, self._tokens)
        self._core_list = core.handle if core_listing else _not_found
        self._accounts = accounts.handle if core_listing else _not_found
        self._server = Server(self._tasks, host, port)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = ExitStack()

    async def __aenter__(self) -> Self:
        await self._server.start(self._application())
        self._loop = asyncio.get_running_loop()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop = None
        await self._server.stop()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal())
            stack.enter_context(portal.wrap_async_context_manager(self))
            self._thread = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._thread.close()

    def _application(self) -> web.Application:
        application = web.Application()
        bulk_enroll = self._gateway.before(
            self._mishaps.before(self._workers.before(self._bulk_enroll.handle))
        )
        for path, endpoint in (
            *((path, bulk_enroll) for path in self._bulk_paths),
            (
                "/oauth2/access_token",
                self._token_mishaps.before(self._workers.before(self._token_view.handle)),
            ),
            ("/api/so2/v1/enrollments", self._workers.before(self._enrollments)),
            ("/api/enrollment/v1/enrollments", self._workers.before(self._core_list)),
            ("/api/user/v1/accounts", self._workers.before(self._accounts)),
            ("/{path:.*}", _not_found),
        ):
            application.router.add_route("*", path, self._front.before(endpoint))
        return application

    async def crash(self) -> None:
        """Go down: calls in progress are undone, connections reset, and nobody listens.

        Everything else is kept for `restart`, mails and windows included.
        """
        await self._where_served(self._server.crash)

    async def restart(self) -> None:
        """Serve again after `crash`, at the same `url`.

        Raises OSError if somebody else has taken the port.
        """
        await self._where_served(lambda: self._server.start(self._application()))

    @property
    def url(self) -> str:
        """Where the platform is served, without a trailing slash; the same when it is down."""
        self._served_on()
        return self._server.url

    def _served_on(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise RuntimeError("the platform is not served; enter it with `async with` or `with`")
        return self._loop

    async def _where_served(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Have work done on the loop that serves the platform, whoever's loop this is."""
        there = self._served_on()
        if there is asyncio.get_running_loop():
            await work()
        else:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(), there))

    def add_token(self, *, staff: bool = True) -> str:
        """The token of one more user, with a window of their own."""
        return self._tokens.add(staff=staff)

    def add_application(self, *, staff: bool = True) -> tuple[str, str]:
        """The client id and secret with which one more user gets tokens of their own.

        Tokens come from ``/oauth2/access_token``: for ``token_type=jwt``, such as are sent as
        ``Authorization: JWT``, otherwise as ``Authorization: Bearer``.
        """
        return self._tokens.add_application(staff=staff)

    def revoke_tokens(self) -> None:
        """Refuse from now on all tokens that applications have got so far."""
        self._tokens.revoke()

    def add_course(
        self, course_id: str, *, cohorts: Iterable[str] = (), forbidden: bool = False
    ) -> None:
        """Add a course; a call that names a `forbidden` one ends in a 500, whoever calls.

        Raises ValueError for a malformed key or one that is taken.
        """
        if not is_course_key(course_id):
            raise ValueError(f"{course_id!r} is not a course key")
        self._database.add_course(Course(course_id, frozenset(cohorts), forbidden))

    def add_user(
        self, username: str, email: str, *, broken: bool = False, poisonous: bool = False
    ) -> None:
        """Register a learner, who is enrolled wherever that was waited for with `auto_enroll`.

        Calls flag a `broken` one as an error; a call with a `poisonous` one ends in a 500
        and is undone. Raises ValueError if username or address is taken.
        """
        self._database.add_user(User(username, email, broken, poisonous))

    def enroll(self, identifier: str, course_id: str, *, created: datetime | None = None) -> None:
        """Enroll a registered learner, without mail; `created` (default: now) is in UTC if naive.

        Raises LookupError for an unknown learner or course.
        """
        user = self._database.find_user(identifier)
        course = self._database.courses.get(course_id)
        if user is None or course is None:
            raise LookupError(f"no user {identifier!r} or no course {course_id!r}")
        course.enroll(user, utc_minute(created))

    def seed(self, learners: int, courses: int) -> Population:
        """Add a demo population, nobody enrolled yet; always the same for the same numbers.

        Learners are learner000001 <learner000001@example.org> and so on, courses
        course-v1:Demo+C001+2026 and so on, each with cohorts "Group A" and "Group B".
        """
        return populate(self._database, learners=learners, courses=courses)

    def is_enrolled(self, identifier: str, course_id: str) -> bool:
        """Whether a registered learner's enrollment is active."""
        course = self._database.courses.get(course_id)
        user = self._database.find_user(identifier)
        return course is not None and course.is_enrolled(user)

    def is_allowed(self, email: str, course_id: str) -> bool:
        """Whether a registration is, or was, waited for; Open edX keeps that on record."""
        course = self._database.courses.get(course_id)
        return course is not None and course.allowed.get(email.lower()) is not None

    def cohort_of(self, identifier: str, course_id: str) -> str | None:
        """A learner's cohort in a course; the learner may be registered or waited for."""
        course = self._database.courses.get(course_id)
        user = self._database.find_user(identifier)
        address = user.email if user else identifier
        return course.placements.get(address.lower()) if course else None

    @property
    def enrollments(self) -> list[Enrollment]:
        """What the listing shows, ended enrollments included."""
        return list(matching(self._database, EnrollmentQuery()))

    @property
    def audit(self) -> list[Audit]:
        """The platform's records of what was done to whom."""
        return self._database.audit

    @property
    def requests(self) -> list[Request]:
        """The access log, in the order the requests were answered."""
        return self._front.requests

    @property
    def in_flight_peak(self) -> int:
        """The most requests that were processed at once."""
        return self._workers.peak

    @property
    def faults_made(self) -> list[tuple[int, Fault]]:
        """The bulk calls that met a fault, by their number from 0."""
        return self._mishaps.made


async def _not_found(_: Exchange) -> web.StreamResponse:
    return html_answer(HTTPStatus.NOT_FOUND)
