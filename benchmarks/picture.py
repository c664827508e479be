"""A picture of calls over time beside what the platform's window lets through, as SVG."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import jinja2
from attrs import frozen

from async_enroll import RequestWindow

WIDTH, HEIGHT = 780, 300
"""Of the plot, in pixels."""
_ROOM = 1.04
"""What the time axis is longer than the longest run."""


@frozen
class Picture:
    """A drawing, and what it is called."""

    name: str
    svg: str


@frozen
class Curve:
    """A contender: its name, what became of it in words, and when its calls were done."""

    name: str
    words: str
    times: list[float]


def draw(name: str, curves: list[Curve], window: RequestWindow, calls: int) -> Picture:
    """Draw how many calls were done by when, and how many could have been at most."""
    longest = _ROOM * max(curve.times[-1] for curve in curves)
    across, up = WIDTH / longest, HEIGHT / calls
    openings = [window.seconds * number for number in range(int(longest / window.seconds) + 1)]
    allowed = [time for time in openings for _ in range(window.calls)][:calls]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    svg = environment.get_template("picture.svg.j2").render(
        width=WIDTH,
        height=HEIGHT,
        across=across,
        up=up,
        calls=calls,
        window=window,
        curves=[(curve, _stairs(curve.times, across, up)) for curve in curves],
        limit=_stairs(allowed, across, up),
        seconds=[(time * across, f"{time:g}") for time in openings],
        levels=[(HEIGHT - level * up, level) for level in range(0, calls + 1, window.calls)],
    )
    return Picture(name, svg)


def _stairs(times: Iterable[float], across: float, up: float) -> str:
    """A path that rises by a call at each of the times."""
    return "".join(_steps(times, across, up))


def _steps(times: Iterable[float], across: float, up: float) -> Iterator[str]:
    heights: dict[float, int] = {}
    for number, time in enumerate(times, 1):
        heights[round(time * across, 1)] = number
    yield f"M0 {HEIGHT}"
    for place, number in heights.items():
        yield f"H{place:g}V{HEIGHT - number * up:.5g}"
