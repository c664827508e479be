"""`Platform`: the embedded platform as callers use it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from contextlib import ExitStack
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from anyio.from_thread import start_blocking_portal

from async_enroll.models import Enrollment, RequestWindow
from async_enroll.sandbox.domain.bulk_enroll import BulkEnroll
from async_enroll.sandbox.domain.course_keys import is_course_key
from async_enroll.sandbox.domain.mail import Mail
from async_enroll.sandbox.domain.population import Population, populate
from async_enroll.sandbox.domain.release import Release, release_named
from async_enroll.sandbox.fault_plan import Fault, Faults
from async_enroll.sandbox.faults.mishaps import Mishaps
from async_enroll.sandbox.faults.pace import Pace
from async_enroll.sandbox.http.access import Tokens
from async_enroll.sandbox.http.access_log import Request
from async_enroll.sandbox.http.exchange import Endpoint
from async_enroll.sandbox.http.gate import Gate
from async_enroll.sandbox.http.server import Server
from async_enroll.sandbox.http.tasks import Tasks
from async_enroll.sandbox.http.throttle import Throttle
from async_enroll.sandbox.http.workers import Workers
from async_enroll.sandbox.playground import pages
from async_enroll.sandbox.proxy.firewall import Firewall
from async_enroll.sandbox.proxy.front import Front
from async_enroll.sandbox.proxy.gateway import Gateway
from async_enroll.sandbox.proxy.limit_req import Limiter, LimitReq
from async_enroll.sandbox.storage.collation import fold
from async_enroll.sandbox.storage.database import Database, utc_minute
from async_enroll.sandbox.storage.rows import MODE, Allowed, Audit, Course, Placement, User
from async_enroll.sandbox.views.accounts import AccountsView
from async_enroll.sandbox.views.bulk_enroll import BulkEnrollView
from async_enroll.sandbox.views.core_list import CoreView
from async_enroll.sandbox.views.listing import ListingForm
from async_enroll.sandbox.views.not_found import not_found
from async_enroll.sandbox.views.so2_listing import EnrollmentsView
from async_enroll.sandbox.views.token import TokenView


class Platform:
    """An embedded platform, served while the ``async with`` or ``with`` block lasts.

    ``async with`` serves it on the caller's event loop; ``with`` serves it in a thread of its own,
    for callers with no loop or several. Its state can be prepared before and inspected afterwards.

    `release`: the code it behaves like: ``"moocit"``, or Open edX's of ``"2020"``, ``"2022"``,
    ``"2025"`` or ``"2026"`` (see `Release`). Others raise ValueError.

    Endpoints: `listing` and `page_size` set the form of MOOCit's enrollment listing (None: no such
    listing, as on every other release); `core_listing`: whether it has Open edX's own list of
    enrollments, and accounts; `numbered_core_pages`: whether that list has numbered pages instead
    of a cursor; `accounts_tell_addresses`: whether staff see the addresses of accounts;
    `bulk_enrollment_view`: whether it has the bulk endpoint at all (`ENABLE_BULK_ENROLLMENT_VIEW`);
    `names_missing_courses`: whether its 404 names the missing course, as newer versions of Django
    REST framework do.

    Speed: `window`: how many bulk calls and pages of the core list it accepts from one user (None:
    any number); `seconds_per_call` and `seconds_per_pair`: the duration of a bulk call;
    `seconds_sigma`: its variation, as the sigma of a lognormal factor in a sequence that is always
    the same (with 0.5, half of the calls take 0.7 to 1.4 times as long); `workers`: how many calls
    are processed at once (None: any number) while others wait; `backlog`: how many may wait before
    others get a 503; `gateway_timeout`: seconds after which the proxy answers a bulk call with a
    504 (None: never); `limit_req`: how many bulk calls the proxy accepts a second (None: any
    number); `body_limit`: the largest body the proxy accepts, in bytes; `keep_alive`: seconds after
    which an idle connection is closed.

    Faults: `faults`: which bulk calls fail, and how; `token_faults`: the same for requests of a
    token by applications; `firewall`: a text whose presence in the body of a bulk call has it
    rejected.

    Callers: `token` and `username`: the staff token and its user, random by default;
    `token_lifetime`: seconds for which tokens of applications are valid (`add_application`). `port`
    0 chooses a free one. `playground`: whether ``/`` is a page that shows what happens; raises
    ConfigurationError without jinja2.

    A call is processed to its end even if its client has disconnected or the proxy has given up.
    Its mails leave pair by pair; its changes become visible when it ends. Until then, calls that
    write to the same learner in the same course wait. One that would close a circle of waiting
    calls meets a database error (`Fault.DATABASE_ERROR`).
    """

    def __init__(
        self,
        *,
        release: str = "moocit",
        window: RequestWindow | None = RequestWindow(),
        listing: ListingForm | None = ListingForm.ARRAY,
        page_size: int = 100,
        core_listing: bool = True,
        numbered_core_pages: bool = False,
        accounts_tell_addresses: bool = True,
        seconds_per_call: float = 0.0,
        seconds_per_pair: float = 0.0,
        seconds_sigma: float = 0.0,
        workers: int | None = None,
        backlog: int | None = None,
        gateway_timeout: float | None = None,
        limit_req: LimitReq | None = None,
        body_limit: int = 1024 * 1024,
        keep_alive: float = 75.0,
        bulk_enrollment_view: bool = True,
        names_missing_courses: bool = True,
        faults: Faults | None = None,
        token: str | None = None,
        username: str | None = None,
        token_lifetime: float = 3600.0,
        token_faults: Faults | None = None,
        firewall: str | None = None,
        playground: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.release: Release = release_named(release)
        self._database = Database()
        self._tokens = Tokens()
        self.token: str = self._tokens.add(staff=True, token=token, username=username)
        self.outbox: list[Mail] = []
        self._tasks = Tasks()
        self._front = Front(self._tasks, body_limit=body_limit)
        self._limiter = Limiter(limit_req)
        self._firewall = Firewall(firewall)
        self._gateway = Gateway(gateway_timeout, self._tasks)
        self._workers = Workers(workers, backlog)
        self._mishaps = Mishaps(faults or Faults.schedule({}), self._tasks)
        self._token_mishaps = Mishaps(token_faults or Faults.schedule({}), self._tasks)
        self._token_view = TokenView(self._tokens, token_lifetime)
        throttle = Throttle(window) if window else None
        enrolling = BulkEnrollView(
            BulkEnroll(self._database, self.release, self.outbox, names_missing_courses),
            Pace(seconds_per_call, seconds_per_pair, seconds_sigma),
        )
        self._bulk_enroll = self._gate("Bulk Enroll", "POST", throttle).before(enrolling.handle)
        self._bulk_paths = self.release.paths if bulk_enrollment_view else ()
        self._enrollments = (
            EnrollmentsView(self._database, self._tokens, listing, page_size).handle
            if listing and self.release.so2_listing
            else None
        )
        core = CoreView(self._database, self.release.list_filters, numbered_core_pages)
        accounts = AccountsView(self._database, accounts_tell_addresses)
        account_gate = self._gate("Account", "GET", None, staff_only=False)
        self._core = (
            {
                "/api/enrollment/v1/enrollments": self._gate(
                    "Course Enrollments Api List", "GET", throttle
                ).before(core.handle),
                "/api/user/v1/accounts": account_gate.before(accounts.accounts),
                "/api/user/v1/me": account_gate.before(accounts.me),
            }
            if core_listing
            else {}
        )
        busy = self._workers.busy
        self._pages = pages(self, self._database, busy, window) if playground else []
        self._server = Server(self._tasks, host, port, keep_alive)
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

    def _gate(
        self, name: str, method: str, throttle: Throttle | None, *, staff_only: bool = True
    ) -> Gate:
        return Gate(self._tokens, throttle, name, method, staff_only)

    def _application(self) -> web.Application:
        work = self._workers.before
        endpoints: dict[str, Endpoint[web.StreamResponse]] = {
            path: self._firewall.before(
                self._limiter.before(
                    self._gateway.before(self._mishaps.before(work(self._bulk_enroll)))
                )
            )
            for path in self._bulk_paths
        }
        endpoints["/oauth2/access_token"] = self._token_mishaps.before(
            work(self._token_view.handle)
        )
        if self._enrollments:
            endpoints["/api/so2/v1/enrollments"] = work(self._enrollments)
        endpoints |= {path: work(endpoint) for path, endpoint in self._core.items()}
        application = web.Application()
        application.add_routes(self._pages)
        for path, endpoint in endpoints.items():
            application.router.add_route("*", path, self._front.before(endpoint))
        application.router.add_route("*", "/{path:.*}", self._front.before(work(not_found)))
        return application

    async def crash(self) -> None:
        """Crash: roll back calls in progress, reset connections and stop listening.

        Everything else is kept for `restart`, including mails and windows.
        """
        await self._where_served(self._server.crash)

    async def restart(self) -> None:
        """Serve again after `crash`, at the same `url`.

        Raises OSError if the port is in use.
        """
        await self._where_served(lambda: self._server.start(self._application()))

    @property
    def url(self) -> str:
        """The URL of the platform, also while it is down, without a trailing slash."""
        self._served_on()
        return self._server.url

    def _served_on(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise RuntimeError("the platform is not served; enter it with `async with` or `with`")
        return self._loop

    async def _where_served(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a function on the loop that serves the platform, from any thread."""
        there = self._served_on()
        if there is asyncio.get_running_loop():
            await work()
        else:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(), there))

    def add_token(
        self,
        *,
        staff: bool = True,
        token: str | None = None,
        username: str | None = None,
        expired: bool = False,
    ) -> str:
        """Return the token of one more user, who has a window of their own.

        `token` and `username` are random by default. `expired`: whether the token is no longer
        valid.
        """
        return self._tokens.add(staff=staff, token=token, username=username, expired=expired)

    def add_application(self, *, staff: bool = True) -> tuple[str, str]:
        """Return the client id and secret of an application with a user of its own.

        Its tokens come from ``/oauth2/access_token``: with ``token_type=jwt`` for ``Authorization:
        JWT``, otherwise for ``Authorization: Bearer``.
        """
        return self._tokens.add_application(staff=staff)

    def revoke_tokens(self) -> None:
        """Revoke all tokens that applications have obtained so far."""
        self._tokens.revoke()

    def add_course(
        self, course_id: str, *, cohorts: Iterable[str] = (), forbidden: bool = False
    ) -> None:
        """Add a course. Before 2025, a call that names a `forbidden` one ends with a 500.

        Raises ValueError for a malformed key, or one that is taken.
        """
        if not is_course_key(course_id):
            raise ValueError(f"{course_id!r} is not a course key")
        self._database.add_course(Course(course_id, frozenset(cohorts), forbidden))

    def add_user(
        self,
        username: str,
        email: str,
        *,
        active: bool = True,
        leaving: bool = False,
        broken: bool = False,
        poisonous: bool = False,
        mail_fails: bool = False,
        database_fails: bool = False,
    ) -> None:
        """Register a learner, and enroll them where they were allowed with `auto_enroll`.

        Without `active`, the account is not activated: calls allow instead of enroll it (except on
        2020), until `activate`. `leaving`: the owner has asked to be retired, and calls do not know
        the name. Calls flag a `broken` learner, such as one without a profile, as an error and
        change nothing. A call with a `poisonous` one ends with a 500 and is rolled back, as does
        one that names two users at once. `mail_fails`: mail to them cannot be sent;
        `database_fails`: the database refuses to enroll them; see the `Fault` of that name. Raises
        ValueError if username or address is taken.
        """
        self._database.add_user(
            User(
                username,
                email,
                active=active,
                leaving=leaving,
                broken=broken,
                poisonous=poisonous,
                mail_fails=mail_fails,
                database_fails=database_fails,
            )
        )

    def activate(self, username: str) -> None:
        """Activate a learner's account, and enroll them as `add_user` does.

        Raises LookupError for an unknown learner.
        """
        self._database.activate(self._user(username))

    def add_retired_user(self, username: str, email: str) -> None:
        """Register a learner who has been retired since: calls change nothing for `email`.

        The account remains, inactive and with another address. Raises ValueError if the username is
        taken.
        """
        self._database.add_user(User(username, f"retired__{username}@retired.invalid", False))
        self._database.retire(email)

    def enroll(
        self,
        identifier: str,
        course_id: str,
        *,
        created: datetime | None = None,
        mode: str = MODE,
    ) -> None:
        """Enroll a registered learner, without mail; `created` (default: now) is in UTC if naive.

        A new enrollment is in `mode`; one that was ended is resumed as it was.

        Raises LookupError for an unknown learner or course.
        """
        user = self._user(identifier)
        if self._database.course(course_id) is None:
            raise LookupError(f"no course {course_id!r}")
        self._database.rows(course_id).enroll(user, utc_minute(created), mode)

    def allow(self, email: str, course_id: str, *, auto_enroll: bool = True) -> None:
        """Allow an address, registered or not, in a course, without mail: it awaits registration.

        Raises LookupError for an unknown course.
        """
        if self._database.course(course_id) is None:
            raise LookupError(f"no course {course_id!r}")
        self._database.rows(course_id).allow(email, auto_enroll=auto_enroll)

    def _user(self, identifier: str) -> User:
        user = self._database.find_user(identifier)
        if user is None:
            raise LookupError(f"no user {identifier!r}")
        return user

    def seed(self, learners: int, courses: int) -> Population:
        """Add demo learners and courses without enrollments; the same ones for the same numbers.

        Learners are learner000001 <learner000001@example.org> and so on; courses are
        course-v1:Demo+C001+2026 and so on, each with the cohorts "Group A" and "Group B".
        """
        return populate(self._database, learners=learners, courses=courses)

    def is_enrolled(self, identifier: str, course_id: str) -> bool:
        """Whether a registered learner's enrollment is active."""
        user = self._database.find_user(identifier)
        return self._database.rows(course_id).is_enrolled(user)

    def is_allowed(self, email: str, course_id: str) -> bool:
        """Whether an address awaits, or awaited, registration: Open edX keeps the record."""
        return self._database.rows(course_id).waits_for(email) is not None

    def cohort_of(self, identifier: str, course_id: str) -> str | None:
        """Return the cohort of a learner, registered or allowed, in a course."""
        user = self._database.find_user(identifier)
        rows = self._database.rows(course_id)
        if user:
            placement = rows.cohorts.get(fold(user.username))
        else:
            placement = rows.precohorts.get(fold(identifier))
        return placement.cohort if placement else None

    @property
    def enrollments(self) -> list[Enrollment]:
        """All enrollments, including inactive ones and those in missing courses."""
        return [row for rows in self._database.all_rows() for row in rows.enrollments]

    @property
    def allowed(self) -> list[Allowed]:
        """The addresses that await, or awaited, registration, by course."""
        return [row for rows in self._database.all_rows() for row in rows.allowed]

    @property
    def cohorts(self) -> list[Placement]:
        """The cohorts of registered learners."""
        return [row for rows in self._database.all_rows() for row in rows.cohorts]

    @property
    def precohorts(self) -> list[Placement]:
        """The cohorts of addresses that await registration."""
        return [row for rows in self._database.all_rows() for row in rows.precohorts]

    @property
    def audit(self) -> list[Audit]:
        """The platform's audit records."""
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
