"""The request window as `pacing.throttle` sees it, whoever else uses it.

`pacing.sliding_window` serves one client, `pacing.shared.window` all processes with a token.
"""

from __future__ import annotations

from typing import Protocol

from async_enroll.pacing.sliding_window import Call


class Window(Protocol):
    """Knows when one more call may be sent. `now` is in seconds of the event loop's clock."""

    @property
    def in_flight(self) -> int:
        """The number of our calls that were sent and not yet answered."""
        ...

    def wait(self, now: float) -> float:
        """Seconds until there may be a place; infinite if a call in flight must return first."""
        ...

    def reserve_at_once(self, now: float) -> Call | None:
        """As `reserve`, but None as well where one has to wait for the place."""
        ...

    async def reserve(self, now: float) -> Call | None:
        """Take a place for a call, which is sent at once; only after `wait` returned 0.

        None if there is none after all; `wait` then tells when to ask again.
        """
        ...

    def answered(self, call: Call, now: float, *, worked: float = 0.0) -> None:
        """Record that the platform counted this call, or may have.

        `worked`: seconds, at least, that the platform worked on the call after counting it.
        """
        ...

    def unsent(self, call: Call) -> None:
        """Give back the place of a call that never reached the platform."""
        ...

    def refused(self, call: Call, retry_after: float | None, now: float) -> bool:
        """Record a 429, which the platform does not count; return whether the window explains it.

        `retry_after`: seconds that the platform named, or None.
        """
        ...

    def hold(self, seconds: float) -> None:
        """Have the others who use the window hold their calls for `seconds`, too."""
        ...
