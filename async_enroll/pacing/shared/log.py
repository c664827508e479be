"""The shared log: the calls of all processes of one token, and who waits for a place. Pure.

It is to many processes what `pacing.sliding_window` is to one. A process's place is a lease until
its answer is known: a call whose process was killed counts as answered when its lease ends, and
so leaves the window, too. `shared.file` keeps the log in a file; `shared.redis` has the same rules
in Lua, and `tests/pacing/shared` holds one against the other.
"""

from __future__ import annotations

import msgspec
from attrs import Factory, define, frozen

OPEN = -1.0
"""In place of a call's age since it was counted: it has not been answered."""

_ALIVE = 3
"""Pulses without a word after which a process no longer counts, and its turn is passed on."""

_GRACE = 1.5
"""Pulses for which calls are held once the log was lost, so that all processes can restore it."""


_DELAY = 1.0
"""Seconds for which no request is under way: so much ahead of one, a clock has been set."""


@frozen
class Request:
    """What one process tells the log, and whether it asks for a place. Times are in seconds.

    `name` names the request, and the call for which it `wants` a place. `client` names the
    process, `epoch` the log that it knows, "" if it has had nothing to lose. `now` is the time by
    that log's clock, as far as the process knows it, 0 if it does not. `calls` and `seconds` are
    its window, `lease` the time for which a call without an answer is its own, and `pulse` the
    longest time between two requests while it has calls.

    `mine` has the names of its calls, and how long ago they were sent and counted (`OPEN` for a
    call that is in flight); with `full`, these are all that it has. `gone` has the names of calls
    that take no place after all. `held` is the time for which calls are held. `version` is that
    of the learned share it knows; if `share` is not empty, it is the successor of that, and admits
    `share_calls` calls. `leaves`: the process is about to end.
    """

    name: str
    wants: bool
    client: str
    epoch: str
    now: float
    calls: int
    seconds: float
    lease: float
    pulse: float
    full: bool
    mine: list[tuple[str, float, float]]
    gone: list[str]
    held: float
    version: int
    share: str
    share_calls: int
    leaves: bool


@frozen
class Reply:
    """What the log answers. Times are in seconds, `now` by the log's own clock.

    `known`: whether the log is the one that the process knows; if not, it has to tell all its
    calls again, and gets no place. `wait`: the time until there may be a place, if none is
    `granted`. `count` calls are in the window, which admits `calls` in `seconds`. `oldest` is the
    time since the first of them was sent, `first` since the first of the answered ones was
    counted, `OPEN` if there is none. `share` is the learned share, if it is not the known one.
    """

    epoch: str
    now: float
    known: bool
    granted: bool
    wait: float
    count: int
    calls: int
    seconds: float
    oldest: float
    first: float
    version: int
    share: str


@define
class Place:
    """A call in the window.

    `counted` is the latest time at which the platform can have counted it; while it is in flight
    (`is_open`), the end of its lease.
    """

    sent: float
    counted: float
    is_open: bool


@define
class Member:
    """A process: its window, until when it counts, and its turn.

    `since` is when it began to wait for a place, `until` when its turn ends unless it asks again.
    """

    calls: int
    seconds: float
    alive: float
    since: float
    until: float


@define
class SharedLog:
    """The log. `skew` takes the server's clock to its own, which never goes back nor jumps ahead.

    What it jumps by less than a second is for the processes to notice, which then tell their calls
    again.
    """

    epoch: str = ""
    seen: float = 0.0
    skew: float = 0.0
    held: float = 0.0
    version: int = 0
    share: str = ""
    share_calls: int = 0
    places: dict[str, Place] = Factory(dict)
    members: dict[str, Member] = Factory(dict)

    def exchange(self, request: Request, clock: float) -> Reply:
        """Take what a process tells, and answer it, at `clock` seconds of the server's clock."""
        if not self.epoch:
            # Its own clock goes on where a lost one was, or starts: 0 stands for never.
            self.skew = max(1.0, request.now) - clock
            self.held = clock + self.skew + _GRACE * request.pulse if request.epoch else 0.0
        ahead = clock + self.skew - max(self.seen, request.now)
        if request.epoch == self.epoch and ahead > _DELAY:
            self.skew -= ahead
        self.skew = max(self.skew, self.seen - clock)
        now = self.seen = clock + self.skew
        self.epoch = self.epoch or request.name
        self._learn(request)
        calls, seconds = self._window(request, now)
        self._update(request, now, seconds)
        self.held = min(now + seconds, max(self.held, now + request.held))
        known = request.full or request.epoch == self.epoch
        wait = self._turn(request, now, calls, seconds) if request.wants and known else 0.0
        granted = request.wants and known and wait == 0
        if granted:
            self.places[request.name] = Place(now, now + request.lease, is_open=True)
            self.members[request.client].since = 0.0
        answered = [one.counted for one in self.places.values() if not one.is_open]
        return Reply(
            epoch=self.epoch,
            now=now,
            known=known,
            granted=granted,
            wait=wait,
            count=len(self.places),
            calls=calls,
            seconds=seconds,
            oldest=now - min((one.sent for one in self.places.values()), default=now),
            first=now - min(answered) if answered else OPEN,
            version=self.version,
            share=self.share if self.version != request.version else "",
        )

    def _learn(self, request: Request) -> None:
        if request.share and request.version == self.version:
            self.version += 1
            self.share, self.share_calls = request.share, request.share_calls

    def _window(self, request: Request, now: float) -> tuple[int, float]:
        """Note that a process is there; return the smallest window of all that are."""
        mine = self.members.get(request.client)
        since, until = (mine.since, mine.until) if mine and mine.until > now else (0.0, 0.0)
        alive = now + _ALIVE * request.pulse
        self.members[request.client] = Member(request.calls, request.seconds, alive, since, until)
        self.members = {name: one for name, one in self.members.items() if one.alive > now}
        calls = min(one.calls for one in self.members.values())
        seconds = max(one.seconds for one in self.members.values())
        if request.leaves:
            del self.members[request.client]
        return min(calls, self.share_calls or calls), seconds

    def _update(self, request: Request, now: float, seconds: float) -> None:
        """Bring the calls of a process up to date, and drop those that have left the window."""
        if request.full:
            own = f"{request.client}:"
            self.places = {
                name: one for name, one in self.places.items() if not name.startswith(own)
            }
        for name, sent, counted in request.mine:
            is_open = counted < 0
            latest = now + request.lease if is_open else now - counted
            self.places[name] = Place(now - sent, latest, is_open)
        for name in request.gone:
            self.places.pop(name, None)
        self.places = {
            name: one for name, one in self.places.items() if one.counted + seconds > now
        }

    def _turn(self, request: Request, now: float, calls: int, seconds: float) -> float:
        """Seconds until a process may get a place; 0 if it gets one now.

        Each process that has waited longer is left one of the free places, which it will ask for.
        """
        mine = self.members[request.client]
        mine.since = mine.since or now
        mine.until = now + _ALIVE * request.pulse
        turn = (mine.since, request.client)
        ahead = sum(
            one.until > now and one.since > 0 and (one.since, name) < turn
            for name, one in self.members.items()
        )
        lacking = ahead + 1 - (calls - len(self.places))
        if now >= self.held and lacking <= 0:
            return 0.0
        soonest = self.held
        if lacking > len(self.places):
            soonest = max(soonest, now + request.pulse)
        elif lacking > 0:
            # A call in flight leaves no earlier than if it had been counted as it was sent.
            leaving = sorted(
                (one.sent if one.is_open else one.counted) + seconds for one in self.places.values()
            )
            soonest = max(soonest, leaving[lacking - 1])
        return soonest - now if soonest > now else request.pulse / 4


def loaded(state: bytes | None) -> SharedLog:
    """The log of its stored form; a new one if there is none, or it is no log."""
    try:
        return msgspec.json.decode(state, type=SharedLog) if state else SharedLog()
    except msgspec.DecodeError:
        return SharedLog()


def stored(log: SharedLog) -> bytes:
    """The form in which a log is stored."""
    return msgspec.json.encode(log)
