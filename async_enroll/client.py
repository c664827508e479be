"""EnrollmentClient, the face: one object for the life of an application or a job."""

from __future__ import annotations

import asyncio
import math
import os
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from itertools import chain
from types import TracebackType
from typing import Self

import aiohttp
from attrs import evolve

from async_enroll.delivery.event_log import OnEvent
from async_enroll.errors import ConfigurationError, EnrollError
from async_enroll.http.client_credentials import ClientCredentials
from async_enroll.http.site import site_url
from async_enroll.http.tokens import Auth, BearerToken, Secret, SignIn
from async_enroll.http.transport import Transport
from async_enroll.jobs.inputs import AnyIterable, cross_product, each
from async_enroll.jobs.jobs import EmitBlocks, Jobs, Options, RunJob
from async_enroll.jobs.producers import Background
from async_enroll.jobs.runner import Signal
from async_enroll.models import (
    Action,
    BatchLimits,
    Emit,
    Enrollment,
    EnrollmentQuery,
    EnrollmentResult,
    ListingKind,
    RequestWindow,
    RosterEntry,
)
from async_enroll.pacing.circuit_breaker import CircuitBreaker
from async_enroll.pacing.request_slots import RequestSlots
from async_enroll.pacing.throttle import Throttle
from async_enroll.planning.batching import Place
from async_enroll.planning.plan import Plan
from async_enroll.platform.accounts import Accounts
from async_enroll.platform.bulk_enroll import BulkEnrollApi
from async_enroll.platform.concurrent_queries import side_by_side
from async_enroll.platform.enrollments import reader
from async_enroll.reports.report import EnrollmentReport, ReportBuilder
from async_enroll.results import Block


class EnrollmentClient:
    """Moves learners in and out of courses, and lists who is enrolled.

    Use it as an asynchronous context manager, one for each site, shared by all tasks:
    they share its request window and its connections. ::

        async with EnrollmentClient("https://courses.example.org", token) as client:
            report = await client.bulk_enroll(["jane@example.org"], ["course-v1:Org+C1+2026"])

    Args:
        base_url: The site. Plain http only to loopback, unless `allow_http`.
        auth: A bearer token; `ClientCredentials`, to sign in on any Open edX site; or an
            object that gives the ``Authorization`` header.
        window: How many bulk calls the platform takes in how many seconds.
        concurrency: How many calls are in flight at most; the same again for queries.
        batch: How large one call may grow.
        timeout: Seconds for one call; for a query, seconds of silence.
        settle: Seconds after which a lost call is taken to have ended, one way or the other; and
            after which a listing that is read to find out which is given up.
        patience: Seconds to wait for a platform that fails or refuses every call, or asks to be
            left alone, before a job stops.
        listing: Where enrollments are read: "so2", MOOCit's reporting API; "core", Open edX's own
            list; "auto", the one of these that the site has.
        on_event: Called with every event of every job (`async_enroll.events`), as it happens;
            it must not block, and what it raises is logged and goes no further.
        session: An aiohttp session to use and leave open, with its own TLS and proxies; None for
            sessions of the client's own.
        ssl_context: How TLS is done, with another authority or a client certificate, say; None
            for the system's authorities, or those in ``SSL_CERT_FILE``.
        trust_env: Whether the proxy that ``HTTPS_PROXY`` or ``HTTP_PROXY`` names is used, except
            for what ``NO_PROXY`` lists; ~/.netrc is not read.
        allow_http: Whether plain http to other hosts is meant.

    Raises:
        ConfigurationError: where one of these cannot work, saying what is expected.

    """

    def __init__(
        self,
        base_url: str,
        auth: str | Auth | ClientCredentials,
        *,
        window: RequestWindow = RequestWindow(),
        concurrency: int = 8,
        batch: BatchLimits = BatchLimits(),
        timeout: float = 60.0,
        settle: float = 60.0,
        patience: float = 300.0,
        listing: ListingKind = "auto",
        on_event: OnEvent | None = None,
        session: aiohttp.ClientSession | None = None,
        ssl_context: ssl.SSLContext | None = None,
        trust_env: bool = True,
        allow_http: bool = False,
    ) -> None:
        source, auth = Secret(auth), ""  # what raises below must not hold the token
        for name, given, kind in (
            ("base_url", base_url, str),
            ("window", window, RequestWindow),
            ("concurrency", concurrency, int),
            ("batch", batch, BatchLimits),
        ):
            if not isinstance(given, kind):
                found = type(given).__name__
                raise ConfigurationError(f"{name} is a {found}; expected a {kind.__name__}")
        if not isinstance(source.value, str | SignIn) and not hasattr(
            source.value, "authorization"
        ):
            found = type(source.value).__name__
            raise ConfigurationError(f"auth is a {found}; expected a token or a source of tokens")
        if concurrency < 1:
            raise ConfigurationError(f"concurrency is {concurrency}; expected at least 1")
        for name, seconds in (("timeout", timeout), ("settle", settle), ("patience", patience)):
            if not isinstance(seconds, int | float):
                raise ConfigurationError(
                    f"{name} is a {type(seconds).__name__}; expected a number of seconds"
                )
            if not 0 < seconds < math.inf:
                raise ConfigurationError(f"{name} is {seconds}; expected seconds, more than 0")
        if session is not None and ssl_context is not None:
            raise ConfigurationError(
                "session and ssl_context are both given; the session has its own"
            )
        site = site_url(base_url, allow_http=allow_http)
        credentials = BearerToken(source.value) if isinstance(source.value, str) else source.value
        self._limits = batch
        self._concurrency = concurrency
        self._transport = Transport(
            site,
            credentials,
            timeout=timeout,
            session=session,
            ssl_context=ssl_context,
            trust_env=trust_env,
        )
        self._throttle = Throttle(window, concurrency, patience)
        api = BulkEnrollApi(self._transport, self._throttle, batch)
        self._slots = RequestSlots(concurrency)
        accounts = Accounts(self._transport, self._throttle, self._slots)
        self._reader = reader(listing, self._transport, self._throttle, self._slots, accounts)
        self._jobs = Jobs(
            str(site),
            api,
            self._throttle,
            CircuitBreaker(patience, api.answers),
            self._reader,
            accounts,
            limits=batch,
            concurrency=concurrency,
            settle=settle,
            on_event=on_event,
        )
        self._background = Background()

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self._background.aclose()
        finally:
            await self._transport.__aexit__(exc_type, exc, traceback)

    async def enrollments(
        self,
        *,
        course_id: str | None = None,
        username: str | None = None,
        days: int | None = None,
    ) -> AsyncGenerator[Enrollment]:
        """List enrollments, of all courses and learners unless filtered.

        Records are given while the answer is still arriving, in memory that does not
        grow with it. A loop over them may be left at any time.

        Open edX's own list tells no addresses. Where the site tells this token those of its
        accounts, each hundred records cost one more request, outside of the request window;
        elsewhere `email` is None.

        Args:
            course_id: Only those in this course.
            username: Only those of this learner.
            days: Only those created in the last so many days.

        Raises:
            EnrollError: where the listing fails, also after some records: a listing that
                ends early is an error, never a shorter list.

        """
        query = EnrollmentQuery(course_id, username, days)
        async with aclosing(self._reader.enrollments(query)) as lists:
            async for records in lists:
                for record in records:
                    yield record

    async def enrollments_for(
        self, queries: AnyIterable[EnrollmentQuery]
    ) -> AsyncGenerator[Enrollment]:
        """Run several queries side by side; give each record (learner and course) once.

        Raises:
            EnrollError: where one of them fails; the others are stopped.

        """
        desired: dict[EnrollmentQuery, None] = {}
        async for query in each(queries, "queries"):
            if not isinstance(query, EnrollmentQuery):
                raise ConfigurationError(
                    f"queries holds a {type(query).__name__}; expected EnrollmentQuery objects"
                )
            desired[query] = None

        async def produce(emit: Emit[list[Enrollment]]) -> None:
            ask = self._reader.enrollments
            await side_by_side(ask, desired, emit, concurrency=self._concurrency)

        seen: set[tuple[str, str]] = set()
        async with aclosing(self._background.stream(produce, buffer=self._concurrency)) as lists:
            async for records in lists:
                for record in records:
                    key = record.username, record.course_id
                    if key not in seen:
                        if len(desired) > 1:  # one query alone needs no memory of what it gave
                            seen.add(key)
                        yield record

    async def bulk_enroll(
        self,
        identifiers: AnyIterable[str],
        courses: AnyIterable[str],
        *,
        cohorts: Mapping[str, str] | None = None,
        auto_enroll: bool = True,
        email_students: bool = False,
        reason: str | None = None,
    ) -> EnrollmentReport:
        """Enroll every identifier in every course.

        Args:
            identifiers: E-mail addresses or usernames; repeats count once, in any spelling.
            courses: Course keys.
            cohorts: The cohort to place learners in, for some or all of the courses.
            auto_enroll: Whether an address without an account is enrolled on registering, and
                an account that is not activated on activating.
            email_students: Whether the platform mails everyone, also those enrolled already.
            reason: Why, for the platform's audit trail of manual enrollments; up to 255
                characters.

        Raises:
            EnrollError: what stopped the job, with the `report` so far; a pair that fails
                is a result instead.

        """
        options = Options(auto_enroll, email_students, reason)
        work = cross_product(Action.ENROLL, identifiers, courses, cohorts, self._limits)
        return await self._report(self._jobs.of_work(work, options), options)

    async def bulk_unenroll(
        self,
        identifiers: AnyIterable[str],
        courses: AnyIterable[str],
        *,
        email_students: bool = False,
        reason: str | None = None,
    ) -> EnrollmentReport:
        """Unenroll every identifier from every course.

        What waits for registration or activation is withdrawn. Arguments and exceptions as
        for `bulk_enroll`; mail goes only to those who were enrolled or waiting.
        """
        options = Options(auto_enroll=True, email_students=email_students, reason=reason)
        work = cross_product(Action.UNENROLL, identifiers, courses, None, self._limits)
        return await self._report(self._jobs.of_work(work, options), options)

    async def preflight(self, plan: Plan) -> dict[Place, EnrollError]:
        """Ask the platform, without effect, about the courses and cohorts of a plan.

        Returns those that it refuses, and why.

        Raises:
            EnrollError: where it could not be asked.

        """
        return await self._jobs.preflight(plan)

    async def apply(
        self,
        roster: AnyIterable[RosterEntry],
        *,
        auto_enroll: bool = True,
        email_students: bool = False,
        reason: str | None = None,
        preflight: bool | None = None,
        journal: str | os.PathLike[str] | None = None,
        stop: Signal | None = None,
    ) -> EnrollmentReport:
        """Do what a roster says, in as few calls as its entries can share.

        Whatever ends the job early, also its being cancelled or an exception of the
        roster's own, has the report so far as its `report`, with what was in flight as
        UNCONFIRMED.

        Args:
            roster: Entries: a `Roster`, a `Plan` of one, or any other iterable of them.
            auto_enroll: Whether an address without an account is enrolled on registering, and
                an account that is not activated on activating.
            email_students: Whether the platform mails everyone, also those enrolled already.
            reason: Why, for the platform's audit trail of manual enrollments; up to 255
                characters.
            preflight: Whether one call without effect first checks all courses and cohorts,
                so that pairs of bad ones are rejected before anybody is touched. None: those
                that were not found to be good in the last ten minutes. False: each before
                the first call that leads there.
            journal: A file that keeps what is sent and what comes back, readable by its owner
                alone. If it is there already, of the same roster, site and options, the job
                goes on where it was left; the report has all of it. Of a job that is
                finished, nothing is sent, and the report says so (`finished_earlier`).
            stop: An `anyio.Event` or `asyncio.Event`: once it is set, calls in flight are
                finished, no more are sent, and JobStopped is raised.

        Raises:
            RosterError: where entries contradict each other; nothing is sent then.
            ConfigurationError: where the journal is of another job, or in use.
            JobStopped: when `stop` was set.
            EnrollError: what else stopped the job, with the `report` so far.

        """
        options = Options(auto_enroll, email_students, reason, preflight, stop)
        run_job = self._jobs.of_roster(roster, journal, options, earlier=True)
        return await self._report(run_job, options)

    async def stream(
        self,
        roster: AnyIterable[RosterEntry],
        *,
        auto_enroll: bool = True,
        email_students: bool = False,
        reason: str | None = None,
        preflight: bool | None = None,
        journal: str | os.PathLike[str] | None = None,
        stop: Signal | None = None,
    ) -> AsyncGenerator[EnrollmentResult]:
        """Do what a roster says; give the results as calls return.

        Arguments and exceptions as for `apply`; exceptions are raised once all results are
        given, and without a report. Of a job that goes on, only the new results are given.
        A consumer that takes its time slows the job down. One that leaves the loop cancels
        it: calls in flight are cut off, and what becomes of them is not known. One that is
        cancelled while it waits finds the results that it was not given as `results` of
        the CancelledError, what was in flight as UNCONFIRMED.
        """
        options = Options(auto_enroll, email_students, reason, preflight, stop)
        run_job = self._jobs.of_roster(roster, journal, options, earlier=False)
        async with aclosing(self._results(run_job)) as results:
            async for result in results:
                yield result

    async def resume(
        self, journal: str | os.PathLike[str], *, stop: Signal | None = None
    ) -> AsyncGenerator[EnrollmentResult]:
        """Go on with the job of a journal, as it was begun; give the new results, as `stream` does.

        Nothing that is finished is sent again; what was in flight when the job ended is
        looked for on the platform first. A finished job sends nothing.

        Args:
            journal: The file that `apply` or `stream` was given.
            stop: As for `apply`.

        Raises:
            ConfigurationError: where it is no journal, of another site, or in use.
            EnrollError: as for `apply`, once all results are given.

        """
        async with aclosing(self._results(self._jobs.of_journal(journal, stop))) as results:
            async for result in results:
                yield result

    async def _report(self, run_job: RunJob, options: Options) -> EnrollmentReport:
        cut_off: list[Block] = []
        builder = ReportBuilder(
            auto_enroll=options.auto_enroll, email_students=options.email_students
        )

        async def add(blocks: list[Block]) -> None:
            builder.add(blocks)

        try:
            finished_earlier = await run_job(add, cut_off)
        except (Exception, asyncio.CancelledError) as error:
            builder.add(cut_off)
            error.report = builder.report()  # type: ignore[union-attr]  # documented
            raise
        return evolve(builder.report(), finished_earlier=finished_earlier)

    async def _results(self, run_job: RunJob) -> AsyncGenerator[EnrollmentResult]:
        not_given: dict[int, list[Block]] = {}

        async def produce(emit: EmitBlocks) -> None:
            async def add(blocks: list[Block]) -> None:
                not_given[id(blocks)] = blocks
                await emit(blocks)

            cut_off: list[Block] = []
            not_given[id(cut_off)] = cut_off
            await run_job(add, cut_off)

        try:
            async with aclosing(self._background.stream(produce, buffer=self._concurrency)) as all_:
                async for blocks in all_:
                    del not_given[id(blocks)]
                    for result in chain.from_iterable(blocks):
                        yield result
        except asyncio.CancelledError as cancelled:
            left = chain.from_iterable(not_given.values())
            cancelled.results = tuple(chain.from_iterable(left))  # type: ignore[attr-defined]  # documented
            raise
