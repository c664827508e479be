"""The results of a job in a few numbers: counts, failures by reason, times.

Takes blocks of results in one pass; its size is bounded, however large the job.
Used by `report`, by `html` and by the command line.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Self

from attrs import define, field

from async_enroll.models import EmailStudents, EnrollmentResult, Outcome
from async_enroll.reports.words import name_of
from async_enroll.results import UNNOTIFIED, Block, ResultDetail, failing, unnotified, withheld

MOST_REASONS = 200
MOST_FAILURES = 10_000

# So many for each reason, including "other reasons", stay within MOST_FAILURES in all.
_FAIR_SHARE = MOST_FAILURES // (MOST_REASONS + 1)


@define
class Reason:
    """A reason why pairs failed: `words`, an error message, and `count`, the number of pairs.

    `outcome` is None for "other reasons", which combines rare reasons. `failures` holds the
    first results, fewer than `count` if there are too many to keep.
    """

    outcome: Outcome | None
    words: str
    count: int = 0
    failures: list[EnrollmentResult] = field(factory=list)


class Summary:
    """Counts of results, added as they come or taken from a report.

    `courses` counts outcomes by course key. `notification_unknown` is the number of pairs
    that succeeded, but whose learners may not have been notified. `added` and `removed` are the
    numbers of learners who are newly in or out of a course; `withheld` is the number
    of removals that a sync did not send, to be safe. `started` and `ended` are
    when the first and the last results arrived, in seconds since the epoch, or None if
    unknown.
    """

    def __init__(self) -> None:
        self.courses: dict[str, Counter[Outcome]] = {}
        self.notification_unknown: int = 0
        self.added: int = 0
        self.removed: int = 0
        self.withheld: int = 0
        self.started: float | None = None
        self.ended: float | None = None
        self._reasons: dict[tuple[Outcome, str], Reason] = {}
        self._other = Reason(None, "other reasons")
        self._kept = 0

    @classmethod
    def of(cls, blocks: Iterable[Block]) -> Self:
        """Summarize results."""
        summary = cls()
        summary.add(blocks)
        return summary

    def add(self, blocks: Iterable[Block]) -> None:
        """Add results."""
        for block in blocks:
            counts = self.courses.setdefault(block.course_id, Counter())
            failed = False
            for detail, count in block.runs():
                counts[detail.outcome] += count
                self.added += count if _is_added(detail) else 0
                self.removed += count if detail.outcome in _REMOVED else 0
                if failing(detail):
                    failed = True
                    self.withheld += count if withheld(detail) else 0
                elif unnotified(detail):
                    self.notification_unknown += count
            if failed:
                for result in block.only(failing):
                    self._fail(result)
            if (at := block.at) is not None:
                self.started = at if self.started is None else min(self.started, at)
                self.ended = at if self.ended is None else max(self.ended, at)

    @property
    def counts(self) -> Counter[Outcome]:
        """The number of pairs by outcome: 0 for outcomes that do not occur."""
        counts: Counter[Outcome] = Counter()
        for of_course in self.courses.values():
            counts.update(of_course)
        return counts

    @property
    def pairs(self) -> int:
        """The number of pairs with a result."""
        return sum(self.counts.values())

    @property
    def failed(self) -> int:
        """The number of pairs that failed."""
        return failed(self.counts)

    @property
    def ok(self) -> bool:
        """Whether every pair succeeded: it is now as requested."""
        return self.failed == 0

    @property
    def reasons(self) -> list[Reason]:
        """Why pairs failed, the most frequent reason first, "other reasons" last.

        At most `MOST_REASONS` besides "other reasons", with at most `MOST_FAILURES` failures
        in all. Every reason keeps at least its first 49.
        """
        found = sorted(self._reasons.values(), key=lambda reason: -reason.count)
        return [*found, self._other] if self._other.count else found

    @property
    def headline(self) -> str:
        """The result in one line, as in "4 enrollments in 1 course: 2 failed"; no identifiers."""
        total = counted(self.pairs, "enrollment")
        courses = counted(len(self.courses), "course")
        state = f"{self.failed:,} failed" if self.failed else "all as requested"
        return f"{total} in {courses}: {state}"

    @property
    def notification(self) -> str:
        """How many learners may not have been notified, in one line; empty if there are none."""
        count = self.notification_unknown
        whose = "the learner of" if count == 1 else "the learners of"
        return f"{whose} {counted(count, 'enrollment')} {UNNOTIFIED}" if count else ""

    def __str__(self) -> str:
        """Give the headline, the counts, the largest first, and the `notification`, if any."""
        lines = [self.headline]
        counts = sorted(self.counts.items(), key=lambda item: -item[1])
        width = max((len(name_of(outcome)) for outcome, _ in counts), default=0)
        lines += [f"  {name_of(outcome):<{width}} {count:>9,}" for outcome, count in counts]
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
            # Take one from the reason with most: a rare reason must not go without examples.
            max(self.reasons, key=lambda reason: len(reason.failures)).failures.pop()
        else:
            return
        reason.failures.append(result)


def sync_in_words(summary: Summary, kept: int, withheld: Mapping[str, str]) -> list[str]:
    """What a sync has done, in sentences. `withheld` says why nobody is removed, by course key."""
    counts = {
        "added": summary.added,
        "removed": summary.removed,
        "kept": kept,
        "withheld": summary.withheld,
    }
    return [
        f"sync: {', '.join(f'{count:,} {name}' for name, count in counts.items())}",
        *(f"nobody is removed from {course_id}: {why}" for course_id, why in withheld.items()),
    ]


def failed(counts: dict[Outcome, int]) -> int:
    """The number of pairs that failed, from counts by outcome."""
    return sum(count for outcome, count in counts.items() if not outcome.ok)


def mail_in_words(email_students: EmailStudents) -> str:
    """Whom a job mails."""
    if email_students == "changed":
        return "only to those whose enrollment changed"
    return "yes" if email_students else "no"


def counted(count: int, noun: str) -> str:
    """A number with its noun, as in "1 course" and "2,000 courses"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


_REMOVED = frozenset({Outcome.UNENROLLED, Outcome.WITHDRAWN})


def _is_added(detail: ResultDetail) -> bool:
    """Whether a learner is newly enrolled, or newly waits for registration or activation."""
    if detail.outcome is Outcome.ALLOWED:
        return detail.before is None or not detail.before.allowed
    return detail.outcome is Outcome.ENROLLED


def _without_names(result: EnrollmentResult) -> str:
    """The error without identifier and course key, so that equal reasons compare equal."""
    words = result.error or ""
    for name, instead in ((result.course_id, "[course]"), (result.identifier, "[identifier]")):
        if name and name in words:
            # Whole words only: not every "a" means the learner called "a".
            words = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", instead, words)
    return words
