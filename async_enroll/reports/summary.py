"""The account of a job in a few numbers: folded in one pass, small however large the job."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Self

from attrs import define, field

from async_enroll.models import EnrollmentResult, Outcome
from async_enroll.results import UNNOTIFIED, Block, failing, unnotified

MOST_REASONS = 200
MOST_FAILURES = 10_000

# Every reason, "other" among them, can have so many without exceeding the most in all.
_FAIR_SHARE = MOST_FAILURES // (MOST_REASONS + 1)


@define
class Reason:
    """Why some pairs are not as asked: `words`, for people, and `count` of them.

    `outcome` is None for what is left of many rare reasons, taken together. `failures` has
    the first of its results; less than `count` where there are more than can be kept.
    """

    outcome: Outcome | None
    words: str
    count: int = 0
    failures: list[EnrollmentResult] = field(factory=list)


class Summary:
    """Folds results, as they come or from a report.

    `courses` counts outcomes by course key. `notification_unknown` is the number of pairs
    that are as asked, and whose learners may or may not have been mailed. `started` and
    `ended` are when the first and the last results became known, in seconds since the
    epoch; None where nobody said.
    """

    def __init__(self) -> None:
        self.courses: dict[str, Counter[Outcome]] = {}
        self.notification_unknown: int = 0
        self.started: float | None = None
        self.ended: float | None = None
        self._reasons: dict[tuple[Outcome, str], Reason] = {}
        self._other = Reason(None, "other reasons")
        self._kept = 0

    @classmethod
    def of(cls, blocks: Iterable[Block]) -> Self:
        """The summary of these results."""
        summary = cls()
        summary.add(blocks)
        return summary

    def add(self, blocks: Iterable[Block], at: float | None = None) -> None:
        """Take further results, which became known `at`, in seconds since the epoch."""
        for block in blocks:
            counts = self.courses.setdefault(block.course_id, Counter())
            failed = False
            for detail, count in block.runs():
                counts[detail.outcome] += count
                if failing(detail):
                    failed = True
                elif unnotified(detail):
                    self.notification_unknown += count
            if failed:
                for result in block.only(failing):
                    self._fail(result)
        if at is not None:
            self.started = at if self.started is None else min(self.started, at)
            self.ended = at if self.ended is None else max(self.ended, at)

    @property
    def counts(self) -> dict[Outcome, int]:
        """How many pairs came to each outcome, of those that occur."""
        counts: Counter[Outcome] = Counter()
        for of_course in self.courses.values():
            counts.update(of_course)
        return dict(counts)

    @property
    def pairs(self) -> int:
        """How many pairs have a result."""
        return sum(self.counts.values())

    @property
    def failed(self) -> int:
        """How many pairs are not as they were asked to be."""
        return failed(self.counts)

    @property
    def ok(self) -> bool:
        """Whether every pair is now as it was asked to be."""
        return self.failed == 0

    @property
    def reasons(self) -> list[Reason]:
        """Why pairs are not as asked, the most frequent reason first, "other reasons" last.

        At most `MOST_REASONS` and the other ones, with at most `MOST_FAILURES` failures
        in all; every reason keeps at least its first 49.
        """
        found = sorted(self._reasons.values(), key=lambda reason: -reason.count)
        return [*found, self._other] if self._other.count else found

    @property
    def headline(self) -> str:
        """The account in a sentence, in numbers and nobody's address."""
        total = self.pairs
        failures = self.failed
        verdict = f"{failures:,} not as asked" if failures else "all as asked"
        return f"{total:,} pairs in {len(self.courses):,} courses: {verdict}"

    @property
    def notification(self) -> str:
        """That learners may not have been notified, in a sentence; empty where none may."""
        count = self.notification_unknown
        pairs = "the learner of 1 pair" if count == 1 else f"the learners of {count:,} pairs"
        return f"{pairs} {UNNOTIFIED}" if count else ""

    def __str__(self) -> str:
        """The headline, the counts, the largest first, and the `notification`, if any."""
        lines = [self.headline]
        for outcome, count in sorted(self.counts.items(), key=lambda item: -item[1]):
            lines.append(f"  {outcome.value:<18} {count:>9,}")
        if self.notification:
            lines.append(self.notification)
        return "\n".join(lines)

    def _fail(self, result: EnrollmentResult) -> None:
        words = _without_names(result)
        reason = self._reasons.get((result.outcome, words))
        if reason is None:
            if len(self._reasons) < MOST_REASONS:
                reason = self._reasons[result.outcome, words] = Reason(result.outcome, words)
            else:
                reason = self._other
        reason.count += 1
        if self._kept < MOST_FAILURES:
            self._kept += 1
        elif len(reason.failures) < _FAIR_SHARE:
            # Someone has more than a fair share: a rare reason must not go without examples.
            max(self.reasons, key=lambda reason: len(reason.failures)).failures.pop()
        else:
            return
        reason.failures.append(result)


def failed(counts: dict[Outcome, int]) -> int:
    """How many of these pairs are not as they were asked to be."""
    return sum(count for outcome, count in counts.items() if not outcome.ok)


def _without_names(result: EnrollmentResult) -> str:
    """The error without the pair's own names, so that the same reason reads the same."""
    words = result.error or ""
    for name, instead in ((result.course_id, "[course]"), (result.identifier, "[identifier]")):
        if name and name in words:
            # As a whole word: a learner called "a" is not meant by every "a".
            words = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", instead, words)
    return words
