"""The wanted work, compactly: every pair once, learner by learner.

Migrations have millions of pairs, but only some thousand courses and cohorts, and most
learners have few courses. So what is wanted of a pair is one of few wishes, known by its
number, and a learner is a tuple of such numbers.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import ItemsView, Iterator

from attrs import frozen

from async_enroll.identity import identity_key
from async_enroll.models import Action, RosterEntry


@frozen
class Wish:
    """What is wanted of a learner in one course: in or out, and in which cohort."""

    course_id: str
    action: Action
    cohort: str | None = None

    def __str__(self) -> str:
        """The action and the cohort, for people."""
        return self.action.value + (f" in cohort {self.cohort!r}" if self.cohort else "")


class Wanted:
    """Pairs and what is wanted of each, in the order in which their learners came.

    Iterates as entries, as often as needed; its length is the number of pairs. `wishes`
    has every wish that occurs, by number. Identifiers are told apart as they are spelled: who
    takes them from outside asks for the `spelling` first.
    """

    def __init__(self) -> None:
        self.wishes: list[Wish] = []
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
    ) -> Wish | None:
        """Take a pair, already stripped; one that was there before counts once.

        Returns the earlier wish for the same pair where this one contradicts it. That stands.
        """
        number = self._numbers.get((course_id, action, cohort))
        if number is None:
            number = self._new(Wish(course_id, action, cohort))
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
                        return self.wishes[other]
            self._of_learner[identifier] = (*before, number)
        self._pairs += 1
        return None

    def _new(self, wish: Wish) -> int:
        number = len(self.wishes)
        self.wishes.append(wish)
        self._numbers[wish.course_id, wish.action, wish.cohort] = number
        self._of_course.setdefault(wish.course_id, []).append(number)
        self._alone.append((number,))
        return number

    def __len__(self) -> int:
        return self._pairs

    def __iter__(self) -> Iterator[RosterEntry]:
        for identifier, wish in self.pairs():
            yield RosterEntry(identifier, wish.course_id, wish.action, wish.cohort)

    def pairs(self) -> Iterator[tuple[str, Wish]]:
        """Every pair: the identifier, and what is wanted of it in one course."""
        for identifier, numbers in self._of_learner.items():
            for number in numbers:
                yield identifier, self.wishes[number]

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


class Lines:
    """In which line of a file each pair was asked for first, in 12 bytes a pair.

    Pairs are known by their hashes, of 64 bits: among millions, two hardly ever have the same.
    """

    def __init__(self) -> None:
        self._keys = array("q")
        self._numbers = array("I")
        self._order: list[array[int]] | None = None

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, identifier: str, course_id: str, line: int) -> None:
        """Take the line of a pair that was in none before."""
        self._keys.append(hash((identifier, course_id)))
        self._numbers.append(line)

    def of(self, identifier: str, course_id: str) -> int | None:
        """The line of a pair, by the spelling that is wanted; None where it is in none."""
        if self._order is None or len(self._order[0]) != len(self._keys):
            numbers = sorted(range(len(self._keys)), key=self._keys.__getitem__)
            keys = array("q", map(self._keys.__getitem__, numbers))
            self._order = [keys, array("I", map(self._numbers.__getitem__, numbers))]
        keys, lines = self._order
        key = hash((identifier, course_id))
        at = bisect_left(keys, key)
        return lines[at] if at < len(keys) and keys[at] == key else None
