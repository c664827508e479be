"""Checks what any format yields, row by row, and keeps what is wanted."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from operator import itemgetter

from async_enroll.models import Action
from async_enroll.planning.desired import Assignment, Desired
from async_enroll.roster.columns import action_of

MOST_PROBLEMS = 10_000
"""How many bad rows are kept in words; of the others there is the number."""


class Problems:
    """What is wrong with a file, by line."""

    def __init__(self) -> None:
        self.count: int = 0
        self.fatal = False
        """Whether rows may be missing for a problem: it cannot be skipped."""
        self._kept: list[tuple[int, str]] = []

    def add(self, line: int, words: str) -> None:
        """Take note of a problem; `line` 0 is the file as a whole."""
        self.count += 1
        if len(self._kept) < MOST_PROBLEMS:
            self._kept.append((line, words))

    @property
    def words(self) -> list[str]:
        """The first problems, in the order of their lines."""
        kept = sorted(self._kept, key=itemgetter(0))
        return [f"line {line}{words}" if line else words for line, words in kept]


class Entries:
    """Collects what is wanted; `names` is what the fields are called in the file."""

    def __init__(self, problems: Problems) -> None:
        self.desired: Desired = Desired()
        self._repeats = 0
        self._problems = problems
        self._actions: dict[str, Action | None] = {}
        self._texts: dict[str, str] = {}
        # For each pair that came first: enough to find its line again, and no more.
        self._pairs = array("q")
        self._lines = array("L")
        self._contradictions: list[tuple[int, str, str, Assignment, Assignment]] = []

    def add(
        self,
        line: int,
        names: Mapping[str, str],
        identifier: str,
        course_id: str,
        action: str,
        cohort: str,
    ) -> None:
        """Take the cells of one entry, stripped."""
        try:
            desired = self._actions[action]
        except KeyError:
            desired = self._actions[action] = action_of(action) if action else Action.ENROLL
        if not identifier or not course_id or desired is None or (cohort and desired is _UNENROLL):
            self._complain(line, names, identifier, course_id, action, cohort)
            return
        # Few course keys and cohorts stand in millions of rows: equal ones are one object.
        course_id = self._texts.setdefault(course_id, course_id)
        spelling = self.desired.spelling(identifier)
        first = self.desired.add(spelling, course_id, desired, cohort or None)
        if first is not None:
            assignment = Assignment(course_id, desired, cohort or None)
            self._contradictions.append((line, identifier, spelling, assignment, first))
        elif len(self.desired) > len(self._pairs):
            self._pairs.append(hash((spelling, course_id)))
            self._lines.append(line)
        else:
            self._repeats += 1

    def _complain(
        self,
        line: int,
        names: Mapping[str, str],
        identifier: str,
        course_id: str,
        action: str,
        cohort: str,
    ) -> None:
        def expect(field: str, found: str, expected: str) -> None:
            column = names.get(field, field)
            self._problems.add(
                line, f", column {column}: found {shown(found)}, expected {expected}"
            )

        if not identifier:
            expect("identifier", identifier, "an e-mail address or a username")
        if not course_id:
            expect("course_id", course_id, "a course key")
        if self._actions[action] is None:
            expect("action", action, "enroll or unenroll")
        elif cohort and self._actions[action] is _UNENROLL:
            expect("cohort", cohort, "nothing: cohorts go with enroll only")

    def finish(self) -> None:
        """Name the contradictions, now that all lines are known."""
        sought = {
            hash((who, assignment.course_id)) for _, _, who, assignment, _ in self._contradictions
        }
        lines: dict[int, int] = {}
        if sought:
            for pair, line in zip(self._pairs, self._lines, strict=True):
                if pair in sought:
                    lines.setdefault(pair, line)
        for line, identifier, who, assignment, first in self._contradictions:
            earlier = lines[hash((who, assignment.course_id))]
            also = f", also spelled {shown(who)}," if who != identifier else ""
            self._problems.add(
                line,
                f": {assignment} contradicts line {earlier}, {first}, "
                f"for {shown(identifier)}{also} in {shown(assignment.course_id)}",
            )

    def warnings(self) -> list[str]:
        """What is worth knowing before it is applied."""
        if not self._repeats:
            return []
        if self._repeats == 1:
            return ["1 row repeats another; the pair counts once"]
        return [f"{self._repeats:,} rows repeat others; each pair counts once"]


_UNENROLL = Action.UNENROLL


def shown(text: str) -> str:
    """`text` as messages show it, not too long."""
    return repr(text) if len(text) <= 80 else f"{text[:80]!r}…"
