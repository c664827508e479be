"""Output of the plan of an undo: what is taken back, and who is left alone and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime

import msgspec
from rich.console import Console
from rich.text import Text

from async_enroll.cli.console import printable, say
from async_enroll.cli.options.tuning import Tuning
from async_enroll.cli.output.outlook import plan_object, show_plan
from async_enroll.jobs.undo import UndoPlan
from async_enroll.journal import JournalReport
from async_enroll.models import EmailStudents
from async_enroll.planning.inverse import LeftAlone
from async_enroll.reports.summary import counted

_NAMED = 10
"""How many enrollments are named for each reason."""


def show_undo(
    console: Console, made: UndoPlan, tuning: Tuning, *, email_students: EmailStudents
) -> None:
    """Print what undoing a job would send, and whom it would leave alone."""
    show_plan(console, made.plan, tuning, email_students=email_students)
    if made.not_sent:
        words = f"{counted(made.not_sent, 'enrollment')} without a result will not be sent any more"
        say(console, Text(f"  {words}", "yellow"))
    if made.keep_cohort:
        words = f"{counted(made.keep_cohort, 'learner')} will keep a cohort, though not enrolled"
        say(console, Text(f"  {words}", "yellow"))
    if not made.counts:
        return
    say(console, Text(f"Left alone: {counted(made.counts.total(), 'enrollment')}", "bold"))
    named: dict[LeftAlone, list[str]] = {}
    for identifier, course_id, why in made:
        names = named.setdefault(why, [])
        if len(names) < _NAMED:
            names.append(f"{identifier} in {course_id}")
    for why, count in made.counts.most_common():
        say(console, Text(f"  {count:,}: {why.value}", "yellow"))
        for name in named[why]:
            say(console, Text(f"    {printable(name)}"))
        if count > _NAMED:
            more = f"    … and {count - _NAMED:,} more; --dry-run --json lists all"
            say(console, Text(more, "dim"))


def undo_in_words(since: str) -> str:
    """That an undo of a job has begun. Whether it has ended, its own journal knows."""
    return (
        f"an undo of this job began on {datetime.fromisoformat(since).astimezone():%Y-%m-%d %H:%M}"
    )


def remarks(report: JournalReport) -> Iterator[str]:
    """Yield what is to be said of a job that was undone, or that undoes another."""
    if report.description.undone:
        yield undo_in_words(report.description.undone)
    counts = Counter(why for _, _, why in report.left_alone())
    for why, count in counts.most_common():
        yield f"the undo leaves {counted(count, 'enrollment')} alone: {why}"


def undo_pieces(made: UndoPlan, tuning: Tuning, *, email_students: EmailStudents) -> Iterator[str]:
    """Yield the plan of an undo as one JSON object, with every enrollment."""
    head = {
        "plan": plan_object(made.plan, tuning, (), email_students=email_students),
        "not_sent": made.not_sent,
        "keep_cohort": made.keep_cohort,
        "left_alone_counts": {why.value: count for why, count in made.counts.most_common()},
    }
    yield _json(head).removesuffix("}")
    yield ',\n"undo": ['
    yield from _items(
        {
            "identifier": identifier,
            "course_id": todo.course_id,
            "action": todo.action.value,
            "cohort": todo.cohort,
            "auto_enroll": todo.auto_enroll,
        }
        for identifier, todo in made.plan.desired.pairs()
    )
    yield '],\n"left_alone": ['
    yield from _items(
        {"identifier": identifier, "course_id": course_id, "reason": why.value}
        for identifier, course_id, why in made
    )
    yield "]}\n"


def _items(items: Iterable[object]) -> Iterator[str]:
    for number, item in enumerate(items):
        yield (",\n" if number else "\n") + _json(item)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
