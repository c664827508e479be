"""The jobs of one client: what they have in common, and how each is carried out."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from datetime import datetime
from itertools import count
from typing import TYPE_CHECKING

from anyio import to_thread
from attrs import define, field, frozen

from async_enroll.accounts import Accounts
from async_enroll.api import Api
from async_enroll.background import Emit
from async_enroll.batching import Place
from async_enroll.chronicle import Chronicle, OnEvent
from async_enroll.dispatch import Dispatch
from async_enroll.errors import ConfigurationError, EnrollError
from async_enroll.fates import Block
from async_enroll.intake import Work
from async_enroll.models import BatchLimits, RosterEntry, checked_reason
from async_enroll.parcel import Parcel
from async_enroll.patience import Patience
from async_enroll.plan import Plan
from async_enroll.pursuit import Pursuit
from async_enroll.reading import Reader
from async_enroll.runner import Job, Signal
from async_enroll.settling import Settling
from async_enroll.sources import AnyIterable, plan_of
from async_enroll.throttle import Throttle
from async_enroll.vetting import GoodPlaces

if TYPE_CHECKING:
    from async_enroll.journal import Description, Journal

EmitBlocks = Emit[list[Block]]
CarryOut = Callable[[EmitBlocks, list[Block]], Awaitable[datetime | None]]
"""Does a job: emits its results, and leaves in the list what was cut off.

Gives when an earlier run finished the job, where nothing was left to do.
"""


@frozen
class Options:
    """How a job is to be done.

    Raises:
        ConfigurationError: for a `reason` that the platform could not keep.

    """

    auto_enroll: bool
    email_students: bool
    reason: str | None = field(default=None, converter=checked_reason)
    preflight: bool | None = None
    stop: Signal | None = None


@define(eq=False)
class Jobs:
    """Carries out the jobs of a client for `site`, which share what is named here."""

    site: str
    _api: Api
    _throttle: Throttle
    _patience: Patience
    _reader: Reader
    _accounts: Accounts
    _limits: BatchLimits
    _concurrency: int
    _settle: float
    _on_event: OnEvent | None
    _numbers: count[int] = field(factory=lambda: count(1), init=False)
    _good_places: GoodPlaces = field(factory=GoodPlaces, init=False)

    async def preflight(self, plan: Plan) -> dict[Place, EnrollError]:
        """The places of a plan that the platform refuses, asked without effect, and why.

        Raises:
            EnrollError: where it could not be asked.

        """

        async def nowhere(_: list[Block]) -> None:
            raise AssertionError("a preflight has no results")

        pursuit = self._pursuit(Chronicle(next(self._numbers)), nowhere, [], auto_enroll=False)
        await pursuit.vetting.vet(plan.scope.places)
        if pursuit.dispatch.stopped_by:
            raise pursuit.dispatch.stopped_by
        return pursuit.vetting.bad

    def of_work(self, work: AsyncGenerator[Work], options: Options) -> CarryOut:
        """Does some work."""

        async def carry_out(emit: EmitBlocks, cut_off: list[Block]) -> None:
            await self._carry_out(work, emit, cut_off, options)

        return carry_out

    def of_roster(
        self,
        roster: AnyIterable[RosterEntry],
        journal: str | os.PathLike[str] | None,
        options: Options,
        *,
        earlier: bool,
    ) -> CarryOut:
        """Does what a roster says; `earlier`: emits also what earlier runs have done."""

        async def carry_out(emit: EmitBlocks, cut_off: list[Block]) -> datetime | None:
            if journal is None:
                await self._apply(roster, emit, cut_off, options)
                return None
            return await self._keep(roster, journal, emit, cut_off, options, earlier=earlier)

        return carry_out

    def of_journal(self, path: str | os.PathLike[str], stop: Signal | None) -> CarryOut:
        """Goes on with the job of a journal."""
        from async_enroll.journal import open_journal

        async def carry_out(emit: EmitBlocks, cut_off: list[Block]) -> datetime | None:
            async with open_journal(path, self._limits) as opened:
                return await self._go_on(opened, emit, cut_off, stop=stop)

        return carry_out

    async def _apply(
        self,
        roster: AnyIterable[RosterEntry],
        emit: EmitBlocks,
        cut_off: list[Block],
        options: Options,
    ) -> None:
        plan = await plan_of(roster, self._limits)

        async def work() -> AsyncGenerator[Work]:
            for item in plan.work:
                yield item

        await self._carry_out(work(), emit, cut_off, options, pairs=plan.pairs, done=0)

    async def _keep(
        self,
        roster: AnyIterable[RosterEntry],
        path: str | os.PathLike[str],
        emit: EmitBlocks,
        cut_off: list[Block],
        options: Options,
        *,
        earlier: bool,
    ) -> datetime | None:
        # Only jobs with a journal load what keeps it.
        from async_enroll.journal import Description, digest_of, now, open_journal

        plan = await plan_of(roster, self._limits)
        site = self.site
        flags, reason = (options.auto_enroll, options.email_students), options.reason
        digest = await to_thread.run_sync(lambda: digest_of(plan.wanted, site, *flags, reason))

        def new() -> tuple[Description, list[Work]]:
            description = Description(
                site, plan.source, plan.pairs, *flags, digest, now(), plan.skipped, reason
            )
            return description, plan.work

        async with open_journal(
            path, self._limits, expected=digest, new=new, lines=plan.lines
        ) as opened:
            if earlier:
                async for some in opened.earlier():
                    await emit(some)
            preflight, stop = options.preflight, options.stop
            return await self._go_on(opened, emit, cut_off, preflight=preflight, stop=stop)

    async def _go_on(
        self,
        journal: Journal,
        emit: EmitBlocks,
        cut_off: list[Block],
        *,
        preflight: bool | None = None,
        stop: Signal | None = None,
    ) -> datetime | None:
        job = journal.description
        if job.site != self.site:
            raise ConfigurationError(f"the journal is of {job.site}; this client is of {self.site}")
        pending = await journal.pending()
        if not pending and not journal.fresh:
            return await journal.finished()
        options = Options(job.auto_enroll, job.email_students, job.reason, preflight, stop)
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
        return None

    async def _carry_out(
        self,
        work: AsyncGenerator[Work | Parcel] | AsyncGenerator[Work],
        emit: EmitBlocks,
        cut_off: list[Block],
        options: Options,
        *,
        journal: Journal | None = None,
        pairs: int | None = None,
        done: int | None = None,
        calls: int = 0,
    ) -> None:
        chronicle = Chronicle(next(self._numbers), journal, self._on_event)
        pursuit = self._pursuit(
            chronicle,
            emit,
            cut_off,
            auto_enroll=options.auto_enroll,
            reason=options.reason,
            calls=calls,
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
        emit: EmitBlocks,
        cut_off: list[Block],
        *,
        auto_enroll: bool,
        reason: str | None = None,
        calls: int = 0,
    ) -> Pursuit:
        dispatch = Dispatch(
            self._api,
            self._throttle,
            self._patience,
            chronicle,
            calls=count(calls + 1),
            auto_enroll=auto_enroll,
            reason=reason,
        )
        settling = Settling(
            self._reader, self._accounts, seconds=self._settle, concurrency=self._concurrency
        )
        return Pursuit(
            self._api,
            dispatch,
            settling,
            chronicle,
            emit,
            cut_off,
            self._good_places,
            limits=self._limits,
            concurrency=self._concurrency,
            auto_enroll=auto_enroll,
        )
