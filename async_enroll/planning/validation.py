"""What callers pass in, made ready to send: stripped, without repeats, checked. Pure.

One identifier in several spellings is one learner, sent as it was spelled first.

What cannot be sent has its result here, without a call, so that every pair asked
for has one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import frozen

from async_enroll.errors import ConfigurationError, RosterError
from async_enroll.models import (
    Action,
    Batch,
    BatchLimits,
    Outcome,
    RosterEntry,
    identity_key,
)
from async_enroll.planning.batching import (
    Chunker,
    Place,
    places,
    plan,
    targets,
    why_unsendable,
    why_unsendable_cohort,
    why_unsendable_course,
)
from async_enroll.planning.desired import Assignment, Desired
from async_enroll.results import Block, ResultDetail


@frozen
class Scope:
    """All places that the batches of a job lead to; comes before the first of them."""

    places: tuple[Place, ...]


Work = Scope | Batch | Block
"""What a job is about, something to send, or what has become of a pair that cannot be sent."""


class CrossProduct:
    """Every identifier in every course: feed identifiers, get work as batches become full.

    Repeated identifiers and courses count once. `cohorts` maps some of the courses to a
    cohort each.

    Raises:
        ConfigurationError: for courses or cohorts that are no such thing.

    """

    def __init__(
        self,
        action: Action,
        courses: Iterable[str],
        cohorts: Mapping[str, str] | None,
        limits: BatchLimits,
    ) -> None:
        self._seen: set[str] = set()
        keys = list(dict.fromkeys(_stripped(key, "course key") for key in courses))
        if not keys:
            raise ConfigurationError("no courses are given; expected at least one course key")
        if not isinstance(cohorts, Mapping | None):
            raise ConfigurationError(f"cohorts is a {type(cohorts).__name__}; expected a mapping")
        cohort_in: dict[str, str] = {}
        for key, cohort in (cohorts or {}).items():
            course_id = _stripped(key, "course key")
            if course_id not in keys:
                raise ConfigurationError(f"cohorts names {course_id!r}, which is not in courses")
            cohort_in[course_id] = _stripped(cohort, "cohort")
        self._assignments = [Assignment(key, action, cohort_in.get(key)) for key in keys]
        whys = [
            (assignment, _why_unsendable(assignment, limits)) for assignment in self._assignments
        ]
        self._unsendable = [(assignment, why) for assignment, why in whys if why]
        found = targets(assignment for assignment, why in whys if not why)
        self.scope: Scope = Scope(tuple(place for target in found for place in places(target)))
        """Where all batches lead."""
        self._chunkers = [Chunker(target, limits) for target in found]

    def feed(self, identifiers: Iterable[str]) -> list[Work]:
        """Take identifiers; give the work that is complete with them."""
        work: list[Work] = []
        new: list[str] = []
        for identifier in identifiers:
            identifier = _stripped(identifier, "identifier")
            key = identity_key(identifier)
            if key in self._seen:
                continue
            # Where they are equal, one object is enough for both.
            self._seen.add(identifier if key == identifier else key)
            if why := why_unsendable(identifier):
                work += [
                    _unsent(identifier, assignment, why, None) for assignment in self._assignments
                ]
            else:
                work += [
                    _unsent(identifier, assignment, None, why)
                    for assignment, why in self._unsendable
                ]
                new.append(identifier)
        for chunker in self._chunkers:
            work += chunker.feed(new)
        return work

    def flush(self) -> list[Work]:
        """Give the rest of the work."""
        return [batch for chunker in self._chunkers for batch in chunker.flush()]


class RosterIntake:
    """Feed the entries of a roster, then plan the work of all that is `wanted`.

    An entry that repeats a pair counts once; one that contradicts an earlier one (the
    other action, another cohort) is a problem.
    """

    def __init__(self) -> None:
        self._desired = Desired()
        self._problems: list[str] = []
        self._count = 0

    def feed(self, entry: RosterEntry) -> None:
        """Take an entry."""
        self._count += 1
        if not isinstance(entry, RosterEntry):
            raise ConfigurationError(
                f"entry {self._count} of the roster is a {type(entry).__name__}; "
                "expected a RosterEntry"
            )
        if not isinstance(entry.action, Action):
            raise ConfigurationError(
                f"entry {self._count} of the roster: action is {entry.action!r}; "
                "expected Action.ENROLL or Action.UNENROLL"
            )
        identifier = _stripped(entry.identifier, "identifier")
        course_id = _stripped(entry.course_id, "course key")
        cohort = _stripped(entry.cohort or "", "cohort") or None
        spelling = self._desired.spelling(identifier)
        first = self._desired.add(spelling, course_id, entry.action, cohort)
        if first is not None:
            also = f", also spelled {spelling!r}," if spelling != identifier else ""
            asked = Assignment(course_id, entry.action, cohort)
            self._problems.append(
                f"entry {self._count}: {asked} contradicts an "
                f"earlier entry for the same pair, {first}: {identifier!r}{also} in {course_id!r}"
            )
        elif cohort is not None and entry.action is Action.UNENROLL:
            self._problems.append(
                f"entry {self._count}: cohort {cohort!r} given with unenroll; "
                "the platform takes cohorts with enroll only"
            )

    @property
    def desired(self) -> Desired:
        """What all entries together want.

        Raises:
            RosterError: where entries contradict each other.

        """
        if self._problems:
            raise RosterError("roster", self._problems)
        return self._desired


def planned(desired: Desired, limits: BatchLimits) -> list[Work]:
    """The work of what is wanted: first what cannot be sent, then its scope and its batches."""
    # Asked once of each learner and each wish: together they are far fewer than pairs.
    whys = [_why_unsendable(assignment, limits) for assignment in desired.assignments]
    unsent = [
        _unsent(identifier, desired.assignments[number], why, whys[number])
        for identifier, numbers in desired.learners()
        for why in [why_unsendable(identifier)]
        for number in numbers
        if why or whys[number]
    ]
    if unsent:
        refused = {(block.identifiers[0], block.course_id) for block in unsent}
        sendable = Desired()
        for identifier, assignment in desired.pairs():
            if (identifier, assignment.course_id) not in refused:
                sendable.add(identifier, assignment.course_id, assignment.action, assignment.cohort)
        desired = sendable
    batches = plan(desired, limits)
    scope = dict.fromkeys(place for batch in batches for place in places(batch))
    return [*unsent, Scope(tuple(scope)), *batches]


def _stripped(text: str, what: str) -> str:
    if not isinstance(text, str):
        raise ConfigurationError(f"expected a string as {what}, found {type(text).__name__}")
    return text.strip()


def _unsent(identifier: str, assignment: Assignment, who: str | None, what: str | None) -> Block:
    """The result of a pair that cannot be sent for its identifier or for what is wanted."""
    if who:
        outcome, error = Outcome.INVALID_IDENTIFIER, f"not sent: the identifier {who}"
    else:
        outcome, error = Outcome.REJECTED, f"not sent: {what}"
    detail = ResultDetail(outcome, error=error, attempts=0)
    return Block(assignment.course_id, assignment.action, [identifier], [detail])


def _why_unsendable(assignment: Assignment, limits: BatchLimits) -> str | None:
    if words := why_unsendable_course(assignment.course_id, limits):
        return f"the course key {words}"
    if assignment.cohort is not None and (
        words := why_unsendable_cohort(assignment.cohort, limits)
    ):
        return f"the cohort's name {words}"
    return None
