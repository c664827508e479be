"""How evenly calls must go, learned from the refusals that their number does not explain. Pure.

A proxy that limits the rate (nginx's `limit_req`) takes a short burst, and then so many calls a
second, however many are in flight. Where calls go evenly but too fast, every n calls that it
takes fall behind it by one, and that one is refused: so it takes n in the time of n + 1.
"""

from __future__ import annotations

import math

from attrs import define, field

from async_enroll.models import RequestWindow

_SLOWEST = 1 / 4
"""Of a window: the longest interval. A site that refuses calls still has other reasons."""

_CALM = 16
"""After how many calls it is tried whether they may go faster, …"""

_LONG_CALM = 500
"""… and whether they may go faster than was once too fast."""

_CLOSE = 1.03
"""How many times as long an interval is hardly another."""

_SHORTER = 0.95
"""How many times as long the next is where nothing is known of it."""


@define
class Pace:
    """Seconds from one call to the next: 0 until a refusal calls for more.

    The first of these fills the window evenly, which costs nothing in the long run.
    """

    window: RequestWindow
    interval: float = field(default=0.0, init=False)
    _too_short: float = field(default=0.0, init=False)
    _sent: int = field(default=0, init=False)
    _sent_at: float = field(default=0.0, init=False)
    _refused: int = field(default=0, init=False)
    """How many had been sent when one was last refused …"""
    _changed: int = field(default=0, init=False)
    """… and when the interval last changed."""
    _none_taken: bool = field(default=False, init=False)
    """Whether all calls have been refused since one was."""

    @property
    def _even(self) -> float:
        return self.window.seconds / self.window.calls

    def sent(self, now: float) -> int:
        """Take note that a call is sent; give its number."""
        if now > self._sent_at + self.window.seconds and self.interval <= self._even:
            self.interval = 0.0  # after a rest, there is room for a burst again
        self._sent += 1
        self._sent_at = now
        return self._sent

    def refused(self, call: int) -> None:
        """A call was refused, and not because too many were in flight."""
        if call <= self._refused:
            return  # sent before the interval grew for another of its kind
        taken = call - self._refused - 1
        all_refused, self._none_taken = self._none_taken, not taken
        if all_refused and not taken:
            self._refused = self._sent
            return  # the site refuses everything for now, however late it comes
        self._too_short = self.interval or self._even / _CLOSE
        longer = self.interval * (1 + 1 / max(1, taken))
        self.interval = max(self._even, min(longer, _SLOWEST * self.window.seconds))
        self._refused = self._changed = self._sent

    def answered(self, call: int) -> None:
        """A call was taken."""
        self._none_taken = False
        if not self.interval or call <= self._changed + _CALM:
            return
        if self.interval > _CLOSE * self._too_short > 0:
            self.interval = math.sqrt(self.interval * self._too_short)
        elif self._too_short and call <= self._changed + _LONG_CALM:
            return
        else:  # what was too much once may not be so for ever
            self.interval, self._too_short = self.interval * _SHORTER, 0.0
        if self.interval < self._even:
            self.interval = 0.0
        self._changed = self._sent
