"""Output of a `RosterDiff`: as a table, as JSON, and as a file to apply or to sync."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from async_enroll.cli.console import printable, say
from async_enroll.errors import SyncRefused
from async_enroll.files import private_file, safe_cell
from async_enroll.models import RosterEntry
from async_enroll.planning.comparison import CourseDiff
from async_enroll.planning.diff import RosterDiff
from async_enroll.planning.sync_file import sync_file
from async_enroll.reports.summary import counted

CHANGES = ".csv"
SYNC = ".json"
_GAP = "  "
_NAMES = 5
_COURSES = 20


def show_diff(console: Console, diff: RosterDiff) -> None:
    """Print how many learners differ in each course, and the first of them by name."""
    say(console, Text(printable(diff.source), "bold"))
    courses = list(diff.courses.values())
    for line in _table(diff, console.width if console.is_terminal else None):
        say(console, line)
    if len(courses) > _COURSES:
        say(console, Text(f"… and {counted(len(courses) - _COURSES, 'more course')}", "dim"))
    for course in courses[:_COURSES]:
        _show_names(console, diff, course)
    for course_id, why in diff.withheld.items():
        say(console, Text(printable(f"nobody is removed from {course_id}: {why}"), "yellow"))
    if ignored := _ignored(diff):
        words = f"ignored: {counted(ignored, 'row')} of courses that are not compared"
        say(console, Text(words, "yellow"))
    if diff.in_sync and not diff.refusals:
        say(console, Text("in sync", "green"))


def _table(diff: RosterDiff, width: int | None) -> Iterator[Text]:
    """The lines of a table of counts, at most `width` wide if that can be.

    Where it cannot, each key has a line of its own: no terminal is to break or cut anything.
    """
    columns = _columns(diff)
    totals = [sum(counts) for _, counts in columns]
    widths = [
        max(len(name), len(f"{total:,}")) for (name, _), total in zip(columns, totals, strict=True)
    ]
    rows = [
        (printable(course.course_id), [counts[number] for _, counts in columns])
        for number, course in enumerate([*diff.courses.values()][:_COURSES])
    ]
    if len(diff.courses) > 1:
        rows.append(("total", totals))
    longest = max(map(len, ["course", *(key for key, _ in rows)]))
    apart = width is not None and longest + sum(len(_GAP) + one for one in widths) > width

    def line(key: str, cells: Iterable[str]) -> str:
        right = "".join(_GAP + cell.rjust(one) for cell, one in zip(cells, widths, strict=True))
        return f"{key}\n{right}" if apart else f"{key:{longest}}{right}"

    yield Text(line("course", [name for name, _ in columns]), "bold")
    for key, counts in rows:
        yield Text(line(key, [f"{count:,}" for count in counts]))
    yield Text()


def changes_in_words(diff: RosterDiff) -> str:
    """How many changes a sync would send; apart, those of learners who are not listed."""
    unlisted = {
        (one.identifier, one.course_id)
        for course in diff.courses.values()
        for one in course.not_listed
    }
    counts = Counter((one.identifier, one.course_id) in unlisted for one in diff.changes)
    words = counted(counts[False], "change")
    if counts[True]:
        return f"{words}, and {counted(counts[True], 'row')} of learners who are not listed"
    return words


def _ignored(diff: RosterDiff) -> int:
    """The number of the roster's pairs in courses that are not compared."""
    if all(one.course_id in diff.courses for one in diff.desired.assignments):
        return 0
    return sum(one.course_id not in diff.courses for _, one in diff.desired.pairs())


def _columns(diff: RosterDiff) -> list[tuple[str, list[int]]]:
    courses = diff.courses.values()
    return [
        ("enrolled", [course.enrolled for course in courses]),
        ("enroll", [len(course.to_enroll) for course in courses]),
        ("unenroll", [len(course.to_unenroll) for course in courses]),
        ("unchanged", [course.unchanged for course in courses]),
        ("not listed", [len(course.not_listed) for course in courses]),
        ("kept", [len(course.kept) for course in courses]),
    ]


def _show_names(console: Console, diff: RosterDiff, course: CourseDiff) -> None:
    removals = set(course.removals(remove=diff.options.remove))
    others = [one for one in course.to_unenroll if one not in removals]
    lists = [
        ("to enroll", _identifiers(course.to_enroll)),
        ("of these returning", _identifiers(course.returning)),
        ("of these perhaps without an account", _identifiers(course.not_looked_up)),
        ("to unenroll", [one.identifier for one in course.to_unenroll if one in removals]),
        ("not in the roster", _identifiers(others)),
        ("not listed", _identifiers(course.not_listed)),
        ("kept", [f"{who} ({why})" for who, why in course.kept.items()]),
    ]
    if not any(some for _, some in lists):
        return
    say(console, Text(printable(course.course_id), "bold"))
    for words, some in lists:
        if some:
            more = f", and {len(some) - _NAMES:,} more" if len(some) > _NAMES else ""
            say(console, Text(printable(f"  {words}: {', '.join(some[:_NAMES])}{more}")))


def _identifiers(entries: Iterable[RosterEntry]) -> list[str]:
    return [entry.identifier for entry in entries]


def refused(diff: RosterDiff) -> SyncRefused | None:
    """The error of a refused sync that names options; None where it may go ahead."""
    problems = [refusal.by_option for refusal in diff.refusals.values()]
    return SyncRefused(problems) if problems else None


def diff_object(diff: RosterDiff) -> dict[str, Any]:
    """A diff as a JSON object: all identifiers, by course."""
    return {
        "roster": diff.source,
        "site": diff.site,
        "in_sync": diff.in_sync,
        "refused": [refusal.by_option for refusal in diff.refusals.values()],
        "remove": diff.options.remove,
        "courses": {
            key: {
                "enrolled": course.enrolled,
                "to_enroll": _identifiers(course.to_enroll),
                "returning": _identifiers(course.returning),
                "not_looked_up": _identifiers(course.not_looked_up),
                "to_unenroll": _identifiers(course.to_unenroll),
                "unchanged": course.unchanged,
                "not_listed": _identifiers(course.not_listed),
                "kept": dict(course.kept),
                "withheld": diff.withheld.get(key),
            }
            for key, course in diff.courses.items()
        },
    }


def write_diff(path: Path, diff: RosterDiff) -> None:
    """Write the changes as a roster (.csv), or everything for `sync --plan` (.json). Blocks.

    Raises:
        OSError: the file cannot be written.

    """
    if path.suffix == SYNC:
        with private_file(path) as file:
            file.write(sync_file(diff))
        return
    with private_file(path, newline="", marked=True) as file:
        rows = csv.writer(file)
        rows.writerow(("identifier", "course_id", "action", "cohort"))
        rows.writerows(_rows(diff.changes))


def _rows(entries: Iterable[RosterEntry]) -> Iterator[tuple[str, ...]]:
    for entry in entries:
        cells = (entry.identifier, entry.course_id, entry.action.value, entry.cohort or "")
        yield tuple(map(safe_cell, cells))
