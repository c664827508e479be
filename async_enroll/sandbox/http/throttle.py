"""The platform's throttle, as Django REST framework's `SimpleRateThrottle` works."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable

from async_enroll.models import RequestWindow


class Throttle:
    """Accepts at most `window.calls` requests of a user in any `window.seconds` seconds.

    Refused requests are not counted.
    """

    def __init__(
        self, window: RequestWindow, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._window = window
        self._clock = clock
        self._accepted: defaultdict[str, deque[float]] = defaultdict(deque)

    def admit(self, user: str) -> float | None:
        """Count a request of `user` and return None, or refuse it.

        A refusal is the number of seconds until the oldest counted request leaves the window.
        """
        now = self._clock()
        accepted = self._accepted[user]
        while accepted and accepted[0] <= now - self._window.seconds:
            accepted.popleft()
        if len(accepted) >= self._window.calls:
            return self._window.seconds - (now - accepted[0])
        accepted.append(now)
        return None
