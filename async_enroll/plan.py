"""What a roster comes to, told before anything is sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Self

from attrs import field, frozen

from async_enroll.fates import Block
from async_enroll.intake import Scope, Work, planned
from async_enroll.models import (
    Action,
    Batch,
    BatchLimits,
    RequestWindow,
    RosterEntry,
)
from async_enroll.wanted import Lines, Wanted

SECONDS_PER_PAIR = 0.02
"""How long a platform is taken to need for a pair: tens of milliseconds, on real sites."""

_MAILED_TWICE = (
    "the platform mails a learner twice who is named both ways: use one kind of identifier"
)


@frozen(eq=False)
class Plan:
    """The calls for a roster; iterates as its entries.

    `source` names the roster, `skipped` has the rows of it that were left out, in words,
    `unused` its columns that are not used; `lines` where in it each pair was asked for.
    `work` is what is to be done: what became of what cannot be sent, then batches.
    """

    source: str
    wanted: Wanted = field(repr=False)
    work: list[Work] = field(repr=False)
    skipped: tuple[str, ...] = field(default=(), repr=False)
    unused: tuple[str, ...] = field(default=(), repr=False)
    lines: Lines | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls,
        wanted: Wanted,
        limits: BatchLimits,
        *,
        source: str,
        skipped: tuple[str, ...] = (),
        unused: tuple[str, ...] = (),
        lines: Lines | None = None,
    ) -> Self:
        """The plan for what is wanted. Takes a while where that is millions of pairs."""
        return cls(source, wanted, planned(wanted, limits), skipped, unused, lines)

    def __iter__(self) -> Iterator[RosterEntry]:
        return iter(self.wanted)

    @property
    def pairs(self) -> int:
        """How many pairs there are, also of those that cannot be sent."""
        return len(self.wanted)

    @property
    def learners(self) -> int:
        """How many identifiers."""
        return len(self.wanted.learners())

    @property
    def courses(self) -> int:
        """How many courses."""
        return len({wish.course_id for wish in self.wanted.wishes})

    @property
    def cohorts(self) -> int:
        """How many cohorts, each in its course."""
        return sum(wish.cohort is not None for wish in self.wanted.wishes)

    @property
    def unsendable(self) -> int:
        """How many pairs cannot be sent at all, and have their results already."""
        return sum(len(item) for item in self.work if isinstance(item, Block))

    @property
    def calls(self) -> int:
        """How many calls will be sent if all goes well, without those that check courses."""
        return sum(isinstance(item, Batch) for item in self.work)

    @property
    def scope(self) -> Scope:
        """The courses and cohorts that learners are to be placed in."""
        return next(item for item in self.work if isinstance(item, Scope))

    def actions(self) -> dict[Action, int]:
        """How many pairs that can be sent are to be enrolled, and how many unenrolled."""
        counts: Counter[Action] = Counter()
        for item in self.work:
            if isinstance(item, Batch):
                counts[item.action] += item.pairs
        return dict(counts)

    def warnings(self, *, email_students: bool) -> tuple[str, ...]:
        """What is worth knowing before it is applied with such options, in sentences."""
        if not email_students:
            return ()
        usernames: set[tuple[int, ...]] = set()
        addresses: set[tuple[int, ...]] = set()
        for identifier, numbers in self.wanted.learners():
            (addresses if "@" in identifier else usernames).add(numbers)
        both = len(self._enrolled_in(usernames) & self._enrolled_in(addresses))
        if not both:
            return ()
        where = "1 course names" if both == 1 else f"{both:,} courses name"
        return (f"{where} learners by username and by e-mail address; {_MAILED_TWICE}",)

    def _enrolled_in(self, some: Iterable[tuple[int, ...]]) -> set[str]:
        wishes = [self.wanted.wishes[number] for number in {*chain.from_iterable(some)}]
        return {wish.course_id for wish in wishes if wish.action is Action.ENROLL}

    def shortest(self, window: RequestWindow) -> float:
        """The seconds that the window alone takes: nobody can be faster."""
        return max(0, self.calls - 1) // window.calls * window.seconds

    def expected(self, window: RequestWindow, concurrency: int) -> float:
        """The seconds it takes where the platform needs `SECONDS_PER_PAIR`."""
        return max(self.shortest(window), self.pairs * SECONDS_PER_PAIR / concurrency)
