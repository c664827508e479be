"""Mails only those learners for whom a call changed something: who they are, until they are mailed.

The platform mails everyone in a call. So `delivery.delivery` first sends calls without mail, and
gives the results of pairs that these have changed to a `Mailing`. It packs the pairs of many calls
into attempts that mail them; `jobs.runner` starts these. Pure: no I/O.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

import msgspec
from msgspec.structs import replace

from async_enroll.delivery.attempt import Attempt
from async_enroll.delivery.outcomes import Pair, pairs
from async_enroll.models import Action, Batch, BatchLimits, EmailStudents, Outcome
from async_enroll.planning.batching import plan
from async_enroll.planning.desired import Desired
from async_enroll.results import Block, ResultDetail

FRESH = 60.0
"""For how many seconds after the call that changed a pair its learner is taken to be still in."""

_MANY = 8
"""Pairs for this many calls are enough to pack them well."""

_SOON = 15.0
"""After how many seconds learners are mailed, however few they are."""

_NEWLY = (Outcome.ENROLLED, Outcome.ALLOWED)


class Changed(msgspec.Struct, frozen=True):
    """Results of pairs of a planned batch that calls of an earlier run have changed.

    Those in `to_mail` are still to be mailed; for those in `final` mail may have gone out.
    """

    planned: int
    to_mail: list[Block]
    final: list[Block]


def mails_at_once(email_students: EmailStudents, batch: Batch) -> bool:
    """Whether the first call for a batch mails. Unenrolling mails only who was in anyway."""
    return email_students is True or (
        email_students == "changed" and batch.action is Action.UNENROLL
    )


def unmailed(changed: Changed) -> Changed:
    """Return changed pairs with final results: that learners still to be mailed never were."""
    missed = [
        replace(block, details=[detail._replace(mail_missed=True) for detail in block.details])
        for block in changed.to_mail
    ]
    return Changed(changed.planned, [], [*changed.final, *missed])


def divided(blocks: Iterable[Block]) -> tuple[list[Block], list[Block]]:
    """Divide results of calls without mail: those of pairs to mail now, and final ones.

    A pair that is as asked, without being known to have been so before, should be mailed, but
    cannot be: the final result says so.
    """
    to_mail: list[Block] = []
    final: list[Block] = []
    for block in blocks:
        if any(map(_is_changed, block.details)):
            to_mail.append(block.only(_is_changed))
            block = block.only(lambda detail: not _is_changed(detail))
        if any(map(_may_be_changed, block.details)):
            details = [
                detail._replace(mail_missed=True) if _may_be_changed(detail) else detail
                for detail in block.details
            ]
            block = replace(block, details=details)
        final.append(block)
    return to_mail, [block for block in final if len(block)]


def _is_changed(detail: ResultDetail) -> bool:
    before = detail.before
    was_in = before is None or before.enrollment or before.allowed
    return detail.outcome in _NEWLY and not was_in


def _may_be_changed(detail: ResultDetail) -> bool:
    return detail.outcome in _NEWLY and detail.before is None


class Mailing:
    """The pairs of a job that calls without mail have changed, until they have final results."""

    def __init__(self, limits: BatchLimits) -> None:
        self._limits = limits
        self._results: dict[Pair, tuple[int, str | None, ResultDetail]] = {}
        """Each pair's planned batch, its cohort, and its result if nothing else happens."""
        self._waiting: list[tuple[int, Pair]] = []
        """The pairs that no attempt was made for yet, each with its planned batch."""
        self._since = math.inf
        """When the first of these was added."""
        self._changed_at = math.inf
        """When the first of these was changed."""

    def add(self, planned: int, blocks: Iterable[Block], now: float, *, changed_at: float) -> None:
        """Add results of changed pairs. Times are of the event loop's clock."""
        for block in blocks:
            for identifier, detail in zip(block.identifiers, block.details, strict=True):
                pair = identifier, block.course_id
                self._results[pair] = planned, block.cohort, detail._replace(mail_missed=True)
                self._waiting.append((planned, pair))
                self._since = min(self._since, now)
                self._changed_at = min(self._changed_at, changed_at)

    def due(self, now: float) -> list[Attempt]:
        """Return attempts to mail the pairs that wait, if they are many, or wait for long."""
        if len(self._waiting) < _MANY * self._limits.pairs and now < self._since + _SOON:
            return []
        return self.rest()

    def rest(self) -> list[Attempt]:
        """Return attempts to mail all pairs that wait, in as few calls as possible.

        A call with some learners in some courses needs no more than the smaller of both numbers.
        """
        if not self._waiting:
            return []
        waiting, self._waiting = self._waiting, []
        changed_at, self._changed_at = self._changed_at, math.inf
        self._since = math.inf
        together = self._packed(waiting)
        apart = [
            batch
            for _, some in groupby(sorted(waiting), key=lambda one: one[0])
            for batch in self._packed(some)
        ]
        return [
            Attempt(batch, email=True, changed_in=self._planned(batch), changed_at=changed_at)
            for batch in min(together, apart, key=len)
        ]

    def _packed(self, some: Iterable[tuple[int, Pair]]) -> list[Batch]:
        # Cohorts are set already: naming them again would only keep calls apart.
        pairs_ = Desired()
        for _, (identifier, course_id) in some:
            pairs_.add(identifier, course_id, Action.ENROLL)
        return plan(pairs_, self._limits)

    def _planned(self, batch: Batch) -> tuple[int, ...]:
        return tuple(sorted({self._results[pair][0] for pair in pairs(batch)}))

    def unlisted(self, batch: Batch, listed: Mapping[Pair, bool]) -> list[Pair]:
        """Return the pairs that a complete listing would hold, and this one does not."""
        return [pair for pair in pairs(batch) if pair not in listed and self._is_enrolled(pair)]

    def left(self, batch: Batch, listed: Mapping[Pair, bool]) -> list[Pair]:
        """Return the pairs that are not in any more, by what is `listed` as active or inactive.

        Who waits for registration or activation is in no listing, and taken to wait still.
        """
        return [pair for pair in pairs(batch) if not listed.get(pair, not self._is_enrolled(pair))]

    def _is_enrolled(self, pair: Pair) -> bool:
        return self._results[pair][2].outcome is Outcome.ENROLLED

    def settle(self, blocks: Iterable[Block]) -> Iterator[tuple[int, list[Block]]]:
        """Take the results of attempts to mail; yield the final ones, by planned batch."""
        settled: defaultdict[int, list[Pair]] = defaultdict(list)
        for block in blocks:
            for identifier, detail in zip(block.identifiers, block.details, strict=True):
                pair = identifier, block.course_id
                planned, cohort, first = self._results[pair]
                self._results[pair] = planned, cohort, _final(first, detail)
                settled[planned].append(pair)
        for planned, some in settled.items():
            yield planned, self._pop(some)

    def unsettled(self) -> list[Block]:
        """Return the results of all pairs without a final one; for a job that was cancelled."""
        self._waiting = []
        return self._pop(list(self._results))

    def _pop(self, some: Iterable[Pair]) -> list[Block]:
        places: defaultdict[tuple[str, str | None], tuple[list[str], list[ResultDetail]]]
        places = defaultdict(lambda: ([], []))
        for identifier, course_id in some:
            _, cohort, detail = self._results.pop((identifier, course_id))
            identifiers, details = places[course_id, cohort]
            identifiers.append(identifier)
            details.append(detail)
        return [
            Block(course_id, Action.ENROLL, *columns, cohort=cohort)
            for (course_id, cohort), columns in places.items()
        ]


def _final(first: ResultDetail, mailed: ResultDetail) -> ResultDetail:
    """Return the result of a pair by its call without mail, and by the one to mail its learner."""
    attempts = first.attempts + mailed.attempts
    if mailed.outcome is Outcome.ERROR and mailed.after is not None:
        # The platform says that the pair is not as asked any more.
        return mailed._replace(before=first.before, attempts=attempts)
    notified = mailed.notified
    return first._replace(notified=notified, mail_missed=notified is False, attempts=attempts)
