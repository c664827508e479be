"""The platform's request window, kept from this side of the network. Pure.

The platform counts the requests it accepted in the last `seconds` (Django REST
framework's `SimpleRateThrottle`). When each one arrived there cannot be seen from here;
that it arrived between its sending and its answer, and before the work that it asked for
was done, can. So a call takes a place in the window when it is sent, and the place becomes
free `seconds` after the latest moment at which the platform can have counted it: never
before the platform has forgotten the call, hence no refusals.
"""

from __future__ import annotations

import math
from bisect import insort
from operator import attrgetter

from attrs import define, field, frozen

from async_enroll.models import RequestWindow

_SLACK = 0.001
"""Of the window: a platform's clock may be slower than ours by as much."""

_REST = 4
"""How many windows pass without a refusal before more is asked for than was given."""

_LONGEST_REST = 16
_STRAYS = 3
"""How many refusals that our own calls do not explain have to come before they are believed."""


@frozen(eq=False)
class Call:
    """A call that takes a place in the window: when it was sent, and when counted at the latest."""

    sent: float
    counted: float = math.inf


@define
class WindowShare:
    """How many calls of a window are ours: as `told`, until refusals show that they are fewer.

    Others may use the same token, or the site may allow fewer than it is said to.
    """

    told: int
    seconds: float
    calls: int = field(init=False)
    _accepted: int = field(default=0, init=False)
    _step: int = field(default=1, init=False)
    _rest: int = field(default=_REST, init=False)
    _ask_at: float = field(default=math.inf, init=False)
    _refused_at: float = field(default=-math.inf, init=False)
    _strays: int = field(default=0, init=False)
    _all_refused: bool = field(default=False, init=False)
    """Whether no call was taken since one was refused: it may be all the same to the site."""
    _stray_at: float = field(default=math.inf, init=False)

    @calls.default
    def _as_told(self) -> int:
        return self.told

    def at(self, now: float) -> int:
        """How many calls to make in a window; after some rest, a few more than were borne."""
        if now >= self._ask_at:
            self._accepted = self.calls
            self.calls = min(self.told, self.calls + self._step)
            self._step *= 2
            self._ask_at = now + self.seconds if self.calls < self.told else math.inf
        return self.calls

    def refused(self, sent: float, ours: int, now: float, *, explained: bool) -> None:
        """A call was refused that was `sent` when the window held so many of `ours`.

        `explained`: these alone may have filled it. If not, a few refusals may be strays.
        """
        asked_for_more = self.calls > self._accepted > 0
        if sent > self._refused_at:  # and not together with another
            self._refused_at = now
            self._strays += not self._all_refused
            self._all_refused = True
            self._stray_at = min(self._stray_at, ours)
            if asked_for_more:
                self._rest = min(2 * self._rest, _LONGEST_REST)
        if explained or asked_for_more or self._strays >= _STRAYS:
            self.calls = self._accepted = max(1, min(self.calls, ours))
            self._step = 1
            self._ask_at = now + self._rest * self.seconds

    def counted(self, ours: int) -> None:
        """A call was taken when the window held so many of `ours`."""
        self._all_refused = False
        if ours >= self._stray_at:
            self._strays = 0
            self._stray_at = math.inf


@define
class WindowLog:
    """The calls of the last `window.seconds`: a state machine without a clock.

    `now` is in seconds of any steady clock.
    """

    window: RequestWindow
    concurrency: int
    share: WindowShare = field(init=False)
    _in_flight: set[Call] = field(factory=set, init=False)
    _counted: list[Call] = field(factory=list, init=False)

    @share.default
    def _all(self) -> WindowShare:
        return WindowShare(self.window.calls, self.window.seconds)

    @property
    def in_flight(self) -> int:
        """How many calls are sent and not answered."""
        return len(self._in_flight)

    def wait(self, now: float) -> float:
        """Seconds until a call may be sent; infinite where a call in flight must return first."""
        calls = self.share.at(now)
        if len(self._in_flight) >= min(self.concurrency, calls):
            return math.inf
        self._forget(now)
        over = len(self._in_flight) + len(self._counted) - calls
        if over < 0:
            return 0.0
        return max(0.0, self._free_at(self._counted[over]) - now)

    def send(self, now: float) -> Call:
        """Take a place; only after `wait` said 0."""
        place = Call(now)
        self._in_flight.add(place)
        return place

    def answered(self, place: Call, now: float, *, worked: float = 0.0) -> None:
        """The platform counted this call, or may have, and then worked on it for so long.

        `worked`: seconds at least; the place grows old from before them.
        """
        self._in_flight.remove(place)
        counted = max(place.sent, now - worked)
        insort(self._counted, Call(place.sent, counted), key=attrgetter("counted"))
        self.share.counted(len(self._in_flight) + len(self._counted))

    def unsent(self, place: Call) -> None:
        """The call never reached the platform: its place is free again."""
        self._in_flight.remove(place)

    def refused(self, place: Call, retry_after: float | None, now: float) -> bool:
        """The platform answered 429, did not count the call, and named `retry_after` seconds.

        Gives whether our own calls alone account for that.
        """
        self._in_flight.remove(place)
        self._forget(now)
        ours = len(self._in_flight) + len(self._counted)
        explained = retry_after is not None and self._explains(retry_after, place, now)
        self.share.refused(place.sent, ours, now, explained=explained)
        return explained

    def _explains(self, retry_after: float, refused: Call, now: float) -> bool:
        """Whether our own calls account for the refusal.

        The platform names the time until its oldest request leaves the window, rounded up
        to a second. If our own oldest call can be that request, the window is full of our
        calls alone and simply narrower than told; if not, others use the same token or
        something stray has answered.
        """
        if not self._counted:
            return False
        seconds = self.window.seconds
        oldest_sent = min(place.sent for place in [*self._in_flight, *self._counted])
        earliest = oldest_sent + seconds - now
        latest = self._counted[0].counted + seconds - refused.sent
        return earliest <= retry_after <= latest + 1

    def _forget(self, now: float) -> None:
        """Drop the calls that the platform does not remember any longer."""
        while self._counted and self._free_at(self._counted[0]) <= now:
            del self._counted[0]

    def _free_at(self, place: Call) -> float:
        return place.counted + self.window.seconds * (1 + _SLACK)
