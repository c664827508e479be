"""The desired pairs of a job in compact form: each pair once, grouped by learner.

Migrations have millions of pairs, but only some thousand courses and cohorts, and most learners
have few courses. So each distinct assignment is stored once under a number, and a learner is a
tuple of numbers. `planning.validation` fills it; `planning.batching` turns it into batches.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import ItemsView, Iterator

import msgspec
from msgspec.structs import astuple

from async_enroll.models import Action, RosterEntry, identity_key


class Assignment(msgspec.Struct, frozen=True):
    """What to do with a learner in one course: the action and the cohort, if any.

    `auto_enroll` is None for that of the job.
    """

    course_id: str
    action: Action
    cohort: str | None = None
    auto_enroll: bool | None = None

    def __str__(self) -> str:
        """The action and the cohort, for messages."""
        return self.action.value + (f" in cohort {self.cohort!r}" if self.cohort else "")


class Desired:
    """A set of pairs, each with its assignment, in the order in which learners were added.

    Iterates as `RosterEntry` objects, repeatedly; its length is the number of pairs.
    `assignments` holds the distinct assignments; a number is an index into it. Identifiers are
    compared exactly: pass external input through `spelling` first.
    """

    def __init__(self) -> None:
        self.assignments: list[Assignment] = []
        self._pairs = 0
        self._numbers: dict[tuple[str, Action, str | None, bool | None], int] = {}
        # Numbers by course key. Most courses have one, which cannot contradict another.
        self._of_course: dict[str, list[int]] = {}
        self._alone: list[tuple[int]] = []
        self._of_learner: dict[str, tuple[int, ...]] = {}
        # First spelling by identity key, only where the two differ: saves memory.
        self._spellings: dict[str, str] = {}

    def spelling(self, identifier: str) -> str:
        """The first spelling of this identifier, ignoring case; itself where it is new."""
        if identifier in self._of_learner:
            return identifier
        key = identity_key(identifier)
        if key == identifier:
            return self._spellings.get(key, identifier)
        if key in self._of_learner:
            return key
        return self._spellings.setdefault(key, identifier)

    def add(
        self,
        identifier: str,
        course_id: str,
        action: Action,
        cohort: str | None = None,
        auto_enroll: bool | None = None,
    ) -> Assignment | None:
        """Add a pair, already stripped; a repeated pair is ignored.

        If the same pair has another assignment already, keeps and returns that; otherwise None.
        """
        number = self._numbers.get((course_id, action, cohort, auto_enroll))
        if number is None:
            number = self._new(Assignment(course_id, action, cohort, auto_enroll))
        before = self._of_learner.get(identifier)
        if before is None:
            self._of_learner[identifier] = self._alone[number]
        elif number in before:
            return None
        else:
            of_course = self._of_course[course_id]
            if len(of_course) > 1:
                for other in of_course:
                    if other in before:
                        return self.assignments[other]
            self._of_learner[identifier] = (*before, number)
        self._pairs += 1
        return None

    def _new(self, assignment: Assignment) -> int:
        number = len(self.assignments)
        self.assignments.append(assignment)
        course_id, action, cohort, auto_enroll = astuple(assignment)
        self._numbers[course_id, action, cohort, auto_enroll] = number
        self._of_course.setdefault(assignment.course_id, []).append(number)
        self._alone.append((number,))
        return number

    def __len__(self) -> int:
        return self._pairs

    def __iter__(self) -> Iterator[RosterEntry]:
        for identifier, assignment in self.pairs():
            yield RosterEntry(
                identifier, assignment.course_id, assignment.action, assignment.cohort
            )

    def pairs(self) -> Iterator[tuple[str, Assignment]]:
        """Every pair, as its identifier and its assignment."""
        for identifier, numbers in self._of_learner.items():
            for number in numbers:
                yield identifier, self.assignments[number]

    def learners(self) -> ItemsView[str, tuple[int, ...]]:
        """Every identifier once, with the numbers of its assignments."""
        return self._of_learner.items()

    def groups(self) -> dict[tuple[int, ...], list[str]]:
        """Learners with the same assignments, by the sorted numbers of these."""
        groups: dict[tuple[int, ...], list[str]] = {}
        sorted_: dict[tuple[int, ...], tuple[int, ...]] = {}
        for identifier, numbers in self._of_learner.items():
            key = sorted_.get(numbers)
            if key is None:
                key = sorted_[numbers] = tuple(sorted(numbers))
            group = groups.get(key)
            if group is None:
                groups[key] = [identifier]
            else:
                group.append(identifier)
        return groups


class Lines:
    """In which line of a file each pair was asked for first, in 12 bytes a pair.

    Pairs are known by their hashes, of 64 bits: among millions, two hardly ever have the same.
    """

    def __init__(self) -> None:
        self._keys = array("q")
        self._numbers = array("I")
        self._order = array("q"), array("I")

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, identifier: str, course_id: str, line: int) -> None:
        """Take the line of a pair that was in none before."""
        self._keys.append(hash((identifier, course_id)))
        self._numbers.append(line)

    def index(self) -> None:
        """Prepare the look-up of lines. Blocks for seconds with millions of pairs."""
        if len(self._order[0]) != len(self._keys):
            numbers = sorted(range(len(self._keys)), key=self._keys.__getitem__)
            keys = array("q", map(self._keys.__getitem__, numbers))
            self._order = keys, array("I", map(self._numbers.__getitem__, numbers))

    def of(self, identifier: str, course_id: str) -> int | None:
        """The line of a pair, by the spelling that is sent; None where it is in none."""
        self.index()
        keys, lines = self._order
        key = hash((identifier, course_id))
        at = bisect_left(keys, key)
        return lines[at] if at < len(keys) and keys[at] == key else None
