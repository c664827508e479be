"""`EnrollmentClient`, the entry point of the package.

It validates the settings, builds transport, throttle and listing reader, and passes work to
`jobs.jobs`. What comes back becomes an `EnrollmentReport` or a stream of `EnrollmentResult`.
"""

from __future__ import annotations

import asyncio
import math
import os
import ssl
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from itertools import chain
from types import TracebackType
from typing import TYPE_CHECKING, Self

import aiohttp
from attrs import evolve

from async_enroll.delivery.event_log import OnEvent
from async_enroll.errors import ConfigurationError, EnrollError
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
from async_enroll.results import Block

if TYPE_CHECKING:
    from async_enroll.http.client_credentials import ClientCredentials
    from async_enroll.reports.report import EnrollmentReport


class EnrollmentClient:
    """Enrolls and unenrolls learners, and lists who is enrolled.

    Use it as an asynchronous context manager. Create one per site and share it between tasks:
    they then share its request window and its connections. ::

        async with EnrollmentClient("https://courses.example.org", token) as client:
            report = await client.bulk_enroll(["jane@example.org"], ["course-v1:Org+C1+2026"])

    Args:
        base_url: The URL of the site. Plain http is accepted for loopback only, unless
            `allow_http` is set.
        auth: A bearer token; `ClientCredentials`, to sign in on any Open edX site; or an
            object that provides the ``Authorization`` header.
        window: The platform's throttle, in bulk calls per seconds. Default: 120 in 60 seconds.
        concurrency: Maximum number of bulk calls in flight, and separately of queries.
        batch: Maximum size of one bulk call.
        timeout: Seconds that one bulk call may take; for a query, seconds without data.
        settle: Seconds after which a lost call is assumed to have ended on the platform; also
            the time limit for reading the listing to find its outcome.
        patience: Seconds to wait for a platform that fails or refuses every call, or asks for a
            pause, before the job stops.
        listing: Where to read enrollments: "so2" for MOOCit's reporting API, "core" for Open
            edX's own list, "auto" for the one that the site has.
        on_event: Called with each event of each job (see `async_enroll.events`). It must not
            block. Its exceptions are logged and otherwise ignored.
        session: An aiohttp session to use, with its own TLS and proxy settings; the client does
            not close it. None to let the client create its sessions.
        ssl_context: TLS settings, such as a private certificate authority or a client
            certificate. None for the system's authorities, or those in ``SSL_CERT_FILE``.
        trust_env: Whether to use the proxy in ``HTTPS_PROXY`` or ``HTTP_PROXY``, except for the
            hosts in ``NO_PROXY``. ~/.netrc is never read.
        allow_http: Whether to accept plain http for hosts other than loopback.

    Raises:
        ConfigurationError: if an argument is unusable. The message says what is expected.

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
        source, auth = Secret(auth), ""  # keep the token out of the locals in a traceback
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

        Yields records while the response arrives; memory use does not grow with its size. The
        loop may be left at any time.

        Open edX's own list has no e-mail addresses. If the token may read those of the site's
        accounts, they are fetched with one more request per 100 records, outside the request
        window; otherwise `email` is None.

        Args:
            course_id: Only enrollments in this course.
            username: Only enrollments of this learner.
            days: Only enrollments created in the last that many days.

        Raises:
            ConfigurationError: if a filter is unusable.
            EnrollError: if the listing fails, possibly after some records. A listing that ends
                early raises; it never looks like a shorter list.

        """
        query = EnrollmentQuery(course_id, username, days)
        async with aclosing(self._reader.enrollments(query)) as lists:
            async for records in lists:
                for record in records:
                    yield record

    async def enrollments_for(
        self, queries: AnyIterable[EnrollmentQuery]
    ) -> AsyncGenerator[Enrollment]:
        """Run several queries concurrently; yield each record (learner and course) once.

        Raises:
            ConfigurationError: if an item is no `EnrollmentQuery`.
            EnrollError: if a query fails; the others are then cancelled.

        """
        distinct: dict[EnrollmentQuery, None] = {}
        async for query in each(queries, "queries"):
            if not isinstance(query, EnrollmentQuery):
                raise ConfigurationError(
                    f"queries holds a {type(query).__name__}; expected EnrollmentQuery objects"
                )
            distinct[query] = None

        async def produce(emit: Emit[list[Enrollment]]) -> None:
            ask = self._reader.enrollments
            await side_by_side(ask, distinct, emit, concurrency=self._concurrency)

        seen: defaultdict[str, set[str]] = defaultdict(set)  # usernames by course
        async with aclosing(self._background.stream(produce, buffer=self._concurrency)) as lists:
            async for records in lists:
                for record in records:
                    usernames = seen[record.course_id]
                    if record.username not in usernames:
                        if len(distinct) > 1:  # a single query needs no deduplication
                            usernames.add(record.username)
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
            identifiers: E-mail addresses or usernames. Duplicates are ignored, also those that
                differ in case.
            courses: Course keys.
            cohorts: The cohort to place learners in, by course key, for some or all courses.
            auto_enroll: Whether an address without an account is enrolled on registration, and
                an account that is not activated on activation.
            email_students: Whether the platform mails everyone, including learners who are
                already enrolled.
            reason: The reason, for the platform's audit trail of manual enrollments; up to 255
                characters.

        Raises:
            ConfigurationError: if an argument is unusable.
            EnrollError: if the job is stopped; its `report` has the results so far. A pair
                that fails does not raise: it is a result.

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

        Enrollments that await registration or activation are cancelled. Arguments and
        exceptions are those of `bulk_enroll`. Mail goes only to learners who were enrolled or
        awaited registration or activation.
        """
        options = Options(auto_enroll=True, email_students=email_students, reason=reason)
        work = cross_product(Action.UNENROLL, identifiers, courses, None, self._limits)
        return await self._report(self._jobs.of_work(work, options), options)

    async def preflight(self, plan: Plan) -> dict[Place, EnrollError]:
        """Check the courses and cohorts of a plan on the platform, without changing anything.

        Returns the places that the platform refuses, each with its error.

        Raises:
            EnrollError: if the check could not be made.

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
        """Apply a roster: enroll and unenroll the learners it lists, in as few calls as possible.

        Any exception that ends the job early, including cancellation and errors raised by the
        roster itself, has the results so far as its `report`; pairs in flight are UNCONFIRMED.

        Args:
            roster: A `Roster`, a `Plan`, or any other iterable of `RosterEntry` objects.
            auto_enroll: Whether an address without an account is enrolled on registration, and
                an account that is not activated on activation.
            email_students: Whether the platform mails everyone, including learners who are
                already enrolled.
            reason: The reason, for the platform's audit trail of manual enrollments; up to 255
                characters.
            preflight: True checks all courses and cohorts with one call that changes nothing,
                before any learner is changed; pairs of bad ones are rejected. None does so
                except for those found good in the last ten minutes. False checks each just
                before its first call.
            journal: A file for the durable record of the job, readable by its owner only. If it
                exists and has the same roster, site and options, the job continues where it
                ended, and the report covers all of it. If that job is finished, nothing is
                sent, and `finished_earlier` of the report is True.
            stop: An `anyio.Event` or `asyncio.Event`. Once it is set, no more calls are sent;
                the job finishes those in flight and raises `JobStopped`.

        Raises:
            RosterError: if entries contradict each other; nothing is sent.
            ConfigurationError: if the journal belongs to another job or is in use.
            JobStopped: if `stop` was set.
            EnrollError: if anything else stopped the job.

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
        """Apply a roster as `apply` does; yield the results as calls return.

        Arguments and exceptions are those of `apply`, but exceptions are raised after all
        results so far are yielded, and carry no report. A continued job yields new results only.

        A slow consumer slows the job down. Leaving the loop cancels the job: calls in flight
        are cut off, and their outcomes stay unknown. If the consumer is cancelled while it
        waits, `results` of the CancelledError has the results not yet yielded; pairs in flight
        are UNCONFIRMED.
        """
        options = Options(auto_enroll, email_students, reason, preflight, stop)
        run_job = self._jobs.of_roster(roster, journal, options, earlier=False)
        async with aclosing(self._results(run_job)) as results:
            async for result in results:
                yield result

    async def resume(
        self, journal: str | os.PathLike[str], *, stop: Signal | None = None
    ) -> AsyncGenerator[EnrollmentResult]:
        """Continue the job of a journal with its original options; yield new results only.

        Finished pairs are not sent again. Pairs that were in flight when the job ended are
        first looked up on the platform. A finished job sends nothing.

        Args:
            journal: The file that was passed to `apply` or `stream`.
            stop: As for `apply`.

        Raises:
            ConfigurationError: if the file is no journal, belongs to another site, or is in use.
            EnrollError: as for `stream`.

        """
        async with aclosing(self._results(self._jobs.of_journal(journal, stop))) as results:
            async for result in results:
                yield result

    async def _report(self, run_job: RunJob, options: Options) -> EnrollmentReport:
        from async_enroll.reports.report import ReportBuilder  # streams do without

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
        report = builder.report()
        if finished_earlier is None:
            return report
        return evolve(report, finished_earlier=finished_earlier)

    async def _results(self, run_job: RunJob) -> AsyncGenerator[EnrollmentResult]:
        not_yielded: dict[int, list[Block]] = {}

        async def produce(emit: EmitBlocks) -> None:
            async def add(blocks: list[Block]) -> None:
                not_yielded[id(blocks)] = blocks
                await emit(blocks)

            cut_off: list[Block] = []
            not_yielded[id(cut_off)] = cut_off
            await run_job(add, cut_off)

        try:
            async with aclosing(self._background.stream(produce, buffer=self._concurrency)) as all_:
                async for blocks in all_:
                    del not_yielded[id(blocks)]
                    for result in chain.from_iterable(blocks):
                        yield result
        except asyncio.CancelledError as cancelled:
            remaining = chain.from_iterable(not_yielded.values())
            cancelled.results = tuple(chain.from_iterable(remaining))  # type: ignore[attr-defined]  # documented
            raise
