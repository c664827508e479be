"""Results over time, for the chart of `html.chart`. Its size is bounded, however long the job.

A state machine without I/O. Takes counts of results and pauses, each with its time in
seconds since the epoch. A *position* on the timeline is in seconds of working time: it does
not advance while the job is interrupted, so that a job resumed the next day shows the work
of both days.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from attrs import evolve, frozen

MOST_BUCKETS = 240
_FINEST = 0.25

# A longer silence counts as an interruption, even without an event. In normal operation a
# call is answered within three minutes, and longer waits are reported as pauses.
_LONGEST_SILENCE = 600.0
_SHORTEST_SILENCE = 180.0


class Hold(Enum):
    """Why a job pauses."""

    THROTTLE = "throttle"
    """The platform throttled a call and named a time to wait."""
    OUTAGE = "outage"
    """The platform does not answer; the job waits until it does."""


@frozen
class Bucket:
    """The results of one interval: the number of `pairs`, and how many of them `failed`."""

    pairs: int = 0
    failed: int = 0


@frozen
class Pause:
    """A time in which nothing was sent, from position `start` to `end`.

    `seconds` is the time paused: less than `end - start` where nearby pauses were merged.
    """

    hold: Hold
    start: float
    end: float
    seconds: float


@frozen
class Interruption:
    """The job was not running for `seconds`, until `until`; `position` is where that is cut out."""

    position: float
    seconds: float
    until: float


class Timeline:
    """Results over time, in at most `MOST_BUCKETS` buckets of `width` seconds.

    The width doubles as the job grows longer. Pauses, and interruptions, that lie closer
    together than the width are merged, which bounds their number.
    """

    def __init__(self) -> None:
        self.width: float = _FINEST
        self.buckets: list[Bucket] = []
        self.interruptions: list[Interruption] = []
        self.started: float | None = None
        self._pauses: dict[Hold, list[Pause]] = {hold: [] for hold in Hold}
        self._worked = 0.0
        # To convert times to positions: when the job last began, and its position then.
        self._resumed = 0.0
        self._before = 0.0

    @property
    def worked(self) -> float:
        """Working time of the job in seconds, without interruptions."""
        return self._worked

    @property
    def pauses(self) -> list[Pause]:
        """All pauses, ordered by start. Those of one kind do not overlap."""
        found = (pause for some in self._pauses.values() for pause in some)
        return sorted(found, key=lambda pause: pause.start)

    def resume(self, at: float) -> None:
        """The job starts, or resumes: the time since its last event is an interruption."""
        if self.started is None:
            self._begin(at)
        elif at > self._heard:
            self._cut(at)

    def add(self, at: float, pairs: int, failed: int = 0) -> None:
        """Results of `pairs` arrived, `failed` of them failures."""
        position = self._position(at)
        self._reach(position)
        number = int(position / self.width)
        self.buckets += [Bucket()] * (number + 1 - len(self.buckets))
        bucket = self.buckets[number]
        self.buckets[number] = Bucket(bucket.pairs + pairs, bucket.failed + failed)

    def pause(self, at: float, seconds: float, hold: Hold) -> None:
        """Sending pauses for `seconds` from `at` on. Call it before adding anything later."""
        start = self._position(at)
        end = self._position(at + seconds, silent=False)
        self._reach(end)
        if end > start:
            pauses = [*self._pauses[hold], Pause(hold, start, end, end - start)]
            self._pauses[hold] = self._merged(sorted(pauses, key=lambda pause: pause.start))

    def clock(self, position: float) -> float:
        """The time at a position, in seconds since the epoch.

        At the position of an interruption, the time it began.

        Raises:
            ValueError: The timeline is empty.

        """
        if self.started is None:
            raise ValueError("the timeline is empty")
        cut = (away.seconds for away in self.interruptions if away.position < position)
        return self.started + position + sum(cut)

    @property
    def _heard(self) -> float:
        """The latest time at which the job is known to have been running."""
        return self._resumed + self._worked - self._before

    def _begin(self, at: float) -> None:
        self.started = self._resumed = at

    def _position(self, at: float, *, silent: bool = True) -> float:
        if self.started is None:
            self._begin(at)
        # The limit grows with the working time: in a short job, even a short gap dwarfs the rest.
        longest = min(_LONGEST_SILENCE, max(_SHORTEST_SILENCE, self._worked))
        if silent and at - self._heard > longest:
            self._cut(at)
        # Even if the clock was set back, stay out of the work of an earlier run.
        position = max(self._before, self._before + at - self._resumed)
        self._worked = max(self._worked, position)
        return position

    def _cut(self, at: float) -> None:
        away = Interruption(self._worked, at - self._heard, at)
        self.interruptions = self._united([*self.interruptions, away])
        self._resumed, self._before = at, self._worked

    def _reach(self, position: float) -> None:
        while position >= self.width * MOST_BUCKETS:
            self.width *= 2
            halves = [*self.buckets, Bucket()] if len(self.buckets) % 2 else self.buckets
            self.buckets = [
                Bucket(one.pairs + two.pairs, one.failed + two.failed)
                for one, two in zip(halves[::2], halves[1::2], strict=True)
            ]
            for hold, pauses in self._pauses.items():
                self._pauses[hold] = self._merged(pauses)
            self.interruptions = self._united(self.interruptions)

    def _merged(self, pauses: Iterable[Pause]) -> list[Pause]:
        """Merge pauses of one kind, ordered by start, that are closer than a bucket's width."""
        merged: list[Pause] = []
        for pause in pauses:
            if not merged or pause.start - merged[-1].end >= self.width:
                merged.append(pause)
                continue
            last = merged[-1]
            twice = max(0.0, min(last.end, pause.end) - pause.start)
            seconds = max(last.seconds, pause.seconds, last.seconds + pause.seconds - twice)
            merged[-1] = evolve(last, end=max(last.end, pause.end), seconds=seconds)
        return merged

    def _united(self, interruptions: Iterable[Interruption]) -> list[Interruption]:
        """Merge interruptions, in order, that are closer than a bucket's width."""
        united: list[Interruption] = []
        for away in interruptions:
            if united and away.position - united[-1].position < self.width:
                seconds = united[-1].seconds + away.seconds
                united[-1] = Interruption(united[-1].position, seconds, away.until)
            else:
                united.append(away)
        return united
