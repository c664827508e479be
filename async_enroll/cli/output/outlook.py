"""Output of a plan, as text and as JSON."""

from __future__ import annotations

from itertools import islice
from typing import Any

from rich.console import Console
from rich.text import Text

from async_enroll.cli.console import printable, say
from async_enroll.cli.options.tuning import Tuning
from async_enroll.cli.output.job_state import clock
from async_enroll.models import EmailStudents, EnrollmentResult
from async_enroll.planning.batching import Place
from async_enroll.planning.plan import SECONDS_PER_PAIR, Plan
from async_enroll.reports.summary import counted

_SHOWN = 20


def show_plan(
    console: Console, plan: Plan, tuning: Tuning, *, email_students: EmailStudents = False
) -> None:
    """Print what applying a roster would send."""
    window, limits = tuning.window(), tuning.limits()
    shortest = plan.shortest(window)
    expected = plan.expected(window, tuning.concurrency)
    actions = " · ".join(f"{action.value} {n:,}" for action, n in plan.actions().items())
    cohorts = f"with {counted(plan.cohorts, 'cohort')}" if plan.cohorts else ""
    lines = [
        ("enrollments", plan.pairs, actions),
        ("learners", plan.learners, ""),
        ("courses", plan.courses, cohorts),
        ("calls", plan.calls, f"at most {counted(limits.pairs, 'enrollment')} each"),
        *(
            [("to e-mail", plan.mail_calls, "more calls at most, for those who are newly in")]
            if email_students == "changed"
            else []
        ),
        ("shortest", clock(shortest), f"{window.calls} calls in {window.seconds:g} s"),
        (
            "expected",
            clock(expected),
            f"at {SECONDS_PER_PAIR * 1000:g} ms per enrollment, {tuning.concurrency} calls at once",
        ),
    ]
    say(console, Text(printable(plan.source), "bold"))
    for name, value, remark in lines:
        shown = value if isinstance(value, str) else f"{value:,}"
        line = Text(f"  {name:<12}{shown:>12}")
        say(console, line.append(f"   {remark}" if remark else "", "dim"))
    if plan.unused:
        names = ", ".join(map(repr, plan.unused))
        say(console, Text(printable(f"  columns that are not used: {names}"), "dim"))
    if plan.unsendable:
        words = f"  {counted(plan.unsendable, 'enrollment')} cannot be sent and will fail:"
        say(console, Text(words, "yellow"))
        for result in islice(plan.unsent(), _SHOWN):
            place = f"line {result.line}: " if result.line else ""
            pair = f"{result.identifier} in {result.course_id}: {_why(result)}"
            say(console, Text(printable(f"    {place}{pair}"), "yellow"))
        if plan.unsendable > _SHOWN:
            more = f"    … and {plan.unsendable - _SHOWN:,} more; plan --json lists all"
            say(console, Text(more, "yellow"))


def plan_object(
    plan: Plan, tuning: Tuning, warnings: tuple[str, ...], *, email_students: EmailStudents
) -> dict[str, Any]:
    """A plan as a JSON object. Times are in seconds."""
    window = tuning.window()
    return {
        "roster": plan.source,
        "pairs": plan.pairs,
        "actions": {action.value: count for action, count in plan.actions().items()},
        "learners": plan.learners,
        "courses": plan.courses,
        "cohorts": plan.cohorts,
        "unsendable": plan.unsendable,
        "cannot_be_sent": [
            {
                "line": result.line,
                "identifier": result.identifier,
                "course_id": result.course_id,
                "reason": _why(result),
            }
            for result in plan.unsent()
        ],
        "calls": plan.calls,
        "mail_calls": plan.mail_calls if email_students == "changed" else 0,
        "shortest_seconds": plan.shortest(window),
        "expected_seconds": plan.expected(window, tuning.concurrency),
        "warnings": list(warnings),
        "skipped": list(plan.skipped),
        "unused_columns": list(plan.unused),
    }


def _why(result: EnrollmentResult) -> str:
    return (result.error or "").removeprefix("not sent: ")


def place_in_words(place: Place) -> str:
    """A course, and the cohort in it, if any."""
    return place.course_id + (f", cohort {place.cohort}" if place.cohort else "")
