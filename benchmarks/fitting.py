"""How large calls are made, and how many at once, beside the best that a sweep finds.

Seconds are a twenty-fifth of a real site's: 1 ms a pair is 25, and a gateway that waits
for 1.2 s waits for 30.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from attrs import evolve, frozen

from async_enroll import BatchLimits, EnrollmentClient, RequestWindow
from benchmarks.processes import alone
from benchmarks.site import Setting, Site, visited
from benchmarks.tables import Bar, Table

WINDOW = RequestWindow(100_000, 1)
SECONDS = 0.4
"""What a call is to take: a twenty-fifth of the default."""

SLOW = Setting(
    WINDOW, learners=16_000, seconds_per_call=0.02, seconds_per_pair=0.001, gateway_timeout=1.2
)
SIZES = (50, 100, 200, 400, 800, 1100)
LARGEST = 2_000

SIZE = 10
CROWDED = Setting(WINDOW, learners=0, seconds_per_call=0.1, backlog=0)
CALLS = {2: 300, 4: 400, 16: 1600}
"""By the number of workers."""

MOST = 32

SIZE_BAR = Bar(most=1.10)
TIMED_OUT_BAR = Bar(most=2)
THROUGHPUT_BAR = Bar(least=0.95)
REFUSED_BAR = Bar(most=2)


@frozen
class Run:
    """Seconds, and how many calls were answered how."""

    seconds: float
    calls: int
    statuses: dict[int, int]


async def enroll(site: Site, batch: BatchLimits, concurrency: int, settle: float) -> float:
    """Enroll everybody; give the seconds it took."""
    async with EnrollmentClient(
        site.url, site.token, window=WINDOW, batch=batch, concurrency=concurrency, settle=settle
    ) as client:
        since = time.perf_counter()
        report = await client.bulk_enroll(site.learners, [site.course])
        report.raise_for_failures()
        return time.perf_counter() - since


async def measured(
    setting: Setting, batch: BatchLimits, concurrency: int, settle: float = 2.4
) -> Run:
    """Enroll everybody on a site of its own."""
    async with visited(setting) as site:
        seconds = await alone(enroll, site, batch, concurrency, settle)
    statuses = [call.status for call in site.calls]
    return Run(seconds, len(statuses), {one: statuses.count(one) for one in set(statuses)})


def fixed(pairs: int) -> BatchLimits:
    """Calls of so many pairs, however long they take."""
    return BatchLimits(pairs, pairs, seconds=1e6)


async def sizes(setting: Setting, fixed_sizes: Sequence[int]) -> Table:
    """Calls that fit, beside calls of one size."""
    table = Table(
        f"{setting.learners:,} pairs of 1 ms, a gateway of {setting.gateway_timeout} s, "
        "8 in flight",
        ("size of a call", "calls", "timed out", "seconds", "of the best", "bar"),
    )
    runs = {f"{size}": await measured(setting, fixed(size), 8) for size in fixed_sizes}
    best = min(run.seconds for run in runs.values())
    runs["found out"] = await measured(setting, BatchLimits(LARGEST, LARGEST, seconds=SECONDS), 8)
    for name, run in runs.items():
        timed_out = run.statuses.get(504, 0)
        ratio = run.seconds / best
        bars = (SIZE_BAR.judge(ratio), f"timed out {TIMED_OUT_BAR.judge(timed_out)}")
        table.add(
            name,
            str(run.calls),
            str(timed_out),
            f"{run.seconds:.2f}",
            f"{ratio:.3f}",
            "; ".join(bars) if name == "found out" else "",
        )
    return table


async def numbers(calls_of_workers: Mapping[int, int]) -> Table:
    """Calls at once that fit, beside as many as there are workers."""
    table = Table(
        f"Calls of 0.1 s, {MOST} in flight at most; those too many are refused (503)",
        ("workers", "calls", "of the best throughput", "bar", "% refused", "bar"),
    )
    settle = 0.6  # a hundredth of a real site's, as 0.1 s is
    for workers, calls in calls_of_workers.items():
        setting = evolve(CROWDED, workers=workers, learners=calls * SIZE)
        best = await measured(setting, fixed(SIZE), workers, settle)
        ours = await measured(setting, fixed(SIZE), MOST, settle)
        ratio = best.seconds / ours.seconds
        refused = 100 * ours.statuses.get(503, 0) / ours.calls
        table.add(
            str(workers),
            str(calls),
            f"{ratio:.3f}",
            THROUGHPUT_BAR.judge(ratio),
            f"{refused:.1f}",
            REFUSED_BAR.judge(refused),
        )
    return table


SHORT: dict[str, Any] = {
    "setting": evolve(SLOW, learners=200),
    "fixed_sizes": [50],
    "calls": {2: 5},
}


async def run(
    setting: Setting = SLOW, fixed_sizes: Sequence[int] = SIZES, calls: Mapping[int, int] = CALLS
) -> AsyncIterator[Table]:
    """Both tables."""
    yield await sizes(setting, fixed_sizes)
    yield await numbers(calls)
