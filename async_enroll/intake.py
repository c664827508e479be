"""What callers pass in, made ready to send: stripped, without repeats, checked. Pure.

What cannot be sent becomes its result here, without a call, so that every pair asked
for has one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping

from attrs import frozen

from async_enroll.batching import (
    Chunker,
    Place,
    Placement,
    places,
    plan,
    targets,
    why_unsendable,
    why_unsendable_cohort,
)
from async_enroll.errors import ConfigurationError, RosterError
from async_enroll.models import (
    Action,
    Batch,
    BatchLimits,
    EnrollmentResult,
    Outcome,
    RosterEntry,
)


@frozen
class Scope:
    """All places that the batches of a job lead to; comes before the first of them."""

    places: tuple[Place, ...]


Work = Scope | Batch | EnrollmentResult
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
        self._limits = limits
        self._seen: set[str] = set()
        self._wanted = {_stripped(key, "course key"): Placement(action) for key in courses}
        if not self._wanted:
            raise ConfigurationError("no courses are given; expected at least one course key")
        for key, cohort in (cohorts or {}).items():
            course_id = _stripped(key, "course key")
            if course_id not in self._wanted:
                raise ConfigurationError(f"cohorts names {course_id!r}, which is not in courses")
            self._wanted[course_id] = Placement(action, _stripped(cohort, "cohort"))
        sendable = {
            course_id: placement
            for course_id, placement in self._wanted.items()
            if not _why_unsendable_in(course_id, placement, limits)
        }
        found = targets(sendable)
        self.scope = Scope(tuple(place for target in found for place in places(target)))
        """Where all batches lead."""
        self._chunkers = [Chunker(target, limits) for target in found]

    def feed(self, identifier: str) -> list[Work]:
        """Take an identifier; give the work that is complete with it."""
        identifier = _stripped(identifier, "identifier")
        if identifier in self._seen:
            return []
        self._seen.add(identifier)
        work: list[Work] = [
            result
            for course_id, placement in self._wanted.items()
            if (result := _refusal(identifier, course_id, placement, self._limits))
        ]
        if len(work) < len(self._wanted):
            for chunker in self._chunkers:
                work += chunker.feed(identifier)
        return work

    def flush(self) -> list[Work]:
        """Give the rest of the work."""
        return [batch for chunker in self._chunkers for batch in chunker.flush()]


class RosterIntake:
    """Feed the entries of a roster, then `plan` the work of all of them.

    An entry that repeats a pair counts once; one that contradicts an earlier one (the
    other action, another cohort) is a problem.
    """

    def __init__(self, limits: BatchLimits) -> None:
        self._limits = limits
        self._wanted: dict[str, dict[str, Placement]] = {}
        self._placements: dict[tuple[Action, str | None], Placement] = {}
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
        identifier = _stripped(entry.identifier, "identifier")
        # Few course keys and placements stand in millions of entries: equal ones are one object.
        course_id = sys.intern(_stripped(entry.course_id, "course key"))
        cohort = _stripped(entry.cohort or "", "cohort") or None
        wish = entry.action, cohort
        placement = self._placements.setdefault(wish, Placement(*wish))
        first = self._wanted.setdefault(identifier, {}).setdefault(course_id, placement)
        if first != placement:
            self._problems.append(
                f"entry {self._count}: {_wish(placement)} contradicts an earlier entry for the "
                f"same pair, {_wish(first)}: {identifier!r} in {course_id!r}"
            )
        elif cohort is not None and entry.action is Action.UNENROLL:
            self._problems.append(
                f"entry {self._count}: cohort {cohort!r} given with unenroll; "
                "the platform takes cohorts with enroll only"
            )

    def plan(self) -> list[Work]:
        """Give the work.

        Raises:
            RosterError: where entries contradict each other.

        """
        if self._problems:
            raise RosterError("roster", self._problems)
        unsent: list[Work] = []
        sendable: dict[str, dict[str, Placement]] = {}
        for identifier, placements in self._wanted.items():
            for course_id, placement in placements.items():
                if result := _refusal(identifier, course_id, placement, self._limits):
                    unsent.append(result)
                else:
                    sendable.setdefault(identifier, {})[course_id] = placement
        batches = plan(sendable, self._limits)
        scope = dict.fromkeys(place for batch in batches for place in places(batch))
        return [*unsent, Scope(tuple(scope)), *batches]


def _stripped(text: str, what: str) -> str:
    if not isinstance(text, str):
        raise ConfigurationError(f"expected a string as {what}, found {type(text).__name__}")
    return text.strip()


def _wish(placement: Placement) -> str:
    cohort = f" in cohort {placement.cohort!r}" if placement.cohort else ""
    return placement.action.value + cohort


def _refusal(
    identifier: str, course_id: str, placement: Placement, limits: BatchLimits
) -> EnrollmentResult | None:
    """The result of a pair that cannot be sent; None where it can."""
    if words := why_unsendable(identifier, limits):
        outcome, error = Outcome.INVALID_IDENTIFIER, f"not sent: the identifier {words}"
    elif words := _why_unsendable_in(course_id, placement, limits):
        outcome, error = Outcome.REJECTED, f"not sent: {words}"
    else:
        return None
    return EnrollmentResult(
        identifier, course_id, placement.action, outcome, error=error, attempts=0
    )


def _why_unsendable_in(course_id: str, placement: Placement, limits: BatchLimits) -> str | None:
    if words := why_unsendable(course_id, limits):
        return f"the course key {words}"
    if placement.cohort is not None and (words := why_unsendable_cohort(placement.cohort, limits)):
        return f"the cohort's name {words}"
    return None
