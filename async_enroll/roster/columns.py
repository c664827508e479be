"""Finds the columns of identifier, course key, action and cohort by the names in a header.

`columns_of` takes a header and what the caller said about the file, and gives `Columns` to
`roster.reading`. The names it knows are in `roster.names`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from shlex import quote
from typing import Final, Literal

from attrs import define, field, frozen

from async_enroll.roster.cells import Cell, Kind, edged
from async_enroll.roster.names import (
    ACTION_NAMES,
    COHORT_NAMES,
    COURSE_NAMES,
    PEOPLE_NAMES,
    folded,
    is_address_name,
    is_course_name,
    is_id_name,
    is_status_name,
    is_username_name,
)

FIELDS: Final = ("identifier", "course_id", "action", "cohort")

HiddenRows = Literal["include", "skip"]

# The header that `async-enroll enrollments` writes. Both username and address name the learner;
# the username is always there.
_LISTING = ("username", "email", "course id", "is active", "mode", "created")


@frozen
class Choice:
    """What the caller said about a file.

    `mapped` has the column of a field, `given` the value of a field for all rows. `where`
    selects rows with one of these values in these columns. `ignored` names columns that do not
    change what a row means.
    """

    mapped: Mapping[str, str] = field(factory=dict)
    given: Mapping[str, str] = field(factory=dict)
    where: Mapping[str, Collection[str]] = field(factory=dict)
    ignored: Collection[str] = ()
    sheet: str | None = None
    hidden_rows: HiddenRows | None = None
    header: bool = True


@define
class Columns:
    """The columns below one header.

    `at` holds the position of each field that was found, `names` its name in the file. `where`
    holds position, name and folded values of columns that select rows; `watched` position and
    name of unused columns that may change what a row means. `problems` says what is wrong.
    """

    at: dict[str, int] = field(factory=dict)
    names: dict[str, str] = field(factory=dict)
    problems: list[str] = field(factory=list)
    kind: Kind = Kind.ANY
    exact: bool = False
    where: list[tuple[int, str, frozenset[str]]] = field(factory=list)
    watched: list[tuple[int, str]] = field(factory=list)
    unused: list[str] = field(factory=list)
    width: int = 0

    def has_all(self, given: Mapping[str, str]) -> bool:
        """Whether all required fields were found or given."""
        return all(name in self.at or name in given for name in _NEEDED)


def columns_of(header: Sequence[Cell], choice: Choice) -> Columns:
    """Find the fields in a header."""
    names = [edged(cell) if isinstance(cell, str) else "" for cell in header]
    columns = Columns(width=len(names))
    for name in FIELDS:
        _find(name, names, columns, choice)
    columns.problems += [
        f"found {_shown(names)}; expected {words}, or --columns {name}=… for another name"
        + (", or --course-id … for all rows" if name == "course_id" else "")
        for name, words in _NEEDED.items()
        if name not in columns.at and name not in choice.given and name not in choice.mapped
    ]
    _choose_rows(names, columns, choice)
    return columns


_NEEDED: Final = {
    "identifier": "a column identifier, email or username",
    "course_id": "a column course_id",
}


def _find(name: str, names: list[str], columns: Columns, choice: Choice) -> None:
    """Find the column of one field; add a problem if there are several."""
    if name in choice.mapped:
        found = positions(choice.mapped[name], names)
        if not found:
            columns.problems.append(
                f"found no column {choice.mapped[name]!r}; expected it as the {name}"
            )
    else:
        taken = {at for theirs in choice.mapped.values() for at in positions(theirs, names)}
        taken.update(columns.at.values())
        free = {at: folded(text) for at, text in enumerate(names) if at not in taken and text}
        found = _candidates(name, free, columns, given=name in choice.given)
    if not found:
        return
    columns.at[name] = found[0]
    columns.names[name] = names[found[0]]
    if len(found) > 1:
        some = ", ".join(repr(names[at]) for at in found)
        ways = " or ".join(f"--columns {name}={_way(at, names)}" for at in found[:5])
        columns.problems.append(f"found {some}; expected one of them: choose with {ways}")
    if name in choice.given:
        columns.problems.append(
            f"found a column {columns.names[name]!r}, and {choice.given[name]!r} given for all "
            "rows; expected one of the two"
        )


def positions(theirs: str, names: Sequence[str]) -> list[int]:
    """Return the columns that a caller means by a name, or by a number such as ``#2``."""
    theirs = edged(theirs)
    same: list[Callable[[str], bool]] = [
        lambda text: text == theirs,
        lambda text: bool(text) and folded(text) == folded(theirs),
    ]
    for is_same in same:
        if found := [at for at, text in enumerate(names) if is_same(text)]:
            return found
    if theirs[:1] == "#" and theirs[1:].isdecimal() and 0 < int(theirs[1:]) <= len(names):
        return [int(theirs[1:]) - 1]
    return []


def _way(at: int, names: list[str]) -> str:
    return quote(names[at] if names.count(names[at]) == 1 else f"#{at + 1}")


def _candidates(name: str, free: Mapping[int, str], columns: Columns, *, given: bool) -> list[int]:
    match name:
        case "identifier":
            return _identifiers(free, columns)
        case "course_id":
            exact = [at for at, words in free.items() if words in COURSE_NAMES]
            # Course keys are unmistakable, so any column of courses will do if it holds keys.
            near = [] if given else [at for at, words in free.items() if is_course_name(words)]
            return exact or near
    known = ACTION_NAMES if name == "action" else COHORT_NAMES
    return [at for at, words in free.items() if words in known]


def _identifiers(free: Mapping[int, str], columns: Columns) -> list[int]:
    if tuple(free.values()) == _LISTING:
        columns.exact = True
        return [next(iter(free))]
    addresses = [at for at, words in free.items() if is_address_name(words)]
    found = sorted({*addresses, *(at for at, words in free.items() if is_username_name(words))})
    if found:
        columns.exact = True
        columns.kind = Kind.ADDRESS if found[0] in addresses else Kind.ANY
        return found
    people = [at for at, words in free.items() if words in PEOPLE_NAMES]
    if people:
        return people
    columns.kind = Kind.ID
    return [at for at, words in free.items() if is_id_name(words)]


def _choose_rows(names: list[str], columns: Columns, choice: Choice) -> None:
    told: set[int] = set()
    for theirs, values in choice.where.items():
        found = positions(theirs, names)
        told.update(found)
        if len(found) == 1:
            columns.where.append((found[0], names[found[0]], frozenset(map(compared, values))))
        else:
            columns.problems.append(
                f"found {len(found)} columns {theirs!r}; expected the one of --where"
            )
    for theirs in choice.ignored:
        found = positions(theirs, names)
        told.update(found)
        if not found:
            columns.problems.append(
                f"found no column {theirs!r}; expected it, as --ignore-column names it"
            )
    used = {*columns.at.values()}
    for at, name in enumerate(names):
        if not name or at in used:
            continue
        if at not in told and is_status_name(folded(name)):
            columns.watched.append((at, name))
        if at not in {where for where, *_ in columns.where}:
            columns.unused.append(name)


def compared(value: str) -> str:
    """Return a cell as it is compared with the values of ``--where``."""
    return folded(value) or edged(value)


def _shown(header: Sequence[str]) -> str:
    names = [repr(name[:40]) for name in header if name]
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return (", ".join(names[:20]) or "no names") + more
