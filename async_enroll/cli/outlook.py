"""A plan, for people and for programs."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from async_enroll.batching import Place
from async_enroll.cli.console import printable, say
from async_enroll.cli.progress import clock
from async_enroll.cli.tuning import Tuning
from async_enroll.plan import SECONDS_PER_PAIR, Plan


def show_plan(console: Console, plan: Plan, tuning: Tuning) -> None:
    """Print what a roster comes to."""
    window, limits = tuning.window(), tuning.limits()
    shortest = plan.shortest(window)
    expected = plan.expected(window, tuning.concurrency)
    actions = " · ".join(f"{action.value} {n:,}" for action, n in plan.actions().items())
    lines = [
        ("pairs", plan.pairs, actions),
        ("learners", plan.learners, ""),
        ("courses", plan.courses, f"with {plan.cohorts:,} cohorts" if plan.cohorts else ""),
        ("calls", plan.calls, f"{limits.pairs:,} pairs in one at most"),
        ("shortest", clock(shortest), f"{window.calls} calls in {window.seconds:g} s"),
        (
            "expected",
            clock(expected),
            f"at {SECONDS_PER_PAIR * 1000:g} ms a pair, {tuning.concurrency} calls at once",
        ),
    ]
    say(console, Text(printable(plan.source), "bold"))
    for name, value, remark in lines:
        shown = value if isinstance(value, str) else f"{value:,}"
        line = Text(f"  {name:<10}{shown:>12}")
        say(console, line.append(f"   {remark}" if remark else "", "dim"))
    if plan.unused:
        names = ", ".join(map(repr, plan.unused))
        say(console, Text(printable(f"  columns that are not used: {names}"), "dim"))
    if plan.unsendable:
        words = f"  {plan.unsendable:,} pairs cannot be sent, and count as failed"
        say(console, Text(words, "yellow"))


def plan_object(plan: Plan, tuning: Tuning, warnings: tuple[str, ...]) -> dict[str, Any]:
    """A plan as JSON has it; times are seconds."""
    window = tuning.window()
    return {
        "roster": plan.source,
        "pairs": plan.pairs,
        "actions": {action.value: count for action, count in plan.actions().items()},
        "learners": plan.learners,
        "courses": plan.courses,
        "cohorts": plan.cohorts,
        "unsendable": plan.unsendable,
        "calls": plan.calls,
        "shortest_seconds": plan.shortest(window),
        "expected_seconds": plan.expected(window, tuning.concurrency),
        "warnings": list(warnings),
        "skipped": list(plan.skipped),
        "unused_columns": list(plan.unused),
    }


def place_in_words(place: Place) -> str:
    """A course, and the cohort in it if there is one."""
    return place.course_id + (f", cohort {place.cohort}" if place.cohort else "")
