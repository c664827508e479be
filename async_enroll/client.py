"""EnrollmentClient, the face: one object for the life of an application or a job."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
)
from contextlib import aclosing
from itertools import chain, count, islice
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

import aiohttp
import anyio
import anyio.lowlevel
from anyio import to_thread
from attrs import frozen

from async_enroll.accounts import Accounts
from async_enroll.api import Api
from async_enroll.auth import Auth, BearerToken, SignIn
from async_enroll.background import Background, Emit
from async_enroll.batching import Place
from async_enroll.chronicle import Chronicle, OnEvent
from async_enroll.client_credentials import ClientCredentials
from async_enroll.errors import ConfigurationError, EnrollError
from async_enroll.fates import Block
from async_enroll.intake import CrossProduct, RosterIntake, Work
from async_enroll.models import (
    Action,
    BatchLimits,
    Enrollment,
    EnrollmentQuery,
    EnrollmentResult,
    ListingKind,
    RequestWindow,
    RosterEntry,
)
from async_enroll.parcel import Parcel
from async_enroll.patience import Patience
from async_enroll.plan import Plan
from async_enroll.pursuit import Pursuit
from async_enroll.queries import side_by_side
from async_enroll.reading import reader
from async_enroll.report import EnrollmentReport, ReportBuilder
from async_enroll.roster import Roster
from async_enroll.runner import Job, Signal
from async_enroll.settling import Settling
from async_enroll.slots import Slots
from async_enroll.throttle import Throttle
from async_enroll.transport import Transport, site_url

if TYPE_CHECKING:
    from async_enroll.journal import Description, Journal

T = TypeVar("T")
AnyIterable = Iterable[T] | AsyncIterable[T]

_Emit = Emit[list[Block]]
_CarryOut = Callable[[_Emit, list[Block]], Awaitable[None]]
"""Does a job: emits its results, and leaves in the list what was cut off."""

_BREATH = 1024
"""How many items of a plain iterable are taken before other tasks get a chance to run."""


@frozen
class _Options:
    """How a job is to be done."""

    auto_enroll: bool
    email_students: bool
    preflight: bool | None = None
    stop: Signal | None = None


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
        settle: Seconds after which a lost call is taken to have ended, one way or the other.
        patience: Seconds to wait for a platform that fails every call, before a job stops.
        listing: Where enrollments are read: "so2", MOOCit's reporting API; "core", Open edX's own
            list, whose records tell no addresses; "auto", the one of these that the site has.
        on_event: Called with every event of every job (`async_enroll.events`), as it happens;
            it must not block, and what it raises is logged and goes no further.
        session: An aiohttp session to use and leave open; None for one of its own.
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
        allow_http: bool = False,
    ) -> None:
        for name, given, kind in (
            ("base_url", base_url, str),
            ("window", window, RequestWindow),
            ("concurrency", concurrency, int),
            ("batch", batch, BatchLimits),
        ):
            if not isinstance(given, kind):
                found = type(given).__name__
                raise ConfigurationError(f"{name} is a {found}; expected a {kind.__name__}")
        if not isinstance(auth, str | SignIn) and not hasattr(auth, "authorization"):
            found = type(auth).__name__
            raise ConfigurationError(f"auth is a {found}; expected a token or a source of tokens")
        if concurrency < 1:
            raise ConfigurationError(f"concurrency is {concurrency}; expected at least 1")
        for name, seconds in (("timeout", timeout), ("settle", settle), ("patience", patience)):
            if not 0 < seconds < math.inf:
                raise ConfigurationError(f"{name} is {seconds}; expected seconds, more than 0")
        site = site_url(base_url, allow_http=allow_http)
        credentials = BearerToken(auth) if isinstance(auth, str) else auth
        self._limits = batch
        self._concurrency = concurrency
        self._transport = Transport(site, credentials, timeout=timeout, session=session)
        self._throttle = Throttle(window, concurrency)
        self._slots = Slots(concurrency)
        self._api = Api(self._transport, self._throttle, batch)
        self._reader = reader(listing, self._transport, self._throttle, self._slots)
        self._patience = Patience(patience, self._api.answers)
        self._settle = settle
        self._on_event = on_event
        self._jobs = count(1)
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
        wanted = dict.fromkeys([query async for query in _each(queries, "queries")])

        async def produce(emit: Emit[list[Enrollment]]) -> None:
            ask = self._reader.enrollments
            await side_by_side(ask, wanted, emit, concurrency=self._concurrency)

        seen: set[tuple[str, str]] = set()
        async with aclosing(self._background.stream(produce, buffer=self._concurrency)) as lists:
            async for records in lists:
                for record in records:
                    key = record.username, record.course_id
                    if key not in seen:
                        if len(wanted) > 1:  # one query alone needs no memory of what it gave
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
    ) -> EnrollmentReport:
        """Enroll every identifier in every course.

        Args:
            identifiers: E-mail addresses or usernames; repeats count once.
            courses: Course keys.
            cohorts: The cohort to place learners in, for some or all of the courses.
            auto_enroll: Whether an address without an account is enrolled on registering.
            email_students: Whether the platform mails everyone, also those enrolled already.

        Raises:
            EnrollError: what stopped the job, with the `report` so far; a pair that fails
                is a result instead.

        """
        work = self._cross_product(Action.ENROLL, identifiers, courses, cohorts)
        return await self._bulk(work, _Options(auto_enroll, email_students))

    async def bulk_unenroll(
        self,
        identifiers: AnyIterable[str],
        courses: AnyIterable[str],
        *,
        email_students: bool = False,
    ) -> EnrollmentReport:
        """Unenroll every identifier from every course, and withdraw what waits for registration.

        Arguments and exceptions as for `bulk_enroll`; mail goes only to those who were
        enrolled or waiting.
        """
        work = self._cross_product(Action.UNENROLL, identifiers, courses, None)
        return await self._bulk(work, _Options(auto_enroll=True, email_students=email_students))

    async def _bulk(self, work: AsyncGenerator[Work], options: _Options) -> EnrollmentReport:
        builder = ReportBuilder(
            auto_enroll=options.auto_enroll, email_students=options.email_students
        )

        async def carry_out(emit: _Emit, cut_off: list[Block]) -> None:
            await self._carry_out(work, emit, cut_off, options)

        return await self._report(carry_out, builder)

    async def preflight(self, plan: Plan) -> dict[Place, EnrollError]:
        """Ask the platform, without effect, about the courses and cohorts of a plan.

        Returns those that it refuses, and why.

        Raises:
            EnrollError: where it could not be asked.

        """

        async def nowhere(_: list[Block]) -> None:
            raise AssertionError("a preflight has no results")

        pursuit = self._pursuit(Chronicle(next(self._jobs)), nowhere, [], auto_enroll=False)
        await pursuit.vetting.vet(plan.scope.places)
        if pursuit.stopped_by:
            raise pursuit.stopped_by
        return pursuit.vetting.bad

    async def apply(
        self,
        roster: AnyIterable[RosterEntry],
        *,
        auto_enroll: bool = True,
        email_students: bool = False,
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
            auto_enroll: Whether an address without an account is enrolled on registering.
            email_students: Whether the platform mails everyone, also those enrolled already.
            preflight: Whether one call without effect first checks all courses and cohorts,
                so that pairs of bad ones are rejected before anybody is touched; None:
                whenever mail is at stake or the work is more than one batch.
            journal: A file that keeps what is sent and what comes back, readable by its owner
                alone. If it is there already, of the same roster, site and options, the job
                goes on where it was left; the report has all of it.
            stop: An `anyio.Event` or `asyncio.Event`: once it is set, calls in flight are
                finished, no more are sent, and JobStopped is raised.

        Raises:
            RosterError: where entries contradict each other; nothing is sent then.
            ConfigurationError: where the journal is of another job, or in use.
            JobStopped: when `stop` was set.
            EnrollError: what else stopped the job, with the `report` so far.

        """
        builder = ReportBuilder(auto_enroll=auto_enroll, email_students=email_students)
        options = _Options(auto_enroll, email_students, preflight, stop)
        return await self._report(self._doing(roster, journal, options, earlier=True), builder)

    async def stream(
        self,
        roster: AnyIterable[RosterEntry],
        *,
        auto_enroll: bool = True,
        email_students: bool = False,
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
        options = _Options(auto_enroll, email_students, preflight, stop)
        carry_out = self._doing(roster, journal, options, earlier=False)
        async with aclosing(self._results(carry_out)) as results:
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
        from async_enroll.journal import open_journal

        async def carry_out(emit: _Emit, cut_off: list[Block]) -> None:
            async with open_journal(journal, self._limits) as opened:
                await self._go_on(opened, emit, cut_off, stop=stop)

        async with aclosing(self._results(carry_out)) as results:
            async for result in results:
                yield result

    def _doing(
        self,
        roster: AnyIterable[RosterEntry],
        journal: str | os.PathLike[str] | None,
        options: _Options,
        *,
        earlier: bool,
    ) -> _CarryOut:
        """Does what a roster says; `earlier`: emits also what earlier runs have done."""

        async def carry_out(emit: _Emit, cut_off: list[Block]) -> None:
            if journal is None:
                await self._apply(roster, emit, cut_off, options)
            else:
                await self._keep(roster, journal, emit, cut_off, options, earlier=earlier)

        return carry_out

    async def _apply(
        self,
        roster: AnyIterable[RosterEntry],
        emit: _Emit,
        cut_off: list[Block],
        options: _Options,
    ) -> None:
        plan = await self._plan(roster)

        async def work() -> AsyncGenerator[Work]:
            for item in plan.work:
                yield item

        await self._carry_out(work(), emit, cut_off, options, pairs=plan.pairs, done=0)

    async def _keep(
        self,
        roster: AnyIterable[RosterEntry],
        path: str | os.PathLike[str],
        emit: _Emit,
        cut_off: list[Block],
        options: _Options,
        *,
        earlier: bool,
    ) -> None:
        # Only jobs with a journal load what keeps it.
        from async_enroll.journal import Description, digest_of, now, open_journal

        plan = await self._plan(roster)
        site = str(self._transport.site)
        flags = options.auto_enroll, options.email_students
        digest = await to_thread.run_sync(lambda: digest_of(plan.wanted, site, *flags))

        def new() -> tuple[Description, list[Work]]:
            description = Description(
                site, plan.source, plan.pairs, *flags, digest, now(), plan.skipped
            )
            return description, plan.work

        async with open_journal(path, self._limits, expected=digest, new=new) as opened:
            if earlier:
                async for some in opened.earlier():
                    await emit(some)
            preflight, stop = options.preflight, options.stop
            await self._go_on(opened, emit, cut_off, preflight=preflight, stop=stop)

    async def _go_on(
        self,
        journal: Journal,
        emit: _Emit,
        cut_off: list[Block],
        *,
        preflight: bool | None = None,
        stop: Signal | None = None,
    ) -> None:
        job = journal.description
        if job.site != str(self._transport.site):
            raise ConfigurationError(
                f"the journal is of {job.site}; this client is of {self._transport.site}"
            )
        pending = await journal.pending()
        if not pending and not journal.fresh:
            return
        options = _Options(job.auto_enroll, job.email_students, preflight, stop)
        await self._carry_out(
            journal.work(),
            emit,
            cut_off,
            options,
            journal=journal,
            pairs=job.pairs,
            done=0 if journal.fresh else job.pairs - pending,
            calls=await journal.calls(),
        )

    async def _carry_out(
        self,
        work: AsyncGenerator[Work | Parcel] | AsyncGenerator[Work],
        emit: _Emit,
        cut_off: list[Block],
        options: _Options,
        *,
        journal: Journal | None = None,
        pairs: int | None = None,
        done: int | None = None,
        calls: int = 0,
    ) -> None:
        chronicle = Chronicle(next(self._jobs), journal, self._on_event)
        pursuit = self._pursuit(
            chronicle, emit, cut_off, auto_enroll=options.auto_enroll, calls=calls
        )
        job = Job(
            pursuit,
            chronicle,
            email_students=options.email_students,
            preflight=options.preflight,
            stop=options.stop,
        )
        async with aclosing(work):
            await job.run(work, pairs=pairs, done=done)

    def _pursuit(
        self,
        chronicle: Chronicle,
        emit: _Emit,
        cut_off: list[Block],
        *,
        auto_enroll: bool,
        calls: int = 0,
    ) -> Pursuit:
        accounts = Accounts(self._transport, self._throttle, self._slots)
        return Pursuit(
            self._api,
            self._throttle,
            self._patience,
            Settling(self._reader, accounts, seconds=self._settle, concurrency=self._concurrency),
            chronicle,
            emit,
            cut_off,
            calls=count(calls + 1),
            limits=self._limits,
            concurrency=self._concurrency,
            auto_enroll=auto_enroll,
        )

    async def _report(self, carry_out: _CarryOut, builder: ReportBuilder) -> EnrollmentReport:
        cut_off: list[Block] = []

        async def add(blocks: list[Block]) -> None:
            builder.add(blocks)

        try:
            await carry_out(add, cut_off)
        except (Exception, asyncio.CancelledError) as error:
            builder.add(cut_off)
            error.report = builder.report()  # type: ignore[union-attr]  # documented
            raise
        return builder.report()

    async def _results(self, carry_out: _CarryOut) -> AsyncGenerator[EnrollmentResult]:
        not_given: dict[int, list[Block]] = {}

        async def produce(emit: _Emit) -> None:
            async def add(blocks: list[Block]) -> None:
                not_given[id(blocks)] = blocks
                await emit(blocks)

            cut_off: list[Block] = []
            not_given[id(cut_off)] = cut_off
            await carry_out(add, cut_off)

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

    async def _cross_product(
        self,
        action: Action,
        identifiers: AnyIterable[str],
        courses: AnyIterable[str],
        cohorts: Mapping[str, str] | None,
    ) -> AsyncGenerator[Work]:
        keys = [course_id async for course_id in _each(courses, "courses")]
        intake = CrossProduct(action, keys, cohorts, self._limits)
        yield intake.scope
        async for some in _in_lists(identifiers, "identifiers"):
            for work in intake.feed(some):
                yield work
        for work in intake.flush():
            yield work

    async def _plan(self, roster: AnyIterable[RosterEntry]) -> Plan:
        if isinstance(roster, Plan):
            return roster
        skipped: tuple[str, ...] = ()
        if isinstance(roster, Roster):
            source, wanted, skipped = roster.source, roster.wanted, roster.skipped
        else:
            intake = RosterIntake()
            async for entry in _each(roster, "roster"):
                intake.feed(entry)
            source, wanted = "entries", intake.wanted
        return await to_thread.run_sync(
            lambda: Plan.of(wanted, self._limits, source=source, skipped=skipped)
        )


async def _each(items: AnyIterable[T], name: str) -> AsyncIterator[T]:
    """Iterate over either kind of iterable."""
    async for some in _in_lists(items, name):
        for item in some:
            yield item


async def _in_lists(items: AnyIterable[T], name: str) -> AsyncIterator[list[T]]:
    """The items as they come, in lists, letting other tasks run in between."""
    if isinstance(items, str | bytes):
        raise ConfigurationError(f"{name} is a single {type(items).__name__}; expected a list")
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield [item]
    else:
        left = iter(items)
        broken: Exception | None = None
        while broken is None:
            some: list[T] = []
            try:
                some.extend(islice(left, _BREATH))
            except Exception as error:  # noqa: BLE001  # raised once what came before it is given
                broken = error
            if some:
                yield some
                await anyio.lowlevel.checkpoint()
            elif broken is None:
                return
        raise broken
