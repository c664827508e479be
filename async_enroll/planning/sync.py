"""What a sync sends: additions first, then removals. No I/O.

Takes a `RosterDiff`; gives `jobs.sync` the work, and decides about each removal just before it is
sent.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

from attrs import evolve, field, frozen

from async_enroll.models import Action, BatchLimits, Outcome, RosterEntry, identity_key
from async_enroll.planning.comparison import CourseDiff
from async_enroll.planning.desired import Desired
from async_enroll.planning.diff import DiffOptions, RosterDiff
from async_enroll.planning.plan import Plan
from async_enroll.planning.validation import Scope, Work, planned
from async_enroll.results import WITHHELD, Block, ResultDetail


@frozen
class SyncTerms:
    """What a sync was asked for, and what was found before anything was sent.

    `kept` says why learners stay enrolled, by course key and username; `withheld` why nobody is
    removed, by course key. `repeated` has the rows that name a learner once more, by course key.
    """

    options: DiffOptions
    email_removed: bool
    kept: Mapping[str, Mapping[str, str]] = field(factory=dict)
    withheld: Mapping[str, str] = field(factory=dict)
    repeated: Mapping[str, Sequence[str]] = field(factory=dict)

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """The terms from the JSON object of `attrs.asdict`."""
        options: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values["options"].items()
        }
        return cls(**{**values, "options": DiffOptions(**options)})

    def found(self, diff: RosterDiff) -> Self:
        """The terms, with what a diff has found."""
        courses = diff.courses.items()
        removing = {
            assignment.course_id
            for assignment in diff.desired.assignments
            if diff.options.remove or assignment.action is Action.UNENROLL
        }
        return evolve(
            self,
            kept={
                key: dict(course.kept) for key, course in courses if course.kept and key in removing
            },
            withheld=diff.withheld,
            repeated={key: sorted(course.repeated) for key, course in courses if course.repeated},
        )


def sync_plan(diff: RosterDiff, limits: BatchLimits) -> Plan:
    """The plan of a sync: results of what is not sent, the scope, additions, then removals."""
    added, removed, all_ = Desired(), Desired(), Desired()
    _add(added, diff.to_enroll)
    withheld: list[Work] = []
    for course in diff.courses.values():
        _add(added, (entry for entry in course.not_listed if entry.action is Action.ENROLL))
        removals = _removals(course, remove=diff.options.remove)
        _add(all_, removals)
        if course.withheld is None:
            _add(removed, removals)
        elif removals:
            whom = [entry.identifier for entry in removals]
            withheld.append(withheld_block(course.course_id, whom, course.withheld))
    _add(all_, added)
    parts = [planned(added, limits), planned(removed, limits)]
    places = dict.fromkeys(
        place for part in parts for item in part if isinstance(item, Scope) for place in item.places
    )
    unsent = [item for part in parts for item in part if isinstance(item, Block)]
    batches = [item for part in parts for item in part if not isinstance(item, Block | Scope)]
    work = [*unsent, *withheld, Scope(tuple(places)), *batches]
    return Plan(diff.source, all_, work, diff.skipped, lines=diff.lines)


def _add(desired: Desired, entries: Iterable[RosterEntry]) -> None:
    for entry in entries:
        desired.add(entry.identifier, entry.course_id, entry.action, entry.cohort)


def _removals(course: CourseDiff, *, remove: bool) -> list[RosterEntry]:
    return [*course.removals(remove=remove), *course.withdrawals]


def withheld_block(course_id: str, identifiers: list[str], why: str) -> Block:
    """The results of removals that are not sent."""
    detail = ResultDetail(Outcome.REJECTED, error=f"{WITHHELD}{why}", attempts=0)
    return Block.alike(course_id, Action.UNENROLL, identifiers, detail)


def recheck_of(
    rows: Desired, options: DiffOptions, removals: Iterable[tuple[str, str]]
) -> tuple[Desired, DiffOptions]:
    """What to compare, to decide once more about removals, as identifiers and course keys."""
    desired = Desired()
    courses: dict[str, None] = {}
    for identifier, course_id in removals:
        courses[course_id] = None
        desired.add(identifier, course_id, Action.UNENROLL)
    for identifier, assignment in rows.pairs():
        if assignment.action is Action.ENROLL and assignment.course_id in courses:
            desired.add(identifier, assignment.course_id, Action.ENROLL)
    return desired, evolve(options, courses=tuple(courses), remove=False)


class Recheck:
    """Decides about removals by a diff of `recheck_of`.

    `unproven` has the identity keys of additions that are told as enrolled without it being known
    whether they were before, by course key. Where the new listing does not show such a learner
    by this identifier, it may show them as somebody who is not wanted.
    """

    def __init__(self, diff: RosterDiff, unproven: Mapping[str, Collection[str]]) -> None:
        self._diff = diff
        self._doubtful = {
            key
            for key, some in unproven.items()
            if (course := diff.courses.get(key))
            and any(
                identity_key(entry.identifier) in some
                for entry in (*course.to_enroll, *course.not_listed)
            )
        }
        self._safe = {
            key: {
                *course.asked,
                *course.absent,
                *(entry.identifier for entry in course.not_listed),
            }
            for key, course in diff.courses.items()
        }

    def why_withheld(self, identifier: str, course_id: str) -> str | None:
        """Why a learner is not removed, in words; None where they are."""
        course, refusals = self._diff.courses[course_id], self._diff.refusals
        why = course.withheld
        if why is None and (refusal := refusals.get(course_id) or refusals.get(None)):
            why = refusal.why
        if why is None and course_id in self._doubtful:
            why = (
                "an addition to this course got no answer, and the list of enrollments does not "
                "show it"
            )
        if why or identifier in self._safe[course_id]:
            return why
        return course.kept.get(identifier, "they are protected by now")


def suspects(blocks: Iterable[Block], repeated: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Why removals are withheld in view of results of additions, by course key.

    Everybody whom the listing showed was left out. So an addition that was enrolled before shows
    that the listing was not complete, or that learners are not told apart.
    """
    found: dict[str, str] = {}
    for block in blocks:
        if block.action is not Action.ENROLL or block.course_id in found:
            continue
        if not any(map(_is_suspect, (detail for detail, _ in block.runs()))):
            continue
        known = set(repeated.get(block.course_id, ()))
        for identifier, detail in zip(block.identifiers, block.details, strict=True):
            if detail.outcome is Outcome.UNCONFIRMED:
                found[block.course_id] = "an addition to this course was not answered"
            elif _is_suspect(detail) and identifier not in known:
                found[block.course_id] = (
                    "an addition to this course was enrolled already, and was not listed: the list "
                    "of enrollments was not complete"
                )
    return found


def unproven(blocks: Iterable[Block]) -> Iterator[tuple[str, str]]:
    """Additions told as enrolled by calls whose first answer was lost: course and identity keys.

    Nobody can tell whether they were enrolled before, which would cast doubt as in `suspects`.
    """
    for block in blocks:
        if block.action is not Action.ENROLL:
            continue
        if not any(_is_unproven(detail) for detail, _ in block.runs()):
            continue
        for identifier in block.only(_is_unproven).identifiers:
            yield block.course_id, identity_key(identifier)


def _is_unproven(detail: ResultDetail) -> bool:
    return detail.outcome is Outcome.ENROLLED and detail.before is None


def _is_suspect(detail: ResultDetail) -> bool:
    if detail.outcome is Outcome.UNCONFIRMED:
        return True
    return detail.before is not None and detail.before.enrollment
