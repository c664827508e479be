"""`Plan`: the calls that applying a roster takes, computed before anything is sent.

Takes the `Desired` pairs of a roster; `jobs.jobs` runs its work, and the command line shows it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Self

from attrs import field, frozen

from async_enroll.models import (
    Action,
    Batch,
    BatchLimits,
    EmailStudents,
    EnrollmentResult,
    RequestWindow,
    RosterEntry,
)
from async_enroll.planning.desired import Desired, Lines
from async_enroll.planning.validation import Scope, Work, planned
from async_enroll.results import Block

SECONDS_PER_PAIR = 0.02
"""Assumed time of the platform for one pair, in seconds; real sites take tens of milliseconds."""

_MAILED_TWICE = (
    "the platform mails a learner twice who is named both ways: use one kind of identifier, or "
    "--email-changed, which mails only those who were not enrolled before"
)


@frozen(eq=False)
class Plan:
    """The calls for a roster; iterates as its entries.

    `source` names the roster. `skipped` describes the rows that were left out, one string each.
    `unused` names the columns that are not used. `lines` has the line of each pair in the file.
    `work` holds the results of pairs that cannot be sent, then the scope, then the batches.
    """

    source: str
    desired: Desired = field(repr=False)
    work: list[Work] = field(repr=False)
    skipped: tuple[str, ...] = field(default=(), repr=False)
    unused: tuple[str, ...] = field(default=(), repr=False)
    lines: Lines | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls,
        desired: Desired,
        limits: BatchLimits,
        *,
        source: str,
        skipped: tuple[str, ...] = (),
        unused: tuple[str, ...] = (),
        lines: Lines | None = None,
    ) -> Self:
        """Plan the desired pairs. Blocks for seconds with millions of pairs; no I/O."""
        return cls(source, desired, planned(desired, limits), skipped, unused, lines)

    def __iter__(self) -> Iterator[RosterEntry]:
        return iter(self.desired)

    @property
    def pairs(self) -> int:
        """Number of pairs, including those that cannot be sent."""
        return len(self.desired)

    @property
    def learners(self) -> int:
        """Number of identifiers."""
        return len(self.desired.learners())

    @property
    def courses(self) -> int:
        """Number of courses."""
        return len({assignment.course_id for assignment in self.desired.assignments})

    @property
    def cohorts(self) -> int:
        """Number of cohorts, counted per course."""
        return sum(assignment.cohort is not None for assignment in self.desired.assignments)

    @property
    def unsendable(self) -> int:
        """Number of pairs that cannot be sent; they have results already."""
        return sum(len(item) for item in self.work if isinstance(item, Block))

    def unsent(self) -> Iterator[EnrollmentResult]:
        """Yield the results of the pairs that cannot be sent, each with its line."""
        for item in self.work:
            if isinstance(item, Block):
                yield from item.with_lines(self.lines.of) if self.lines else item

    @property
    def calls(self) -> int:
        """Number of bulk calls if none fails, without those that check courses."""
        return sum(isinstance(item, Batch) for item in self.work)

    @property
    def scope(self) -> Scope:
        """The courses and cohorts of all batches."""
        return next(item for item in self.work if isinstance(item, Scope))

    def actions(self) -> dict[Action, int]:
        """Number of sendable pairs by action; an action without pairs is absent."""
        counts: Counter[Action] = Counter()
        for item in self.work:
            if isinstance(item, Batch):
                counts[item.action] += item.pairs
        return dict(counts)

    @property
    def mail_calls(self) -> int:
        """The most bulk calls that mailing only changed learners adds, if none fails.

        As many as there are calls that enroll. More where these have several learners in several
        courses: those who are changed need not form a cross product.
        """
        return sum(
            min(len(item.courses), len(item.identifiers))
            for item in self.work
            if isinstance(item, Batch) and item.action is Action.ENROLL
        )

    def warnings(self, *, email_students: EmailStudents) -> tuple[str, ...]:
        """Warnings to show before the plan is applied with such options, one sentence each."""
        if email_students is not True:
            return ()
        usernames: set[tuple[int, ...]] = set()
        addresses: set[tuple[int, ...]] = set()
        for identifier, numbers in self.desired.learners():
            (addresses if "@" in identifier else usernames).add(numbers)
        both = len(self._enrolled_in(usernames) & self._enrolled_in(addresses))
        if not both:
            return ()
        where = "1 course names" if both == 1 else f"{both:,} courses name"
        return (f"{where} learners by username and by e-mail address; {_MAILED_TWICE}",)

    def _enrolled_in(self, some: Iterable[tuple[int, ...]]) -> set[str]:
        assignments = [self.desired.assignments[number] for number in {*chain.from_iterable(some)}]
        return {
            assignment.course_id for assignment in assignments if assignment.action is Action.ENROLL
        }

    def shortest(self, window: RequestWindow) -> float:
        """The minimum duration in seconds, which the request window alone imposes."""
        return max(0, self.calls - 1) // window.calls * window.seconds

    def expected(self, window: RequestWindow, concurrency: int) -> float:
        """The expected duration in seconds, if a pair takes the platform `SECONDS_PER_PAIR`."""
        return max(self.shortest(window), self.pairs * SECONDS_PER_PAIR / concurrency)
