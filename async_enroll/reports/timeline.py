"""When the pairs of a job became known, for a picture: bounded, however long the job takes.

A state machine without I/O. Times of day are seconds since the epoch. A *position* is a
place on the time line: seconds of the job's own time, which stands still while the job is
interrupted, so that one resumed the next day still shows both of its days' work.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from attrs import evolve, frozen

MOST_BUCKETS = 240
_FINEST = 0.25

# A silence longer than this is taken for an interruption even if nobody said so. In working
# order a call is heard of within a minute or three, and longer waits are told as pauses.
_LONGEST_SILENCE = 600.0
_SHORTEST_SILENCE = 180.0


class Hold(Enum):
    """Why a job sends nothing for a while."""

    THROTTLE = "throttle"
    """The platform's throttle has refused a call, and named a time to wait."""
    OUTAGE = "outage"
    """The platform does not answer, and is left alone until it does."""


@frozen
class Bucket:
    """What became known in one stretch of time: so many `pairs`, `failed` of them not as asked."""

    pairs: int = 0
    failed: int = 0


@frozen
class Pause:
    """Nothing was sent from position `start` to `end`, but for breaks too short to be drawn.

    `seconds` is how long the job was held in between.
    """

    hold: Hold
    start: float
    end: float
    seconds: float


@frozen
class Interruption:
    """The job stood still at `position`, for `seconds` that are cut out, until `until`."""

    position: float
    seconds: float
    until: float


class Timeline:
    """Pairs over time, in at most `MOST_BUCKETS` buckets of `width` seconds.

    The width doubles when the job grows longer. What lies closer together than one bucket
    is wide is one pause, and one interruption: that keeps them few.
    """

    def __init__(self) -> None:
        self.width: float = _FINEST
        self.buckets: list[Bucket] = []
        self.interruptions: list[Interruption] = []
        self.started: float | None = None
        self._pauses: dict[Hold, list[Pause]] = {hold: [] for hold in Hold}
        self._worked = 0.0
        # Position of a time of day: since the job last began, and what had been done before.
        self._resumed = 0.0
        self._before = 0.0

    @property
    def worked(self) -> float:
        """How long the job has been at work, in seconds: interruptions do not count."""
        return self._worked

    @property
    def pauses(self) -> list[Pause]:
        """All pauses, by where they start. Those of one kind do not overlap."""
        found = (pause for some in self._pauses.values() for pause in some)
        return sorted(found, key=lambda pause: pause.start)

    def resume(self, at: float) -> None:
        """The job begins, or goes on after it was stopped: what lay between does not count."""
        if self.started is None:
            self._begin(at)
        elif at > self._heard:
            self._cut(at)

    def add(self, at: float, pairs: int, failed: int = 0) -> None:
        """What became of `pairs` is known, `failed` of them not as asked."""
        position = self._position(at)
        self._reach(position)
        number = int(position / self.width)
        self.buckets += [Bucket()] * (number + 1 - len(self.buckets))
        bucket = self.buckets[number]
        self.buckets[number] = Bucket(bucket.pairs + pairs, bucket.failed + failed)

    def pause(self, at: float, seconds: float, hold: Hold) -> None:
        """Nothing is sent from `at` on, for `seconds`; to be told before what comes after it."""
        start = self._position(at)
        end = self._position(at + seconds, silent=False)
        self._reach(end)
        if end > start:
            pauses = [*self._pauses[hold], Pause(hold, start, end, end - start)]
            self._pauses[hold] = self._merged(sorted(pauses, key=lambda pause: pause.start))

    def clock(self, position: float) -> float:
        """The time of day at a position; at that of an interruption, when it began.

        Raises:
            ValueError: where nothing has begun.

        """
        if self.started is None:
            raise ValueError("the time line is empty")
        cut = (away.seconds for away in self.interruptions if away.position < position)
        return self.started + position + sum(cut)

    @property
    def _heard(self) -> float:
        """The latest time of day at which the job is known to have been at work."""
        return self._resumed + self._worked - self._before

    def _begin(self, at: float) -> None:
        self.started = self._resumed = at

    def _position(self, at: float, *, silent: bool = True) -> float:
        if self.started is None:
            self._begin(at)
        # Silence is judged by the work so far: a short job's picture is soon squeezed.
        longest = min(_LONGEST_SILENCE, max(_SHORTEST_SILENCE, self._worked))
        if silent and at - self._heard > longest:
            self._cut(at)
        # A clock that was set back does not reach into the work of an earlier run.
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
        """The same pauses of one kind, by start, those closer than a bucket's width as one."""
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
        """The same interruptions, in their order, those closer than a bucket's width as one."""
        united: list[Interruption] = []
        for away in interruptions:
            if united and away.position - united[-1].position < self.width:
                seconds = united[-1].seconds + away.seconds
                united[-1] = Interruption(united[-1].position, seconds, away.until)
            else:
                united.append(away)
        return united
