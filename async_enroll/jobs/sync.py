"""Runs a sync: the diff, the guard, additions, and removals once all additions are answered.

`jobs.jobs` runs the work as any job's. `Sync.gated` stands between the planned removals and the
job: it lets through what is safe, by the results of the additions and, where the listing is no
longer fresh, by another one.
"""

from __future__ import annotations

import math
import os
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing, asynccontextmanager
from itertools import chain, count
from typing import TYPE_CHECKING

from anyio import to_thread
from attrs import astuple, define, evolve, field
from msgspec.structs import replace

from async_enroll.delivery.attempt import Attempt
from async_enroll.delivery.mailing import Changed, mails_at_once
from async_enroll.delivery.outcomes import Pair, desired, pairs, rejected
from async_enroll.errors import EnrollError
from async_enroll.jobs.diff import Comparer
from async_enroll.jobs.runner import AllAnswered, JobWork, NotSent
from async_enroll.models import Action, Batch, BatchLimits, EmailStudents, Emit, RosterEntry
from async_enroll.planning.batching import plan
from async_enroll.planning.diff import RosterDiff
from async_enroll.planning.plan import Plan
from async_enroll.planning.sync import (
    Recheck,
    SyncTerms,
    recheck_of,
    suspects,
    sync_plan,
    unproven,
)
from async_enroll.planning.validation import Work
from async_enroll.reports.report import EnrollmentReport
from async_enroll.results import WITHHELD, Block
from async_enroll.roster import Roster

if TYPE_CHECKING:
    from async_enroll.journal import Journal

WhyWithheld = Callable[[str, str], str | None]
"""Why a learner is not removed from a course, by identifier and course key; None if they are."""

FRESH = 600.0
"""For how many seconds a listing is good enough to remove learners by."""


@define(eq=False)
class Sync:
    """A sync of a roster. `diff` is the last one made of it, None for none so far.

    `terms` are complete once it has begun. `withheld` says why learners are not removed, by course
    key; complete once the job has ended.
    """

    _comparer: Comparer
    _limits: BatchLimits
    roster: Roster
    terms: SyncTerms
    diff: RosterDiff | None = None
    withheld: dict[str, str] = field(factory=dict, init=False)
    _suspects: dict[str, str] = field(factory=dict, init=False)
    _unproven: defaultdict[str, set[str]] = field(factory=lambda: defaultdict(set), init=False)
    _read: float = field(default=-math.inf, init=False)
    """When the listing that removals go by was read, by `time.time`."""

    async def begin(self) -> Plan:
        """Compare, unless that was done before; return the plan.

        Raises:
            SyncRefused: if it would remove too many.
            EnrollError: if the site cannot be read.

        """
        if self.diff is None:
            self.diff = await self._comparer.diff(self.roster, self.terms.options, partial=True)
        if self.diff.refused:
            raise self.diff.refused
        self.terms = self.terms.found(self.diff)
        return await to_thread.run_sync(sync_plan, self.diff, self._limits)

    @asynccontextmanager
    async def journal(
        self,
        path: str | os.PathLike[str],
        auto_enroll: bool,
        email_students: EmailStudents,
        reason: str | None,
    ) -> AsyncIterator[Journal]:
        """Open the journal of this sync; begin it where there is none yet.

        A journal has the plan of its job: what was agreed to, not what would be planned now.
        """
        from async_enroll.journal import Description, digest_of, now, open_journal, path_of

        site, roster = self._comparer.site, self.roster
        flags = (auto_enroll, email_students, reason)
        asked = ("sync", astuple(self.terms.options), self.terms.email_removed)
        digest = await to_thread.run_sync(lambda: digest_of(roster.desired, site, *flags, *asked))
        begun = await to_thread.run_sync(path_of(path).exists)
        if begun:
            self.diff = None  # the journal's plan was made by another one
        plan = None if begun else await self.begin()

        description = Description(
            site,
            plan.source if plan else roster.source,
            plan.pairs if plan else 0,
            auto_enroll,
            email_students,
            digest,
            now(),
            plan.skipped if plan else (),
            reason,
            sync=self.terms,
        )

        async with open_journal(
            path,
            self._limits,
            expected=digest,
            new=None if plan is None else lambda: (description, plan.work),
            asked=description,
            lines=roster.lines,
            rows=roster.desired,
        ) as opened:
            self.terms = opened.description.sync or self.terms
            yield opened

    def told(self, report: EnrollmentReport) -> EnrollmentReport:
        """Return the report of the job with what else there is to tell."""
        kept = tuple(
            RosterEntry(username, course_id)
            for course_id, some in self.terms.kept.items()
            for username in some
        )
        return evolve(report, kept=kept, withheld={**self.terms.withheld, **self.withheld})

    async def note_earlier(self, journal: Journal) -> None:
        """Take the results of earlier runs."""
        async for blocks in journal.earlier():
            self._note(blocks)

    def _note(self, blocks: Iterable[Block]) -> None:
        blocks = list(blocks)
        self._suspects = suspects(blocks, self.terms.repeated) | self._suspects
        for course_id, key in unproven(blocks):
            self._unproven[course_id].add(key)

    def gated(
        self, planned: AsyncGenerator[Work | Attempt | Changed], emit: Emit[list[Block]]
    ) -> tuple[AsyncGenerator[JobWork], Emit[list[Block]]]:
        """Return planned work with its removals held back, and `emit` that takes note of results.

        The removals come last, once everything else is answered, as far as they are safe.
        """

        async def noted(blocks: list[Block]) -> None:
            self._note(blocks)
            await emit(blocks)

        return self._gated(planned), noted

    async def _gated(
        self, planned: AsyncGenerator[Work | Attempt | Changed]
    ) -> AsyncGenerator[JobWork]:
        removals: list[Attempt] = []
        async with aclosing(planned):
            async for item in planned:
                if isinstance(item, Attempt) and item.batch.action is Action.UNENROLL:
                    removals.append(replace(item, email=self.terms.email_removed))
                else:
                    yield item
        if not removals:
            return
        yield AllAnswered()
        why_withheld: WhyWithheld = self._suspicion
        if not self._unproven and self.diff:  # else it has to be read again
            self._read = self.diff.read
        for number, attempt in enumerate(removals):
            # By the wall clock: others stand still while a laptop sleeps at a prompt.
            if not 0.0 <= time.time() - self._read <= FRESH:
                why_withheld = await self._recheck(removals[number:])
            for part in self._parts(attempt, why_withheld):
                yield part

    def _suspicion(self, _: str, course_id: str) -> str | None:
        return self._suspects.get(course_id)

    async def _recheck(self, removals: list[Attempt]) -> WhyWithheld:
        """Read who is enrolled once more, and decide about removals by that."""
        some = chain.from_iterable(pairs(attempt.batch) for attempt in removals)
        rows, options = await to_thread.run_sync(
            recheck_of, self.roster.desired, self.terms.options, some
        )
        self._read = time.time()
        try:
            roster = Roster(self.roster.source, rows)
            diff = await self._comparer.diff(roster, options, partial=True)
        except EnrollError as error:
            words = f"who is enrolled could not be read again: {error}"
            return lambda _identifier, _course_id: words
        recheck = Recheck(diff, self._unproven)

        def why(identifier: str, course_id: str) -> str | None:
            return self._suspicion(identifier, course_id) or recheck.why_withheld(
                identifier, course_id
            )

        return why

    def _parts(self, attempt: Attempt, why_withheld: WhyWithheld) -> Iterator[Attempt | NotSent]:
        """Divide a batch of removals into those that are sent, and the results of the others."""
        safe: list[Pair] = []
        withheld: dict[str, list[Pair]] = {}
        for pair in pairs(attempt.batch):
            if why := why_withheld(*pair):
                withheld.setdefault(why, []).append(pair)
                self.withheld.setdefault(pair[1], why)
            else:
                safe.append(pair)
        if not withheld:
            yield attempt
            return
        yield from parts(attempt, safe, self._limits)
        for why, some in withheld.items():
            for part in parts(attempt, some, self._limits):
                yield NotSent(attempt.planned, tuple(rejected(part, f"{WITHHELD}{why}")))


def parts(attempt: Attempt, some: Iterable[Pair], limits: BatchLimits) -> Iterator[Attempt]:
    """Yield attempts for some pairs of an attempt."""
    for batch in plan(desired(attempt.batch, some), limits):
        yield attempt.with_batch(batch)


async def numbered(
    work: list[Work], email_students: EmailStudents
) -> AsyncGenerator[Work | Attempt | Changed]:
    """Yield work with its batches numbered, as that of a journal is."""
    numbers = count(1)
    for item in work:
        if isinstance(item, Batch):
            yield Attempt(item, mails_at_once(email_students, item), next(numbers))
        else:
            yield item
