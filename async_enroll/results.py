"""Results of many pairs in compact form.

A job has millions of results, but few distinct ones: a `Block` stores identifiers next to shared
`ResultDetail` objects and builds `EnrollmentResult` objects on demand. `delivery` makes
blocks; `journal` and `reports` consume them. No I/O.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import compress, groupby, repeat
from typing import NamedTuple, Self

import msgspec
from msgspec.structs import replace

from async_enroll.models import Action, EnrollmentResult, EnrollmentState, Outcome


class ResultDetail(NamedTuple):
    """The fields of an `EnrollmentResult` without identifier, course and action.

    `mail_missed`: the learner was to be mailed if the call changed something; it has, or may have,
    and no mail was sent.
    """

    outcome: Outcome
    before: EnrollmentState | None = None
    after: EnrollmentState | None = None
    error: str | None = None
    notified: bool | None = False
    attempts: int = 1
    mail_missed: bool = False


class Block(msgspec.Struct, frozen=True):
    """The results of some identifiers in one course; iterates as `EnrollmentResult` objects.

    These are built during iteration: building one costs more than all other work on a pair.
    `details` has one item for each of `identifiers`, in the same order. So has `lines`, their
    lines in a roster, 0 where unknown; None if all are unknown. `cohort` is the one asked for,
    `at` when the results came, in seconds since the epoch; None where unknown.
    """

    course_id: str
    action: Action
    identifiers: Sequence[str]
    details: Sequence[ResultDetail]
    lines: Sequence[int] | None = None
    cohort: str | None = None
    at: float | None = None

    @classmethod
    def alike(
        cls,
        course_id: str,
        action: Action,
        identifiers: Sequence[str],
        detail: ResultDetail,
        *,
        cohort: str | None = None,
    ) -> Self:
        """A block in which all identifiers share one detail."""
        return cls(course_id, action, identifiers, [detail] * len(identifiers), cohort=cohort)

    @classmethod
    def known(
        cls,
        course_id: str,
        action: Action,
        identifiers: Sequence[str],
        details: Sequence[ResultDetail | None],
        lines: Sequence[int] | None = None,
        *,
        cohort: str | None = None,
        at: float | None = None,
    ) -> Self:
        """A block of the identifiers whose detail is not None."""
        present = [detail for detail in details if detail is not None]
        if len(present) < len(details):
            identifiers = list(compress(identifiers, details))
            lines = lines and list(compress(lines, details))
        return cls(course_id, action, identifiers, present, lines, cohort, at)

    def with_lines(self, line_of: Callable[[str, str], int | None]) -> Block:
        """The block with the line that `line_of` gives for each identifier and the course.

        A block that has lines keeps them.
        """
        if self.lines:
            return self
        lines = array("I", (line_of(who, self.course_id) or 0 for who in self.identifiers))
        return replace(self, lines=lines)

    def __len__(self) -> int:
        return len(self.identifiers)

    def __iter__(self) -> Iterator[EnrollmentResult]:
        lines = self.lines or repeat(0, len(self))
        for identifier, detail, line in zip(self.identifiers, self.details, lines, strict=True):
            yield EnrollmentResult(
                identifier,
                self.course_id,
                self.action,
                *detail[:6],
                line or None,
                self.cohort,
                self.at,
            )

    def runs(self) -> Iterator[tuple[ResultDetail, int]]:
        """Run-length encode the details: pairs of a detail and the number of repeats in a row."""
        if self.details and self.details.count(self.details[0]) == len(self.details):
            yield self.details[0], len(self.details)  # the most common case, checked in C
            return
        for detail, alike in groupby(self.details):
            yield detail, sum(1 for _ in alike)

    def grouped(self) -> Iterator[tuple[ResultDetail, Sequence[str]]]:
        """Pairs of a detail and identifiers in a row that share it."""
        start = 0
        for detail, count in self.runs():
            yield detail, self.identifiers[start : start + count]
            start += count

    def only(self, like: Callable[[ResultDetail], bool]) -> Block:
        """A block of the identifiers whose detail satisfies `like`."""
        chosen = list(map(like, self.details))
        if all(chosen):
            return self
        identifiers = list(compress(self.identifiers, chosen))
        details = list(compress(self.details, chosen))
        lines = self.lines and list(compress(self.lines, chosen))
        return replace(self, identifiers=identifiers, details=details, lines=lines)


def pairs_in(blocks: Sequence[Block]) -> int:
    """Total number of pairs in `blocks`."""
    return sum(map(len, blocks))


def failing(detail: ResultDetail) -> bool:
    """Whether the pair is not in the state asked for."""
    return not detail.outcome.ok


def unnotified(detail: ResultDetail) -> bool:
    """Whether the pair is in the state asked for, but mail for it is missing, or may be."""
    return detail.outcome.ok and (detail.notified is None or detail.mail_missed)


@lru_cache(1024)
def moment(at: float) -> str:
    """A time in seconds since the epoch as ISO 8601 in UTC, to the second, for output."""
    return f"{datetime.fromtimestamp(int(at), UTC):%Y-%m-%dT%H:%M:%SZ}"


NO_SUCH_LEARNER = "neither a user of the platform nor a plausible e-mail address"
"""The error of an identifier that the platform calls invalid."""

UNNOTIFIED = "may not have been notified"
"""The words for such a learner in output."""


WITHHELD = "not sent: removals are withheld: "
"""How the error of a removal begins that a sync did not send."""


def withheld(detail: ResultDetail) -> bool:
    """Whether a sync did not send this removal, to be safe."""
    return detail.error is not None and detail.error.startswith(WITHHELD)
