"""Runs a sync: the diff, the guard, additions, and removals once all additions are answered.

`jobs.jobs` runs the work as any job's. `Gate` stands between the planned removals and the job: it
lets through what is safe, by the results of the additions and, where the listing is no longer
fresh, by another one.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing
from itertools import chain

from anyio import to_thread
from attrs import define, evolve, field

from async_enroll.delivery.attempt import Attempt
from async_enroll.delivery.outcomes import Pair, desired, pairs, rejected
from async_enroll.errors import EnrollError
from async_enroll.jobs.diff import Comparer
from async_enroll.jobs.runner import AllAnswered, JobWork, NotSent
from async_enroll.models import Action, BatchLimits, Emit, RosterEntry
from async_enroll.planning.batching import plan
from async_enroll.planning.diff import RosterDiff
from async_enroll.planning.plan import Plan
from async_enroll.planning.sync import Recheck, SyncTerms, recheck_of, suspects, sync_plan
from async_enroll.planning.validation import Work
from async_enroll.reports.report import EnrollmentReport
from async_enroll.results import WITHHELD, Block
from async_enroll.roster import Roster

WhyWithheld = Callable[[str, str], str | None]
"""Why a learner is not removed from a course, by identifier and course key; None if they are."""

FRESH = 600.0
"""For how many seconds a listing is good enough to remove learners by."""


@define(eq=False)
class Sync:
    """A sync of a roster. `diff` is the last one made of it, None for none so far.

    `withheld` says why learners are not removed, by course key; complete once the job has ended.
    """

    roster: Roster
    terms: SyncTerms
    diff: RosterDiff | None = None
    withheld: dict[str, str] = field(factory=dict)

    def told(self, report: EnrollmentReport) -> EnrollmentReport:
        """Return the report of the job with what else there is to tell."""
        kept = tuple(
            RosterEntry(username, course_id)
            for course_id, some in self.terms.kept.items()
            for username in some
        )
        return evolve(report, kept=kept, withheld={**self.terms.withheld, **self.withheld})

    async def begin(self, comparer: Comparer, limits: BatchLimits) -> Plan:
        """Compare, unless that was done before; return the plan.

        Raises:
            SyncRefused: if it would remove too many.
            EnrollError: if the site cannot be read.

        """
        if self.diff is None:
            self.diff = await comparer.diff(self.roster, self.terms.options, whole=False)
        if self.diff.refused:
            raise self.diff.refused
        self.terms = self.terms.found(self.diff)
        return await to_thread.run_sync(sync_plan, self.diff, limits)


@define(eq=False)
class Gate:
    """Lets the removals of a sync through to its job, as far as they are safe."""

    _sync: Sync
    _comparer: Comparer
    _limits: BatchLimits
    _suspects: dict[str, str] = field(factory=dict, init=False)

    def note(self, blocks: Iterable[Block]) -> None:
        """Take results of additions."""
        self._suspects = suspects(blocks, self._sync.terms.repeated) | self._suspects

    def noting(self, emit: Emit[list[Block]]) -> Emit[list[Block]]:
        """Return `emit`, but for taking the results first."""

        async def noted(blocks: list[Block]) -> None:
            self.note(blocks)
            await emit(blocks)

        return noted

    async def work(self, planned: AsyncGenerator[Work | Attempt]) -> AsyncGenerator[JobWork]:
        """Yield planned work, the removals last and once everything else is answered."""
        removals: list[Attempt] = []
        async with aclosing(planned):
            async for item in planned:
                if isinstance(item, Attempt) and item.batch.action is Action.UNENROLL:
                    removals.append(evolve(item, email=self._sync.terms.email_removed))
                else:
                    yield item
        if removals:
            yield AllAnswered()
            why_withheld = await self._decide(removals)
            for attempt in removals:
                for part in self._parts(attempt, why_withheld):
                    yield part

    async def _decide(self, removals: list[Attempt]) -> WhyWithheld:
        why_withheld = await self._recheck(removals)

        def why(identifier: str, course_id: str) -> str | None:
            return self._suspects.get(course_id) or why_withheld(identifier, course_id)

        return why

    async def _recheck(self, removals: list[Attempt]) -> WhyWithheld:
        """Read who is enrolled once more, unless that was read a moment ago."""
        diff = self._sync.diff
        if diff is not None and time.monotonic() - diff.read <= FRESH:
            return lambda _identifier, _course_id: None
        some = chain.from_iterable(pairs(attempt.batch) for attempt in removals)
        rows, options = await to_thread.run_sync(
            recheck_of, self._sync.roster.desired, self._sync.terms.options, some
        )
        roster = Roster(self._sync.roster.source, rows)
        try:
            diff = await self._comparer.diff(roster, options, whole=False)
        except EnrollError as error:
            words = f"who is enrolled could not be read again: {error}"
            return lambda _identifier, _course_id: words
        return Recheck(diff).why_withheld

    def _parts(self, attempt: Attempt, why_withheld: WhyWithheld) -> Iterator[Attempt | NotSent]:
        """Divide a batch of removals into those that are sent, and the results of the others."""
        safe: list[Pair] = []
        withheld: dict[str, list[Pair]] = {}
        for pair in pairs(attempt.batch):
            if why := why_withheld(*pair):
                withheld.setdefault(why, []).append(pair)
                self._sync.withheld.setdefault(pair[1], why)
            else:
                safe.append(pair)
        if not withheld:
            yield attempt
            return
        for batch in plan(desired(attempt.batch, safe), self._limits):
            yield attempt.with_batch(batch)
        for why, some in withheld.items():
            for batch in plan(desired(attempt.batch, some), self._limits):
                blocks = rejected(attempt.with_batch(batch), f"{WITHHELD}{why}")
                yield NotSent(attempt.planned, tuple(blocks))
