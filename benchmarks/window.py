"""How long calls take under the platform's window, against the shortest time it allows.

The window is a tenth of the platform's, and a call takes as long as one of 10 pairs then
would. Only the whole seconds that a Retry-After names cannot be scaled: what a client
loses by waiting for them weighs ten times as much here. At the real window the loop of
requests takes 1.10 times the limit.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

from attrs import frozen

from async_enroll import RequestWindow
from benchmarks.picture import Curve, Picture, draw
from benchmarks.processes import alone
from benchmarks.rivals import CONTENDERS, IN_FLIGHT
from benchmarks.site import Setting, Site, visited
from benchmarks.tables import Bar, Table

WINDOW = RequestWindow(120, 6)
CALLS = 599
"""Ours asks first whether the course exists: with that call they fill five windows."""
BAR = Bar(most=1.01)


@frozen
class Run:
    """What became of a contender: seconds, CPU seconds, and what the platform has seen."""

    seconds: float
    cpu: float
    enrolled: int
    refusals: int
    accepted: list[float]
    """When calls were done that were not refused, in seconds since the first call came."""


async def measure(name: str, site: Site, window: RequestWindow) -> tuple[float, float]:
    """Seconds, and CPU seconds."""
    since, cpu = time.perf_counter(), time.process_time()
    under_way = CONTENDERS[name](site, window)
    if under_way is not None:
        await under_way
    return time.perf_counter() - since, time.process_time() - cpu


async def contend(name: str, setting: Setting) -> Run:
    """Let a contender enroll everybody on a site of its own."""
    async with visited(setting) as site:
        seconds, cpu = await alone(measure, name, site, setting.window)
    start = min(call.arrival for call in site.calls)
    return Run(
        seconds,
        cpu,
        enrolled=len(site.enrolled),
        refusals=sum(call.status == 429 for call in site.calls),
        accepted=sorted(call.end - start for call in site.calls if call.status == 200),
    )


SHORT: dict[str, Any] = {"window": RequestWindow(100, 1), "calls": 10}


async def run(window: RequestWindow = WINDOW, calls: int = CALLS) -> AsyncIterator[Table | Picture]:
    """The table, and how it went over time."""
    setting = Setting(window, learners=calls, seconds_per_call=0.02)
    runs = {name: await contend(name, setting) for name in CONTENDERS}
    shortest = setting.limit(IN_FLIGHT)
    table = Table(
        f"{calls} calls, {window.calls} per {window.seconds:g} s, {IN_FLIGHT} in flight at most",
        ("client", "enrolled", "refused", "seconds", "of the limit", "CPU ms a call", "bar"),
    )
    for name, found in runs.items():
        done = found.enrolled == calls
        table.add(
            name,
            f"{found.enrolled} of {calls}",
            str(found.refusals),
            f"{found.seconds:.2f}",
            f"{found.seconds / shortest:.3f}" if done else "never done",
            f"{found.cpu / calls * 1000:.2f}",
            BAR.judge(found.seconds / shortest) if name == "async_enroll" else "",
        )
    table.add("the limit", f"{calls} of {calls}", "0", f"{shortest:.2f}", "1.000", "", "")
    yield table
    yield draw(
        "window",
        [
            Curve(
                name,
                f"{found.enrolled} in {found.seconds:.1f} s, {found.refusals} refused",
                found.accepted,
            )
            for name, found in runs.items()
        ],
        window,
        calls,
    )
