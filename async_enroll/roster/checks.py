"""Checks rows of any format, and collects the desired pairs and the problems.

Takes rows and their columns from `roster.reading`; reads cells with `roster.cells`; adds pairs to a
`planning.desired.Desired`.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from operator import itemgetter
from shlex import quote

from async_enroll.models import Action
from async_enroll.planning.desired import Assignment, Desired, Lines
from async_enroll.roster.cells import (
    Cell,
    Kind,
    Unreadable,
    action_of,
    cohort_of,
    course_key_of,
    edged,
    identifier_of,
    is_blank,
    is_plain_address,
    is_plain_name,
    shown,
)
from async_enroll.roster.columns import Choice, Columns, columns_of
from async_enroll.roster.names import GONE_WORDS, folded

MOST_PROBLEMS = 10_000
"""The number of problems kept as messages; further ones are only counted."""


class Problems:
    """The problems of a file, by line, and its warnings."""

    def __init__(self) -> None:
        self.count: int = 0
        self.fatal: bool = False
        """Whether a problem may affect other rows, so that skipping bad rows is not enough."""
        self.warnings: list[str] = []
        self.unit: str = "line"
        """What is numbered: lines, or the items of an array that stands in one line."""
        self._kept: list[tuple[int, str]] = []

    def add(self, line: int, words: str) -> None:
        """Add a problem; `line` 0 is the file as a whole."""
        self.count += 1
        if len(self._kept) < MOST_PROBLEMS:
            self._kept.append((line, words))

    def fail(self, words: str, line: int = 0) -> None:
        """Add a problem that makes the file unusable, even if bad rows are skipped."""
        self.add(line, f": {words}" if line else words)
        self.fatal = True

    @property
    def words(self) -> list[str]:
        """The messages of the first problems, sorted by line."""
        kept = sorted(self._kept, key=itemgetter(0))
        return [f"{self.unit} {line}{words}" if line else words for line, words in kept]


class Entries:
    """Collects the desired pairs. `begin` sets the columns of the rows that follow."""

    def __init__(self, problems: Problems, choice: Choice) -> None:
        self.desired: Desired = Desired()
        self._repeats = 0
        self._problems = problems
        self._choice = choice
        self._headers_again = array("L")
        # Line, number of entries before it, and text.
        self._headings: list[tuple[int, int, str]] = []
        # Cells read before: millions of rows share few course keys, actions and cohorts. Equal
        # ones become one object.
        self._courses: dict[Cell, str] = {}
        self._actions: dict[Cell, Action] = {}
        self._cohorts: dict[Cell, str | None] = {"": None}
        self._groups: dict[str, str] = {}
        self.lines: Lines = Lines()
        self._contradictions: list[tuple[int, str, str, Assignment, Assignment]] = []

    def begin(self, columns: Columns, header: Sequence[Cell]) -> None:
        """Set the columns of the rows that follow."""
        self._columns = columns
        self._header = _folded(header)
        # In a table with a course column, a row without a course key is no entry, so a heading
        # is never mistaken for a username.
        self._names_are_plain = columns.kind is Kind.ANY and "course_id" in columns.at

    def add(
        self, line: int, cells: Sequence[Cell], who: Cell, where: Cell, what: Cell, cohort: Cell
    ) -> None:
        """Add a row; `who`, `where`, `what` and `cohort` are the cells of its four fields."""
        try:
            course_id = self._courses[where]
            action = self._actions[what]
            group = self._cohorts[cohort]
        except KeyError:
            pass
        else:
            if (is_plain_address(who) or (self._names_are_plain and is_plain_name(who))) and (
                group is None or action is Action.ENROLL
            ):
                self._take(line, str(who), course_id, action, group)
                return
        self._look(line, cells, who, where, what, cohort)

    def is_entry(self, who: Cell, where: Cell) -> bool:
        """Whether a row has both an identifier and a course key."""
        found = (identifier_of(who, self._columns.kind), course_key_of(where))
        return all(isinstance(cell, str) and cell for cell in found)

    def _take(
        self, line: int, who: str, course_id: str, action: Action, cohort: str | None
    ) -> None:
        spelling = self.desired.spelling(who)
        first = self.desired.add(spelling, course_id, action, cohort)
        if first is not None:
            assignment = Assignment(course_id, action, cohort)
            self._contradictions.append((line, who, spelling, assignment, first))
        elif len(self.desired) > len(self.lines):
            self.lines.add(spelling, course_id, line)
        else:
            self._repeats += 1

    def _look(
        self, line: int, cells: Sequence[Cell], who: Cell, where: Cell, what: Cell, cohort: Cell
    ) -> None:
        """Read a row that does not pass the fast checks; add its problems."""
        if all(map(is_blank, cells)):
            return
        if _folded(cells) == self._header:
            self._headers_again.append(line)
            return
        identifier = identifier_of(who, self._columns.kind)
        course_id = course_key_of(where)
        action = action_of(what)
        group = cohort_of(cohort)
        if self._is_heading(cells, identifier, course_id):
            if self.is_other_header(line, cells):
                return
            self._headings.append((line, self._count, _first(cells)))
        if wrong := _wrong(identifier, course_id, action, group):
            for field, told in wrong.items():
                name = self._columns.names.get(field, field)
                words = told.replace("identifier=…", f"identifier={quote(name)}")
                self._problems.add(line, f", column {name}: {words}")
            return
        course_id = self._courses.setdefault(str(course_id), str(course_id))
        self._courses[where] = course_id
        cohort_name = self._groups.setdefault(str(group), str(group)) if group else None
        self._cohorts[cohort] = cohort_name
        if isinstance(action, Action):
            self._actions[what] = action
            self._take(line, str(identifier), course_id, action, cohort_name)

    def _is_heading(self, cells: Sequence[Cell], identifier: Cell, course_id: Cell) -> bool:
        """Whether a row may be a heading that changes the meaning of the rows below it.

        An example is `Withdrawn:`. A row with an address or a course key is no heading.
        """
        name = identifier if isinstance(identifier, str) else ""
        has_column = "course_id" in self._columns.at
        if "@" in name or (has_column and isinstance(course_id, str) and course_id):
            return False
        text = _first(cells)
        filled = sum(not is_blank(cell) for cell in cells)
        if GONE_WORDS & {*folded(text).split()} or text.endswith(":"):
            return True
        return not (name and (filled > 1 or not has_column)) and len(cells) > 1

    def is_other_header(self, line: int, cells: Sequence[Cell]) -> bool:
        """Whether a row is the header of another table, for which the file is refused."""
        columns = columns_of(cells, Choice(given=self._choice.given))
        found = columns.exact and columns.has_all(self._choice.given)
        if found:
            self._problems.fail("another header begins another table; make a file of each", line)
        return found

    @property
    def _count(self) -> int:
        """The number of rows read as entries."""
        return len(self.lines) + self._repeats + len(self._contradictions)

    def finish(self) -> None:
        """Add the problems that only the whole file shows: contradictions and headings."""
        for line, identifier, who, assignment, first in self._contradictions:
            earlier = self.lines.of(who, assignment.course_id)
            also = f", also spelled {shown(who)}," if who != identifier else ""
            self._problems.add(
                line,
                f": {assignment} contradicts {self._problems.unit} {earlier}, {first}, "
                f"for {shown(identifier)}{also} in {shown(assignment.course_id)}",
            )
        for line, count, text in self._headings:
            if count < self._count:
                self._problems.fail(
                    f"found {shown(text)} above further rows, which may mean something else; make "
                    "a file of each block",
                    line,
                )
        self._problems.warnings += self._warnings()

    def _warnings(self) -> list[str]:
        found = []
        if lines := self._headers_again:
            more = f" and {len(lines) - 1:,} more" if len(lines) > 1 else ""
            found.append(f"the header comes again in line {lines[0]}{more}; it was passed over")
        if self._repeats == 1:
            found.append("1 row repeats another; the pair counts once")
        elif self._repeats:
            found.append(f"{self._repeats:,} rows repeat others; each pair counts once")
        return found


def _wrong(
    identifier: Cell, course_id: Cell, action: Action | Unreadable, cohort: Cell
) -> dict[str, str]:
    """Return the problem of each field of a row."""
    wrong: dict[str, str] = {}
    fields = {"identifier": identifier, "course_id": course_id, "action": action, "cohort": cohort}
    for field, cell in fields.items():
        if isinstance(cell, Unreadable):
            wrong[field] = cell.words
        elif not cell and field in _EXPECTED:
            wrong[field] = f"found '', expected {_EXPECTED[field]}"
    if action is Action.UNENROLL and cohort and "cohort" not in wrong:
        wrong["cohort"] = (
            f"found {shown(str(cohort))}, expected nothing: cohorts go with enroll only"
        )
    return wrong


_EXPECTED = {"identifier": Kind.ANY.value, "course_id": "a course key"}


def _folded(cells: Sequence[Cell]) -> list[str]:
    """Return the cells of a header, folded for comparison."""
    words = [folded(cell) if isinstance(cell, str) else "" for cell in cells]
    while words and not words[-1]:
        words.pop()
    return words


def _first(cells: Sequence[Cell]) -> str:
    """Return the first text in a row."""
    return next((edged(cell) for cell in cells if isinstance(cell, str) and edged(cell)), "")
