"""What became of pairs, compactly: a job has millions of results, and few fates. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import compress, groupby
from typing import NamedTuple, Self

from attrs import frozen

from async_enroll.models import Action, EnrollmentResult, EnrollmentState, Outcome


class ResultDetail(NamedTuple):
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
    done for a pair. `fates` has one for each of `identifiers`, in their order.
    """

    course_id: str
    action: Action
    identifiers: Sequence[str]
    details: Sequence[ResultDetail]

    @classmethod
    def alike(
        cls, course_id: str, action: Action, identifiers: Sequence[str], detail: ResultDetail
    ) -> Self:
        """One fate for all of them."""
        return cls(course_id, action, identifiers, [detail] * len(identifiers))

    @classmethod
    def known(
        cls,
        course_id: str,
        action: Action,
        identifiers: Sequence[str],
        details: Sequence[ResultDetail | None],
    ) -> Self:
        """Those of the identifiers whose fate is known."""
        told = [detail for detail in details if detail is not None]
        if len(told) < len(details):
            identifiers = list(compress(identifiers, details))
        return cls(course_id, action, identifiers, told)

    def __len__(self) -> int:
        return len(self.identifiers)

    def __iter__(self) -> Iterator[EnrollmentResult]:
        for identifier, detail in zip(self.identifiers, self.details, strict=True):
            yield EnrollmentResult(identifier, self.course_id, self.action, *detail)

    def runs(self) -> Iterator[tuple[ResultDetail, int]]:
        """The fates in order, and how many identifiers in a row share each."""
        if self.details and self.details.count(self.details[0]) == len(self.details):
            yield self.details[0], len(self.details)  # as most often, and quickly seen
            return
        for detail, alike in groupby(self.details):
            yield detail, sum(1 for _ in alike)

    def only(self, like: Callable[[ResultDetail], bool]) -> Block:
        """Those of the identifiers with such a fate."""
        chosen = list(map(like, self.details))
        if all(chosen):
            return self
        identifiers = list(compress(self.identifiers, chosen))
        return Block(self.course_id, self.action, identifiers, list(compress(self.details, chosen)))


def pairs_in(blocks: Sequence[Block]) -> int:
    """How many pairs they have in all."""
    return sum(map(len, blocks))


def failing(detail: ResultDetail) -> bool:
    """Whether it is not what was asked for."""
    return not detail.outcome.ok


def unnotified(detail: ResultDetail) -> bool:
    """Whether it is what was asked for, with mail, and nobody can tell whether that was sent."""
    return detail.outcome.ok and detail.notified is None


UNNOTIFIED = "may not have been notified"
"""What is said of such a learner."""
