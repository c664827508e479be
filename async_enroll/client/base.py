"""Settings of a client, its opening and closing, and how results of its jobs are collected.

Validates the settings, and builds transport, throttle and listing reader. `client.client` adds the
methods for users on top.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from inspect import iscoroutinefunction
from itertools import chain
from types import TracebackType
from typing import TYPE_CHECKING, Self

import aiohttp
import anyio
from attrs import evolve

from async_enroll.delivery.event_log import EventLog, OnEvent
from async_enroll.errors import ConfigurationError
from async_enroll.events import SharedWindowLost, SharedWindowRestored
from async_enroll.http.site import site_url
from async_enroll.http.tokens import Auth, BearerToken, Secret, SignIn
from async_enroll.http.transport import Transport
from async_enroll.jobs.jobs import EmitBlocks, Jobs, RunJob
from async_enroll.jobs.options import Options
from async_enroll.jobs.producers import Background
from async_enroll.models import BatchLimits, EnrollmentResult, ListingKind, RequestWindow
from async_enroll.pacing.circuit_breaker import CircuitBreaker
from async_enroll.pacing.request_slots import RequestSlots
from async_enroll.pacing.throttle import Throttle
from async_enroll.platform.accounts import Accounts
from async_enroll.platform.bulk_enroll import BulkEnrollApi
from async_enroll.platform.enrollments import reader
from async_enroll.results import Block

if TYPE_CHECKING:
    from async_enroll.http.client_credentials import ClientCredentials
    from async_enroll.pacing.shared.url import SharedWindowUrl
    from async_enroll.pacing.shared.window import SharedWindow
    from async_enroll.reports.report import EnrollmentReport


class ClientBase:
    """An open connection to one site, and the jobs that run on it.

    Arguments and exceptions are those of `EnrollmentClient`.
    """

    def __init__(
        self,
        base_url: str,
        auth: str | Auth | ClientCredentials,
        *,
        window: RequestWindow = RequestWindow(),
        shared_window: str | None = None,
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
        # Keep the token, and the password in a URL, out of the locals in a traceback.
        source, auth = Secret(auth), ""
        shared, shared_window = Secret(shared_window), None
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
        for name, option, its in (
            ("session", session, aiohttp.ClientSession),
            ("ssl_context", ssl_context, ssl.SSLContext),
        ):
            if option is not None and not isinstance(option, its):
                found = type(option).__name__
                raise ConfigurationError(f"{name} is a {found}; expected a {its.__name__}")
        if on_event is not None and (not callable(on_event) or iscoroutinefunction(on_event)):
            found = "coroutine function" if callable(on_event) else type(on_event).__name__
            raise ConfigurationError(
                f"on_event is a {found}; expected a function that takes an event and does not wait"
            )
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
        self._credentials = credentials
        self._shared_window: SharedWindow | None = None
        self._shared_window_url: SharedWindowUrl | None = None
        if shared.value is not None:
            # Imported here: most clients share no window.
            from async_enroll.pacing.shared.url import shared_window_url
            from async_enroll.pacing.shared.window import SharedWindow

            self._shared_window_url = shared_window_url(shared)
            self._shared_window = SharedWindow(
                window, concurrency, lease=timeout, report=self._report_shared_window
            )
        self._event_log = EventLog(0, on_event=on_event)
        self._throttle = Throttle(window, concurrency, patience, log=self._shared_window)
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
        self._lost_at = 0.0

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        if self._shared_window is not None and (url := self._shared_window_url) is not None:
            from async_enroll.client.window_name import window_name

            try:
                name = url.name or await window_name(self._transport, self._credentials)
            except BaseException:
                await self._transport.__aexit__(None, None, None)
                raise
            self._shared_window.open(url.store(name))
        return self

    async def open(self) -> Self:
        """Open the client where no `async with` block can span its use, as in a notebook.

        Returns the client. Call `aclose` when it is no longer needed; it can be opened again.

        Raises:
            ConfigurationError: if it is open already, or no event loop of asyncio is running.

        """
        return await self.__aenter__()

    async def aclose(self) -> None:
        """Close the client: cancel what still runs in the background, close its connections."""
        await self.__aexit__(None, None, None)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self._background.aclose()
        finally:
            try:
                if self._shared_window is not None:
                    await self._shared_window.aclose()
            finally:
                await self._transport.__aexit__(exc_type, exc, traceback)

    async def _report_shared_window(self, lost: str | None) -> None:
        """Tell once that the shared window cannot be reached, and once that it can be again."""
        url = self._shared_window_url.shown if self._shared_window_url else ""
        now = anyio.current_time()
        if lost is None:
            event = SharedWindowRestored(job=0, url=url, seconds=now - self._lost_at)
            await self._event_log.record(event)
        else:
            self._lost_at = now
            await self._event_log.record(SharedWindowLost(job=0, url=url, reason=lost))

    async def _report(
        self,
        run_job: RunJob,
        options: Options,
        complete: Callable[[EnrollmentReport], EnrollmentReport] = lambda report: report,
    ) -> EnrollmentReport:
        """Run a job; return its report, passed through `complete`, as is that of an exception."""
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
            error.report = complete(builder.report())  # type: ignore[union-attr]  # documented
            raise
        report = complete(builder.report())
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
