"""What became of pairs, compactly: a job has millions of results, and few fates. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import compress, groupby, repeat
from typing import NamedTuple, Self

from attrs import frozen

from async_enroll.models import Action, EnrollmentResult, EnrollmentState, Outcome


class Fate(NamedTuple):
    """All that a result says but of whom, and in which course."""

    outcome: Outcome
    before: EnrollmentState | None = None
    after: EnrollmentState | None = None
    error: str | None = None
    notified: bool | None = False
    attempts: int = 1


@frozen
class Block:
    """What became of some identifiers in one course; iterates as their results.

    Results are made when they are looked at: making one costs more than all else that is
    done for a pair. `fates` has one for each of `identifiers`, in their order, and so has
    `lines`, where it is known in which lines of a roster they stand; 0 where not.
    """

    course_id: str
    action: Action
    identifiers: Sequence[str]
    fates: Sequence[Fate]
    lines: Sequence[int] | None = None

    @classmethod
    def alike(cls, course_id: str, action: Action, identifiers: Sequence[str], fate: Fate) -> Self:
        """One fate for all of them."""
        return cls(course_id, action, identifiers, [fate] * len(identifiers))

    @classmethod
    def known(
        cls,
        course_id: str,
        action: Action,
        identifiers: Sequence[str],
        fates: Sequence[Fate | None],
        lines: Sequence[int] | None = None,
    ) -> Self:
        """Those of the identifiers whose fate is known."""
        told = [fate for fate in fates if fate is not None]
        if len(told) < len(fates):
            identifiers = list(compress(identifiers, fates))
            lines = lines and list(compress(lines, fates))
        return cls(course_id, action, identifiers, told, lines)

    def __len__(self) -> int:
        return len(self.identifiers)

    def __iter__(self) -> Iterator[EnrollmentResult]:
        lines = self.lines or repeat(0, len(self))
        for identifier, fate, line in zip(self.identifiers, self.fates, lines, strict=True):
            yield EnrollmentResult(identifier, self.course_id, self.action, *fate, line or None)

    def runs(self) -> Iterator[tuple[Fate, int]]:
        """The fates in order, and how many identifiers in a row share each."""
        if self.fates and self.fates.count(self.fates[0]) == len(self.fates):
            yield self.fates[0], len(self.fates)  # as most often, and quickly seen
            return
        for fate, alike in groupby(self.fates):
            yield fate, sum(1 for _ in alike)

    def only(self, like: Callable[[Fate], bool]) -> Block:
        """Those of the identifiers with such a fate."""
        chosen = list(map(like, self.fates))
        if all(chosen):
            return self
        identifiers = list(compress(self.identifiers, chosen))
        fates = list(compress(self.fates, chosen))
        lines = self.lines and list(compress(self.lines, chosen))
        return Block(self.course_id, self.action, identifiers, fates, lines)


def pairs_in(blocks: Sequence[Block]) -> int:
    """How many pairs they have in all."""
    return sum(map(len, blocks))


def failing(fate: Fate) -> bool:
    """Whether it is not what was asked for."""
    return not fate.outcome.ok


def unnotified(fate: Fate) -> bool:
    """Whether it is what was asked for, with mail, and nobody can tell whether that was sent."""
    return fate.outcome.ok and fate.notified is None


UNNOTIFIED = "may not have been notified"
"""What is said of such a learner."""
