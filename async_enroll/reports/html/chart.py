"""Chart of a `Timeline`: the coordinates of everything that the template draws.

Horizontal coordinates are in percent, so that the chart fits a phone and text keeps its
size. Vertical coordinates are in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

from attrs import frozen

from async_enroll.reports.html.words import duration
from async_enroll.reports.summary import counted
from async_enroll.reports.timeline import Hold, Pause, Timeline

HOLDS = {
    Hold.THROTTLE: "throttled by the platform",
    Hold.OUTAGE: "the platform did not answer",
}
_SHORT = {Hold.THROTTLE: "throttled", Hold.OUTAGE: "no answer"}

_MOST_BARS = 96
_MOST_ROWS = 24
_HEIGHT = 170.0
_LEAST_BAR = 2.0
_LEAST_BELOW = 8.0
# The width of a letter, in percent of the chart.
_LETTER = 0.75
_LETTER_ON_PHONE = 2.3


@frozen
class Tick:
    """A label, with its horizontal place in percent or its vertical place in pixels."""

    place: float
    label: str


@frozen
class Cut:
    """Where an interruption is left out: its horizontal place in percent, and its label.

    `anchor` is the end of the label that stands at the place, as of SVG.
    """

    place: float
    label: str
    anchor: Literal["start", "middle", "end"]


@frozen
class Shade:
    """A pause: `left` and `width` in percent; `room` is where its label fits."""

    hold: Hold
    left: float
    width: float
    title: str
    label: str
    room: Literal["anywhere", "desktop", "none"]


@frozen
class Row:
    """The results from `since` on, in seconds since the epoch, as a row of the table."""

    since: float
    pairs: int
    failed: int


@frozen
class Stop:
    """A pause or an interruption, as a row of the table; `since` in seconds since the epoch."""

    since: float
    what: str
    length: str


@frozen
class Chart:
    """A timeline as the template draws it.

    Bars of pairs that succeeded grow up from `zero`, of those that failed down. `up` and
    `down` are SVG paths, `bars` units wide and `height` pixels high. `caption` describes the
    chart. `away` is how long the job was interrupted, in seconds.
    """

    caption: str
    bars: int
    zero: float
    height: float
    up: str
    down: str
    shades: list[Shade]
    cuts: list[Cut]
    across: list[Tick]
    levels: list[Tick]
    rows: list[Row]
    stops: list[Stop]
    away: float


def draw(timeline: Timeline) -> Chart | None:
    """The chart of a timeline, or None if it has no results."""
    if not timeline.buckets:
        return None
    number = max(len(timeline.buckets), math.ceil(timeline.worked / timeline.width))
    together = math.ceil(number / _MOST_BARS)
    bars = list(_sums(timeline, together))
    bars += [(0, 0)] * (math.ceil(number / together) - len(bars))
    width = timeline.width * together
    whole = width * len(bars)
    above = max(pairs - failed for pairs, failed in bars)
    below = max(failed for _, failed in bars)
    # One scale for both sides of the line, but a few failures among very many stay visible.
    under = max(_HEIGHT * below / (above + below), _LEAST_BELOW) if below else 0.0
    under = min(under, _HEIGHT - _LEAST_BELOW) if above else under
    over = _HEIGHT - under
    pixels = over / above if above else under / max(below, 1)
    return Chart(
        _caption(timeline, width),
        bars=len(bars),
        zero=over,
        height=_HEIGHT,
        up=_path(((p - f) * pixels for p, f in bars), over, -1, over),
        down=_path((f * pixels for _, f in bars), over, 1, under),
        shades=[_shade(pause, whole) for pause in timeline.pauses],
        cuts=list(_cuts(timeline, whole)),
        across=[Tick(100 * at / whole, duration(at) if at else "0") for at in _times(whole)],
        levels=[Tick(over - level * pixels, f"{level:,}") for level in _levels(above)],
        rows=list(_rows(timeline)),
        stops=sorted(_stops(timeline), key=lambda stop: stop.since),
        away=sum(away.seconds for away in timeline.interruptions),
    )


def _sums(timeline: Timeline, together: int) -> Iterator[tuple[int, int]]:
    """Pairs and failures, summed over `together` buckets at a time."""
    for start in range(0, len(timeline.buckets), together):
        some = timeline.buckets[start : start + together]
        yield sum(one.pairs for one in some), sum(one.failed for one in some)


def _path(heights: Iterator[float], zero: float, sign: int, most: float) -> str:
    """Adjacent bars, one unit wide each. Even the smallest is visible."""
    return "".join(
        f"M{place} {zero:.1f}v{sign * min(max(height, _LEAST_BAR), most):.1f}h1V{zero:.1f}z"
        for place, height in enumerate(heights)
        if height
    )


def _shade(pause: Pause, whole: float) -> Shade:
    width = 100 * (pause.end - pause.start) / whole
    words = f"{HOLDS[pause.hold]}, for {duration(pause.seconds)}"
    label = f"{_SHORT[pause.hold]} {duration(pause.seconds)}"
    room: Literal["anywhere", "desktop", "none"] = (
        "anywhere"
        if width > _LETTER_ON_PHONE * len(label)
        else "desktop"
        if width > _LETTER * len(label)
        else "none"
    )
    return Shade(pause.hold, 100 * pause.start / whole, width, words, label, room)


def _cuts(timeline: Timeline, whole: float) -> Iterator[Cut]:
    free = -math.inf
    for away in timeline.interruptions:
        place = 100 * away.position / whole
        label = f"interrupted {duration(away.seconds)}"
        width = _LETTER_ON_PHONE * len(label)
        anchor: Literal["start", "middle", "end"]
        if place + width <= 100:
            anchor, left = "start", place
        elif place >= width:
            anchor, left = "end", place - width
        else:
            anchor, left = "middle", place - width / 2
        # One label for those close together: labels must not overlap.
        yield Cut(place, label if left >= free else "", anchor)
        free = left + width + _LETTER_ON_PHONE if left >= free else free


def _times(whole: float) -> list[float]:
    """About four round times, from 0 up to the last whose label fits."""
    rounds = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200]
    step = next((step for step in rounds if whole / step <= 5), 86_400.0)
    while whole / step > 5:
        step *= 2
    return [step * number for number in range(int(0.93 * whole / step) + 1)]


def _levels(most: int) -> list[int]:
    """At most five round numbers, up to `most`."""
    power = 10 ** int(math.log10(max(most, 1)))
    steps = (power // 5, power // 2, power, 2 * power, 5 * power)
    step = next(step for step in steps if step and most / step <= 5)
    return [step * number for number in range(1, most // step + 1)]


def _caption(timeline: Timeline, bar: float) -> str:
    pairs = sum(bucket.pairs for bucket in timeline.buckets)
    words = f"{counted(pairs, 'enrollment')} in {duration(timeline.worked)}"
    if timeline.worked >= 60:
        words += f", {60 * pairs / timeline.worked:,.0f} per minute on average"
    words += f". Each bar covers {duration(bar)}."
    for hold in Hold:
        held = sum(pause.seconds for pause in timeline.pauses if pause.hold is hold)
        if held:
            start, end = HOLDS[hold][0].upper(), HOLDS[hold][1:]
            words += f" {start}{end}: {duration(held)} in total."
    if timeline.interruptions:
        away = sum(away.seconds for away in timeline.interruptions)
        words += f" Interrupted, and left out here: {duration(away)} in total."
    return words


def _rows(timeline: Timeline) -> Iterator[Row]:
    together = math.ceil(len(timeline.buckets) / _MOST_ROWS)
    for number, (pairs, failed) in enumerate(_sums(timeline, together)):
        yield Row(timeline.clock(number * together * timeline.width), pairs, failed)


def _stops(timeline: Timeline) -> Iterator[Stop]:
    for pause in timeline.pauses:
        yield Stop(timeline.clock(pause.start), HOLDS[pause.hold], duration(pause.seconds))
    for away in timeline.interruptions:
        yield Stop(away.until - away.seconds, "interrupted", duration(away.seconds))
