"""One process's part in a shared log: what it tells the log, and makes of the answers. Pure.

`pacing.sliding_window` keeps the process's own calls. They restore the log where that was lost,
and are all there is to go by while the log cannot be reached. `shared.window` does the exchanges.
"""

from __future__ import annotations

import math
from itertools import count
from uuid import uuid4

from attrs import Factory, define, field

from async_enroll.models import RequestWindow
from async_enroll.pacing.shared.learned import LearnedShare, Refusal
from async_enroll.pacing.shared.log import OPEN, Reply, Request
from async_enroll.pacing.sliding_window import CLOCK_TOLERANCE, Call, WindowLog, explains

_GATHER = 0.02
"""Seconds for which an answer waits for the next request of a place, to go with it."""

_RETRY = 0.5
"""Seconds, at least, after which a log that could not be reached is tried again."""

_STEP = 0.02
"""Seconds by which the log's clock may run ahead of ours before it counts as having been set."""


@define(eq=False)
class Membership:
    """A process among those that share a window; times are in seconds of its own clock.

    `lease`: seconds for which a call without an answer keeps its place, unless it is renewed; to
    be longer than a call can take. Each new value is a process of its own.
    """

    window: RequestWindow
    concurrency: int
    lease: float
    name: str = Factory(lambda: uuid4().hex)
    pulse: float = field(init=False)
    """The longest time between two exchanges while there are calls in the window."""
    away: bool = field(default=True, init=False)
    """Whether the log cannot be reached, so that only this process's own calls are known."""
    due: float = field(default=-math.inf, init=False)
    """When the next exchange is due."""
    own: WindowLog = field(init=False)
    _numbers: count[int] = field(factory=count, init=False)
    _epoch: str = field(default="", init=False)
    _is_registered: bool = field(default=False, init=False)
    """Whether the log has all calls of ours but the `_changed` and `_gone` ones."""
    _changed: dict[str, Call] = field(factory=dict, init=False)
    _gone: list[str] = field(factory=list, init=False)
    _learned: LearnedShare = field(factory=LearnedShare, init=False)
    _held_until: float = field(default=-math.inf, init=False)
    _free_at: float = field(default=-math.inf, init=False)
    _reply: Reply | None = field(default=None, init=False)
    _asked: float = field(default=0.0, init=False)
    """When the last request that was answered was made, …"""
    _replied: float = field(default=-math.inf, init=False)
    """… and when the reply came."""

    @pulse.default
    def _twentieth_of_window(self) -> float:
        return min(2.0, max(0.05, self.window.seconds / 20))

    @own.default
    def _empty(self) -> WindowLog:
        return WindowLog(self.window, self.concurrency)

    def wait(self, now: float) -> float:
        """Seconds until there may be a place; infinite if a call in flight must return first."""
        if self.away:
            return self.own.wait(now)
        if self.own.in_flight >= self.concurrency:
            return math.inf
        return max(0.0, self._free_at - now)

    def send(self, now: float) -> Call:
        """Record that a call is sent without the log; only while that is away."""
        return self.own.send(now, self._next_name())

    def answered(self, call: Call, now: float, *, worked: float = 0.0) -> None:
        """Record that the platform counted this call, or may have."""
        self.own.answered(call, now, worked=worked)
        self._changed[call.name] = call
        if self._reply is not None:
            self._learned.counted(call.ours)
        self.due = min(self.due, now + _GATHER)

    def unsent(self, call: Call, now: float) -> None:
        """Give back the place of a call that never reached the platform."""
        self.own.unsent(call)
        self._gone.append(call.name)
        self.due = min(self.due, now + _GATHER)

    def refused(self, call: Call, retry_after: float | None, now: float) -> bool:
        """Record a 429; return whether the calls of all processes explain it."""
        self._gone.append(call.name)
        self.due = now
        if self.away or self._reply is None:
            return self.own.refused(call, retry_after, now)
        self.own.unsent(call)
        if not retry_after or self._reply.first == OPEN:
            return False  # the platform's throttle names a time, and our calls have a part in it
        explained = explains(
            retry_after,
            call,
            now,
            seconds=self.window.seconds,
            oldest=self._replied - self._reply.oldest,
            first=self._replied - self._reply.first,
        )
        tried_after = math.inf if explained else retry_after
        refusal = Refusal(self._there(call.sent), self._there(now), tried_after)
        self._learned.refusals.append(refusal)
        return explained

    def hold(self, seconds: float, now: float) -> None:
        """Have all processes hold their calls for `seconds`."""
        self._held_until = max(self._held_until, now + seconds)
        self.due = now

    def request(self, now: float, *, wants: bool = False, leaves: bool = False) -> Request:
        """The next request; follow it by `take` or `lost`."""
        calls = self.own.calls(now)
        full = not (self._is_registered and calls)
        mine = calls if full else [*self.own.calls_in_flight, *self._changed.values()]
        # Who has had nothing to do for a window cannot tell a lost log from one that has expired.
        knows = bool(calls) or now < self._replied + self.window.seconds
        share, share_calls = self._learned.offer(self._there(now))
        gone = [] if full else self._gone
        held = max(0.0, self._held_until - now)
        # What happens from now on is for the request after this.
        self._changed, self._gone, self._held_until, self.due = {}, [], -math.inf, math.inf
        return Request(
            name=self._next_name(),
            wants=wants,
            client=self.name,
            epoch=self._epoch if knows else "",
            now=self._there(now),
            calls=self.window.calls,
            seconds=self.window.seconds * (1 + CLOCK_TOLERANCE),
            lease=self.lease + 3 * self.pulse,
            pulse=self.pulse,
            full=full,
            mine=[
                (
                    call.name,
                    max(0.0, now - call.sent),
                    OPEN if math.isinf(call.counted) else max(0.0, now - call.counted),
                )
                for call in mine
            ],
            gone=gone,
            held=held,
            version=self._learned.version,
            share=share,
            share_calls=share_calls,
            leaves=leaves,
        )

    def take(self, request: Request, reply: Reply, asked: float, now: float) -> Call | None:
        """Take the reply to a request made at `asked`; return the call that got a place, if any."""
        last, self._reply = self._reply, reply
        # At most as far ahead as before, and now at least as far.
        was_set = last is not None and reply.now - now > last.now - self._asked + _STEP
        self._is_registered = reply.known and not was_set
        self._epoch, self._asked, self._replied = reply.epoch, asked, now
        self.away = False
        call = None
        if reply.granted:
            call = self.own.send(now, request.name)
            call.ours = reply.count  # all processes' calls are ours
        self._free_at = -math.inf if reply.granted else now + min(reply.wait, self.pulse)
        offers = self._learned.take(reply, request.share)
        if offers or not self._is_registered:
            self.due = now
        elif self.own.calls(now):
            self.due = min(self.due, now + self.pulse)
        return call

    def lost(self, now: float) -> bool:
        """Record that no reply came; return whether that is news."""
        self.forgotten()
        self.due = now + max(_RETRY, self.pulse)  # before that, all would be in vain
        was_away, self.away = self.away, True
        return not was_away

    def forgotten(self) -> None:
        """Tell all calls in the next request: the log may have lost what it was told."""
        self._is_registered = False

    def _next_name(self) -> str:
        return f"{self.name}:{next(self._numbers)}"

    def _there(self, at: float) -> float:
        """A time by the log's clock; 0 where that is not known."""
        if self._reply is None:
            return 0.0
        return at + self._reply.now - (self._asked + self._replied) / 2
