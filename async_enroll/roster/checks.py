"""Checks what any format yields, row by row, and keeps what is wanted."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from operator import itemgetter

from async_enroll.models import Action
from async_enroll.roster.columns import action_of
from async_enroll.wanted import Wanted, Wish

MOST_PROBLEMS = 10_000
"""How many bad rows are kept in words; of the others there is the number."""

_EXAMPLES = 3


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
        self.wanted: Wanted = Wanted()
        self._repeats = 0
        self._problems = problems
        self._actions: dict[str, Action | None] = {}
        self._texts: dict[str, str] = {}
        # For each pair that came first: enough to find its line again, and no more.
        self._pairs = array("q")
        self._lines = array("L")
        self._contradictions: list[tuple[int, str, Wish, Wish]] = []

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
            wanted = self._actions[action]
        except KeyError:
            wanted = self._actions[action] = action_of(action) if action else Action.ENROLL
        if not identifier or not course_id or wanted is None or (cohort and wanted is _UNENROLL):
            self._complain(line, names, identifier, course_id, action, cohort)
            return
        # Few course keys and cohorts stand in millions of rows: equal ones are one object.
        course_id = self._texts.setdefault(course_id, course_id)
        first = self.wanted.add(identifier, course_id, wanted, cohort or None)
        if first is not None:
            wish = Wish(course_id, wanted, cohort or None)
            self._contradictions.append((line, identifier, wish, first))
        elif len(self.wanted) > len(self._pairs):
            self._pairs.append(hash((identifier, course_id)))
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
        sought = {hash((who, wish.course_id)) for _, who, wish, _ in self._contradictions}
        lines: dict[int, int] = {}
        if sought:
            for pair, line in zip(self._pairs, self._lines, strict=True):
                if pair in sought:
                    lines.setdefault(pair, line)
        for line, who, wish, first in self._contradictions:
            earlier = lines[hash((who, wish.course_id))]
            self._problems.add(
                line,
                f": {wish} contradicts line {earlier}, {first}, for {shown(who)} in "
                f"{shown(wish.course_id)}",
            )

    def warnings(self) -> list[str]:
        """What is worth knowing before it is applied."""
        found = []
        if self._repeats:
            found.append(f"{self._repeats:,} rows repeat others and count once")
        variants = self._variants()
        if variants:
            some = ", ".join(" and ".join(pair) for pair in variants[:_EXAMPLES])
            found.append(
                f"{len(variants):,} addresses stand there in several spellings ({some}); the "
                "platform takes each for one account, and may mail it more than once"
            )
        return found

    def _variants(self) -> list[tuple[str, str]]:
        """Addresses that differ in case alone, in pairs."""
        learners = dict(self.wanted.learners())
        first: dict[str, str] = {}
        found = []
        for identifier in learners:
            # Most are in lower case throughout, and need no memory.
            if "@" in identifier and (lower := identifier.casefold()) != identifier:
                other = lower if lower in learners else first.setdefault(lower, identifier)
                if other != identifier:
                    found.append((other, identifier))
        return found


_UNENROLL = Action.UNENROLL


def shown(text: str) -> str:
    """`text` as messages show it, not too long."""
    return repr(text) if len(text) <= 80 else f"{text[:80]!r}…"
