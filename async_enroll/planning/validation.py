"""Validates what callers pass in: strips it, drops duplicates, finds contradictions. No I/O.

Spellings of an identifier that differ in case are one learner, sent in the first spelling.
Pairs that cannot be sent get their results here, without a call, so that every pair has one.
Takes identifiers or roster entries; gives `Work` to `jobs.jobs`, which passes the batches on to
`delivery.delivery`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import chain

import msgspec
from msgspec.structs import astuple

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
    Target,
    all_sendable,
    places,
    plan,
    targets,
    why_unsendable,
    why_unsendable_cohort,
    why_unsendable_course,
)
from async_enroll.planning.desired import Assignment, Desired
from async_enroll.results import Block, ResultDetail


class Scope(msgspec.Struct, frozen=True):
    """The courses and cohorts of all batches of a job. Precedes the first batch."""

    places: tuple[Place, ...]


Work = Scope | Batch | Block
"""An item of work: the scope of a job, a batch to send, or results of pairs not to be sent."""


class _Courses(msgspec.Struct, frozen=True):
    """What is to be done in some courses, and what of it can be sent."""

    assignments: list[Assignment]
    unsendable: list[tuple[Assignment, str]]
    targets: list[Target]
    scope: Scope


@lru_cache(16)
def _courses(
    action: Action,
    keys: tuple[str, ...],
    cohorts: tuple[tuple[str, str], ...],
    limits: BatchLimits,
) -> _Courses:
    # Remembered: an application enrolls one learner after the other, mostly in the same courses.
    cohort_in = dict(cohorts)
    assignments = [Assignment(key, action, cohort_in.get(key)) for key in keys]
    unsendable: list[tuple[Assignment, str]] = []
    sendable: list[Assignment] = []
    for assignment in assignments:
        if why := _why_unsendable(assignment, limits):
            unsendable.append((assignment, why))
        else:
            sendable.append(assignment)
    found = targets(sendable)
    scope = Scope(tuple(chain.from_iterable(map(places, found))))
    return _Courses(assignments, unsendable, found, scope)


class CrossProduct:
    """Every identifier in every course: takes identifiers, gives work as batches become full.

    Repeated identifiers and courses are ignored. `cohorts` maps course keys to cohorts, for
    some or all of the courses.

    Raises:
        ConfigurationError: if there are no courses, one is not a string, or `cohorts` is no
            mapping or names another course.

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
        if cohorts is not None and not isinstance(cohorts, Mapping):
            raise ConfigurationError(f"cohorts is a {type(cohorts).__name__}; expected a mapping")
        cohort_in: dict[str, str] = {}
        for key, cohort in (cohorts or {}).items():
            course_id = _stripped(key, "course key")
            if course_id not in keys:
                raise ConfigurationError(f"cohorts names {course_id!r}, which is not in courses")
            cohort_in[course_id] = _stripped(cohort, "cohort")
        self._courses = _courses(action, tuple(keys), tuple(cohort_in.items()), limits)
        self.scope: Scope = self._courses.scope
        """The courses and cohorts of all batches."""
        self._chunkers = [Chunker(target, limits) for target in self._courses.targets]

    def feed(self, identifiers: Iterable[str]) -> list[Work]:
        """Add identifiers; return the work that is now complete."""
        work: list[Work] = []
        new: list[str] = []
        for identifier in identifiers:
            identifier = _stripped(identifier, "identifier")
            key = identity_key(identifier)
            if key in self._seen:
                continue
            # Where they are equal, keep one object instead of two: saves memory.
            self._seen.add(identifier if key == identifier else key)
            new.append(identifier)
        if self._courses.unsendable or not all_sendable(new):
            work, new = self._unsent(new)
        for chunker in self._chunkers:
            work += chunker.feed(new)
        return work

    def _unsent(self, identifiers: Iterable[str]) -> tuple[list[Work], list[str]]:
        """Return the results of pairs that cannot be sent, and the identifiers that can."""
        work: list[Work] = []
        sendable: list[str] = []
        for identifier in identifiers:
            who = why_unsendable(identifier)
            courses = self._courses
            refused = [(one, None) for one in courses.assignments] if who else courses.unsendable
            work += [_unsent(identifier, assignment, who, what) for assignment, what in refused]
            if not who:
                sendable.append(identifier)
        return work, sendable

    def flush(self) -> list[Work]:
        """Return the remaining work."""
        return [batch for chunker in self._chunkers for batch in chunker.flush()]


class RosterIntake:
    """Collects the entries of a roster and validates them; `desired` gives their pairs.

    A repeated entry is ignored. An entry that contradicts an earlier one (the other action,
    another cohort) is a problem.
    """

    def __init__(self) -> None:
        self._desired = Desired()
        self._problems: list[str] = []
        self._count = 0

    def feed(self, entry: RosterEntry) -> None:
        """Add an entry.

        Raises:
            ConfigurationError: if it is no `RosterEntry`, or a field has the wrong type.

        """
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
        """The desired pairs of all entries.

        Raises:
            RosterError: if entries contradict each other, or an unenrollment has a cohort.

        """
        if self._problems:
            raise RosterError("roster", self._problems)
        return self._desired


def planned(desired: Desired, limits: BatchLimits) -> list[Work]:
    """The work for desired pairs: results of unsendable pairs, then the scope, then batches."""
    # Check each learner and each assignment once: there are far fewer of these than pairs.
    whys = [_why_unsendable(assignment, limits) for assignment in desired.assignments]
    unsent: list[Block] = []
    if any(whys) or not all_sendable([identifier for identifier, _ in desired.learners()]):
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
                sendable.add(identifier, *astuple(assignment))
        desired = sendable
    batches = plan(desired, limits)
    scope = dict.fromkeys(place for batch in batches for place in places(batch))
    return [*unsent, Scope(tuple(scope)), *batches]


def _stripped(text: str, what: str) -> str:
    if not isinstance(text, str):
        raise ConfigurationError(f"expected a string as {what}, found {type(text).__name__}")
    return str.strip(text)  # plain, where a framework has a kind of string of its own


def _unsent(identifier: str, assignment: Assignment, who: str | None, what: str | None) -> Block:
    """The result of an unsendable pair.

    `who` says why its identifier cannot be sent, `what` why its course or cohort cannot.
    """
    if who:
        outcome, error = Outcome.INVALID_IDENTIFIER, f"not sent: the identifier {who}"
    else:
        outcome, error = Outcome.REJECTED, f"not sent: {what}"
    detail = ResultDetail(outcome, error=error, attempts=0)
    cohort = assignment.cohort
    return Block(assignment.course_id, assignment.action, [identifier], [detail], cohort=cohort)


def _why_unsendable(assignment: Assignment, limits: BatchLimits) -> str | None:
    if words := why_unsendable_course(assignment.course_id, limits):
        return f"the course key {words}"
    if assignment.cohort is not None and (
        words := why_unsendable_cohort(assignment.cohort, limits)
    ):
        return f"the cohort's name {words}"
    return None
