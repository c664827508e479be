"""The wanted work, compactly: every pair once, learner by learner.

Migrations have millions of pairs, but only some thousand courses and cohorts, and most
learners have few courses. So what is wanted of a pair is one of few wishes, known by its
number, and a learner is a tuple of such numbers.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator

from attrs import frozen

from async_enroll.models import Action, RosterEntry, identity_key


@frozen
class Assignment:
    """What is wanted of a learner in one course: in or out, and in which cohort."""

    course_id: str
    action: Action
    cohort: str | None = None

    def __str__(self) -> str:
        """The action and the cohort, for people."""
        return self.action.value + (f" in cohort {self.cohort!r}" if self.cohort else "")


class Desired:
    """Pairs and what is wanted of each, in the order in which their learners came.

    Iterates as entries, as often as needed; its length is the number of pairs. `wishes`
    has every wish that occurs, by number. Identifiers are told apart as they are spelled: who
    takes them from outside asks for the `spelling` first.
    """

    def __init__(self) -> None:
        self.assignments: list[Assignment] = []
        self._pairs = 0
        self._numbers: dict[tuple[str, Action, str | None], int] = {}
        # By course key: the numbers of its wishes. Most have one, and contradict nothing.
        self._of_course: dict[str, list[int]] = {}
        self._alone: list[tuple[int]] = []
        self._of_learner: dict[str, tuple[int, ...]] = {}
        # By identity key, where that is not the spelling itself: most need no memory.
        self._spellings: dict[str, str] = {}

    def spelling(self, identifier: str) -> str:
        """How the learner was spelled who came first by this identifier, whatever its case."""
        if identifier in self._of_learner:
            return identifier
        key = identity_key(identifier)
        if key == identifier:
            return self._spellings.get(key, identifier)
        if key in self._of_learner:
            return key
        return self._spellings.setdefault(key, identifier)

    def add(
        self, identifier: str, course_id: str, action: Action, cohort: str | None = None
    ) -> Assignment | None:
        """Take a pair, already stripped; one that was there before counts once.

        Returns the earlier wish for the same pair where this one contradicts it. That stands.
        """
        number = self._numbers.get((course_id, action, cohort))
        if number is None:
            number = self._new(Assignment(course_id, action, cohort))
        before = self._of_learner.get(identifier)
        if before is None:
            self._of_learner[identifier] = self._alone[number]
        elif number in before:
            return None
        else:
            rivals = self._of_course[course_id]
            if len(rivals) > 1:
                for other in rivals:
                    if other in before:
                        return self.assignments[other]
            self._of_learner[identifier] = (*before, number)
        self._pairs += 1
        return None

    def _new(self, assignment: Assignment) -> int:
        number = len(self.assignments)
        self.assignments.append(assignment)
        self._numbers[assignment.course_id, assignment.action, assignment.cohort] = number
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
        """Every pair: the identifier, and what is wanted of it in one course."""
        for identifier, numbers in self._of_learner.items():
            for number in numbers:
                yield identifier, self.assignments[number]

    def learners(self) -> ItemsView[str, tuple[int, ...]]:
        """Every identifier, once, and the numbers of its wishes."""
        return self._of_learner.items()

    def groups(self) -> dict[tuple[int, ...], list[str]]:
        """The learners of whom the same is wanted, by the sorted numbers of their wishes."""
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
