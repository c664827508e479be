"""Sets up the jobs of one client: from a cross product, a roster or a journal.

Takes the input and options of a job from `client`. Wires up `delivery.delivery` and what it needs,
and gives the work to `jobs.runner`. What all jobs of a client share is in `Jobs`.

This module imports what every call needs. What only rosters, journals, comparing, syncing, undoing
or verifying need is imported in the functions that begin such a job.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread
from attrs import Factory, define, field

from async_enroll.delivery.attempt import Attempt
from async_enroll.delivery.delivery import Delivery
from async_enroll.delivery.dispatch import Dispatch
from async_enroll.delivery.event_log import EventLog, OnEvent
from async_enroll.delivery.exclusion import Exclusion
from async_enroll.delivery.mailing import Changed, unmailed
from async_enroll.delivery.preflight import GoodPlaces
from async_enroll.delivery.reconcile import Reconciler
from async_enroll.errors import EnrollError
from async_enroll.jobs.inputs import AnyIterable, AtOnce, plan_of
from async_enroll.jobs.options import Options, Signal
from async_enroll.jobs.runner import Job, JobWork
from async_enroll.models import BatchLimits, Emit, RosterEntry
from async_enroll.pacing.circuit_breaker import CircuitBreaker
from async_enroll.pacing.throttle import Throttle
from async_enroll.planning.batching import Place
from async_enroll.planning.desired import Lines
from async_enroll.planning.validation import Work
from async_enroll.platform.accounts import Accounts
from async_enroll.platform.bulk_enroll import BulkEnrollApi
from async_enroll.platform.enrollments import Reader
from async_enroll.results import Block

if TYPE_CHECKING:
    from async_enroll.jobs.diff import Comparer
    from async_enroll.jobs.sync import Sync
    from async_enroll.jobs.undo import UndoPlan
    from async_enroll.jobs.verify import Verified
    from async_enroll.journal import Description, Journal
    from async_enroll.planning.diff import RosterDiff
    from async_enroll.planning.plan import Plan
    from async_enroll.planning.sync import SyncTerms
    from async_enroll.roster import Roster

WorkStream = AsyncGenerator[JobWork] | AtOnce[JobWork]
EmitBlocks = Emit[list[Block]]
RunJob = Callable[[EmitBlocks, list[Block]], Awaitable[datetime | None]]
"""Runs a job. Emits its results; adds those of calls cut off by cancelling to the list.

Returns when an earlier run finished the job, if nothing was left to do; else None.
"""


def _with_lines(emit: EmitBlocks, lines: Lines) -> EmitBlocks:
    async def emit_with_lines(blocks: list[Block]) -> None:
        await emit([block.with_lines(lines.of) for block in blocks])

    return emit_with_lines


@define(eq=False)
class Jobs:
    """Makes and runs the jobs of a client for `site`, with what they share."""

    site: str
    _api: BulkEnrollApi
    _throttle: Throttle
    _circuit_breaker: CircuitBreaker
    _reader: Reader
    _accounts: Accounts
    _limits: BatchLimits
    _concurrency: int
    _settle: float
    _on_event: OnEvent | None
    _numbers: count[int] = field(factory=lambda: count(1), init=False)
    _good_places: GoodPlaces = field(factory=GoodPlaces, init=False)
    _exclusion: Exclusion = field(
        default=Factory(lambda self: Exclusion(self._settle), takes_self=True), init=False
    )

    async def preflight(self, plan: Plan) -> dict[Place, EnrollError]:
        """Check the places of a plan without effect; return those that are refused, and why.

        Raises:
            EnrollError: if the platform could not be asked.

        """

        async def nowhere(_: list[Block]) -> None:
            raise AssertionError("a preflight has no results")

        delivery = self._delivery(EventLog(next(self._numbers)), nowhere, [], auto_enroll=False)
        await delivery.preflight.check(plan.scope.places)
        if delivery.dispatch.stopped_by:
            raise delivery.dispatch.stopped_by
        return delivery.preflight.bad

    def of_work(self, work: WorkStream, options: Options) -> RunJob:
        """Return a job that delivers a stream of work."""
        return lambda emit, cut_off: self._run(work, emit, cut_off, options)

    def of_roster(
        self,
        roster: AnyIterable[RosterEntry],
        journal: str | os.PathLike[str] | None,
        options: Options,
        *,
        earlier: bool,
    ) -> RunJob:
        """Return a job that applies a roster; `earlier`: it emits results of earlier runs, too."""

        async def run_job(emit: EmitBlocks, cut_off: list[Block]) -> datetime | None:
            if journal is None:
                await self._apply(roster, emit, cut_off, options)
                return None
            return await self._run_with_journal(
                roster, journal, emit, cut_off, options, earlier=earlier
            )

        return run_job

    def of_sync(
        self, sync: Sync, journal: str | os.PathLike[str] | None, options: Options
    ) -> RunJob:
        """Return a job that syncs a roster; it emits results of earlier runs, too."""
        from async_enroll.jobs.sync import numbered

        async def run_job(emit: EmitBlocks, cut_off: list[Block]) -> datetime | None:
            if journal is None:
                plan = await sync.begin()
                work, emit = sync.gated(numbered(plan.work, options.email_students), emit)
                await self._run(
                    work, emit, cut_off, options, pairs=plan.pairs, done=0, lines=plan.lines
                )
                return None
            flags, reason = (options.auto_enroll, options.email_students), options.reason
            async with sync.journal(journal, *flags, reason) as opened:
                async for some in opened.earlier():
                    await emit(some)
                return await self._resume(
                    opened,
                    emit,
                    cut_off,
                    preflight=options.preflight,
                    stop=options.stop,
                    lines=sync.roster.lines,
                    sync=sync,
                )

        return run_job

    def sync(self, roster: Roster, terms: SyncTerms, diff: RosterDiff | None = None) -> Sync:
        """Make a sync of this client's site."""
        from async_enroll.jobs.sync import Sync

        return Sync(self.comparer, self._limits, roster, terms, diff)

    @property
    def comparer(self) -> Comparer:
        """Compares rosters with who is enrolled."""
        from async_enroll.jobs.diff import Comparer

        return Comparer(self.site, self._reader, self._accounts, self._concurrency)

    def of_journal(self, path: str | os.PathLike[str], stop: Signal | None) -> RunJob:
        """Return a job that resumes that of a journal."""
        from async_enroll.journal import open_journal

        async def run_job(emit: EmitBlocks, cut_off: list[Block]) -> datetime | None:
            async with open_journal(path, self._limits) as opened:
                return await self._resume(opened, emit, cut_off, stop=stop)

        return run_job

    async def plan_undo(self, path: str | os.PathLike[str]) -> UndoPlan:
        """Return what undoing the job of a journal would do; changes nothing."""
        from async_enroll.journal import open_journal

        async with open_journal(path, self._limits, undone=True) as journal:
            journal.description.check_site(self.site)
            return await self._plan_undo(journal, path)

    async def _plan_undo(self, journal: Journal, path: str | os.PathLike[str]) -> UndoPlan:
        from async_enroll.jobs.undo import plan_undo

        return await plan_undo(
            journal,
            self._reader,
            self._accounts,
            self._limits,
            name=Path(path).name,
            concurrency=self._concurrency,
        )

    def of_undo(
        self,
        path: str | os.PathLike[str],
        undo_path: str | os.PathLike[str] | None,
        options: Options,
    ) -> RunJob:
        """Return a job that undoes that of a journal, or continues to do so."""
        from async_enroll.jobs import undo as undoing
        from async_enroll.journal import open_journal, path_of

        async def run_job(emit: EmitBlocks, cut_off: list[Block]) -> datetime | None:
            own = undoing.undo_journal_of(path) if undo_path is None else path_of(undo_path)
            undoing.check_apart(own, path)
            async with AsyncExitStack() as opened:
                enter = opened.enter_async_context
                journal = await enter(open_journal(path, self._limits, undone=True))
                journal.description.check_site(self.site)
                if await anyio.Path(own).exists():
                    undo = await enter(open_journal(own, self._limits))
                    undoing.check_undoes(undo, journal, own)
                else:
                    made = await undoing.unless_stopped(
                        options.stop, lambda: self._ready_to_undo(journal, path)
                    )
                    described = await to_thread.run_sync(
                        undoing.undo_description, journal.description, made, options
                    )
                    undo = await enter(
                        open_journal(
                            own,
                            self._limits,
                            new=lambda: described,
                            left_alone=made.left_alone_in_words,
                        )
                    )
                async for some in undo.earlier():
                    await emit(some)
                return await self._resume(undo, emit, cut_off, stop=options.stop)

        return run_job

    async def _ready_to_undo(self, journal: Journal, path: str | os.PathLike[str]) -> UndoPlan:
        """Plan an undo; reconcile lost calls, and mark the job, so that it is not continued."""
        from async_enroll.jobs.undo import lost_calls

        lost = await lost_calls(journal, self._settle)
        changed = [unmailed(changed) async for changed in journal.changed()]
        made = await self._plan_undo(journal, path)
        settled = await self._settle_for_good(journal, lost)
        await self._settle_for_good(journal, changed)  # the plan has them
        await journal.mark_undone()
        return made.with_settled(settled)

    async def _settle_for_good(
        self, journal: Journal, left: Sequence[Attempt | Changed]
    ) -> list[Block]:
        """Record the outcomes of lost calls or of unmailed pairs, without sending anything."""
        settled: list[Block] = []
        if not left:
            return settled

        async def emit(blocks: list[Block]) -> None:
            settled.extend(blocks)

        job = journal.description
        options = Options(job.auto_enroll, job.email_students, job.reason, preflight=False)
        await self._run(AtOnce(lambda: left), emit, [], options, journal=journal, told=False)
        return settled

    def verify(self, path: str | os.PathLike[str]) -> AsyncGenerator[list[Verified]]:
        """Yield what a journal reports as asked for, and whether it still is."""
        from async_enroll.jobs.verify import verify

        return verify(
            path, self._reader, self._accounts, site=self.site, concurrency=self._concurrency
        )

    async def _apply(
        self,
        roster: AnyIterable[RosterEntry],
        emit: EmitBlocks,
        cut_off: list[Block],
        options: Options,
    ) -> None:
        plan = await plan_of(roster, self._limits)
        work = AtOnce(lambda: plan.work)
        await self._run(work, emit, cut_off, options, pairs=plan.pairs, done=0, lines=plan.lines)

    async def _run_with_journal(
        self,
        roster: AnyIterable[RosterEntry],
        path: str | os.PathLike[str],
        emit: EmitBlocks,
        cut_off: list[Block],
        options: Options,
        *,
        earlier: bool,
    ) -> datetime | None:
        from async_enroll.journal import Description, digest_of, now, open_journal

        plan = await plan_of(roster, self._limits)
        site = self.site
        flags, reason = (options.auto_enroll, options.email_students), options.reason
        digest = await to_thread.run_sync(lambda: digest_of(plan.desired, site, *flags, reason))

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
            return await self._resume(
                opened, emit, cut_off, preflight=preflight, stop=stop, lines=plan.lines
            )

    async def _resume(
        self,
        journal: Journal,
        emit: EmitBlocks,
        cut_off: list[Block],
        *,
        preflight: bool | None = None,
        stop: Signal | None = None,
        sync: Sync | None = None,
        lines: Lines | None = None,
    ) -> datetime | None:
        job = journal.description
        job.check_site(self.site)
        pending = await journal.pending()
        if not pending and not journal.fresh:
            return await journal.finished()
        options = Options(job.auto_enroll, job.email_students, job.reason, preflight, stop)
        work: AsyncGenerator[JobWork] = journal.work()
        if job.undoes and not journal.fresh:
            from async_enroll.jobs.undo import still_to_undo

            where = self._reader, self._accounts, self._limits
            work = still_to_undo(work, *where, stop, concurrency=self._concurrency)
        if job.sync is not None:
            from async_enroll.roster import Roster

            sync = sync or self.sync(Roster(job.roster, await journal.rows()), job.sync)
            await sync.note_earlier(journal)
            work, emit = sync.gated(journal.work(), emit)
        await self._run(
            work,
            emit,
            cut_off,
            options,
            journal=journal,
            pairs=job.pairs,
            done=0 if journal.fresh else job.pairs - pending,
            calls=await journal.calls(),
            lines=lines,
        )
        return None

    async def _run(
        self,
        work: WorkStream,
        emit: EmitBlocks,
        cut_off: list[Block],
        options: Options,
        *,
        journal: Journal | None = None,
        pairs: int | None = None,
        done: int | None = None,
        calls: int = 0,
        told: bool = True,
        lines: Lines | None = None,
    ) -> None:
        event_log = EventLog(next(self._numbers), journal, self._on_event if told else None)
        delivery = self._delivery(
            event_log,
            _with_lines(emit, lines) if lines else emit,
            cut_off,
            auto_enroll=options.auto_enroll,
            reason=options.reason,
            calls=calls,
            mail_changed=options.email_students == "changed",
        )
        job = Job(delivery, event_log, options)
        try:
            if lines:
                await to_thread.run_sync(lines.index)
            await job.run(work, pairs=pairs, done=done)
        finally:
            if lines:
                cut_off[:] = [block.with_lines(lines.of) for block in cut_off]
            await work.aclose()

    def _delivery(
        self,
        event_log: EventLog,
        emit: EmitBlocks,
        cut_off: list[Block],
        *,
        auto_enroll: bool,
        reason: str | None = None,
        calls: int = 0,
        mail_changed: bool = False,
    ) -> Delivery:
        dispatch = Dispatch(
            self._api,
            self._throttle,
            self._circuit_breaker,
            event_log,
            calls=count(calls + 1),
            auto_enroll=auto_enroll,
            reason=reason,
            mail_changed=mail_changed,
        )
        reconciler = Reconciler(
            self._reader, self._accounts, seconds=self._settle, concurrency=self._concurrency
        )
        return Delivery(
            self._api,
            dispatch,
            reconciler,
            event_log,
            emit,
            cut_off,
            self._good_places,
            self._exclusion,
            limits=self._limits,
            concurrency=self._concurrency,
        )
