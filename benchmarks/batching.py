"""How few calls a roster takes: ours beside two simple plans and the bound."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from async_enroll.models import BatchLimits
from async_enroll.planning.batching import Chunker, Target, plan, targets
from async_enroll.planning.desired import Desired
from benchmarks.rosters import SHAPES, Shape, desired
from benchmarks.tables import Table

_LIMITS = (BatchLimits(200, 500), BatchLimits(500, 1000))


SHORT: dict[str, Any] = {"limits_of_calls": _LIMITS[:1], "shapes": SHAPES[-1:]}


async def run(
    limits_of_calls: Sequence[BatchLimits] = _LIMITS, shapes: Sequence[Shape] = SHAPES
) -> AsyncIterator[Table]:
    """The tables."""
    for limits in limits_of_calls:
        table = Table(
            f"Calls of {limits.pairs} pairs and {limits.identifiers} identifiers at most",
            (
                "roster",
                "pairs",
                "per course",
                "per course set",
                "async_enroll",
                "bound",
                "of the bound",
                "CPU seconds",
            ),
        )
        for shape in shapes:
            roster = desired(shape.pairs())
            since = time.process_time()
            ours = len(plan(roster, limits))
            seconds = time.process_time() - since
            bound = shape.bounds[limits.pairs]
            counts = (len(roster), *_simple(roster, limits), ours, bound)
            table.add(
                shape.name,
                *(f"{count:,}" for count in counts),
                f"{ours / bound:.3f}",
                f"{seconds:.1f}",
            )
        yield table


def _simple(roster: Desired, limits: BatchLimits) -> tuple[int, int]:
    """How many calls it takes by course, and by set of courses."""
    by_course: dict[Target, list[str]] = {}
    by_set: dict[Target, list[str]] = {}
    for numbers, identifiers in roster.groups().items():
        for target in targets(roster.assignments[number] for number in numbers):
            by_set.setdefault(target, []).extend(identifiers)
            for single in target.parts(len(target.courses)):
                by_course.setdefault(single, []).extend(identifiers)
    return _calls(by_course, limits), _calls(by_set, limits)


def _calls(groups: dict[Target, list[str]], limits: BatchLimits) -> int:
    calls = 0
    for target, identifiers in groups.items():
        chunker = Chunker(target, limits)
        calls += len(chunker.feed(identifiers))
        calls += len(chunker.flush())
    return calls
