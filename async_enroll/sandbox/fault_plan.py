"""The faults of bulk calls, and which calls they affect."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum, auto
from itertools import count
from typing import Self

from attrs import frozen


class Fault(Enum):
    """A fault of one bulk call.

    BEFORE: the call is not processed. AFTER: it is processed, and only its answer is lost.
    """

    RESET_BEFORE = auto()
    """The connection is reset."""
    RESET_AFTER = auto()
    STALL = auto()
    """Not processed; no answer until the caller disconnects."""
    STALL_AFTER = auto()
    BAD_GATEWAY_BEFORE = auto()
    """The proxy's 502 page."""
    BAD_GATEWAY_AFTER = auto()
    UNAVAILABLE_BEFORE = auto()
    """The proxy's 503 page, without Retry-After."""
    UNAVAILABLE_AFTER = auto()
    GATEWAY_TIMEOUT_BEFORE = auto()
    """The proxy's 504 page."""
    GATEWAY_TIMEOUT_AFTER = auto()
    GATEWAY_TIMEOUT_DURING = auto()
    """A 504 at once; the call is processed behind it, `linger` seconds longer."""
    SERVER_ERROR = auto()
    """The call fails half-way with a 500 page: rolled back, but mail until then is sent."""
    UNDONE_RESET = auto()
    """As SERVER_ERROR, but the worker was killed: the connection is reset."""
    UNDONE_BAD_GATEWAY = auto()
    """As UNDONE_RESET, but the proxy answers for the dead worker with its 502 page."""
    DATABASE_ERROR = auto()
    """The database fails at the learner half-way, as in a deadlock.

    Before 2026, if another learner follows, that is a 500 page and the call is rolled back, except
    for its mail; if none follows, see DATABASE_ERROR_LAST. From 2026 on, only this learner fails.
    """
    DATABASE_ERROR_LAST = auto()
    """The same at the last learner of the last course.

    Before 2026, the answer is 200 with an error for that learner alone, although the whole call is
    rolled back, except for its mail.
    """
    MAIL_FAILS = auto()
    """Mail to the learner half-way cannot be sent, in a call that mails.

    The result is an error. Before 2026 the learner is enrolled, allowed or unenrolled all the same;
    from 2026 on not.
    """
    CUT = auto()
    """The answer ends in the middle of its body."""
    GARBLED = auto()
    """The answer is complete but not JSON."""
    MISSING_RESULTS = auto()
    """The answer lacks the first, third, fifth … result of each course."""
    THROTTLED_DATE = auto()
    """Not processed: 429 with a date as Retry-After, 0.5 to 1.5 seconds ahead."""
    THROTTLED_SILENT = auto()
    """Not processed: 429 without Retry-After."""
    THROTTLED = auto()
    """Not processed: 429 with `retry_after` as Retry-After."""
    UNAUTHORIZED = auto()
    """Not processed: 401."""
    FIREWALL_PAGE = auto()
    """Not processed: the page of a firewall, with status 403."""
    FIREWALL_PAGE_200 = auto()
    """The same with status 200, as some firewalls answer."""
    LOGIN_REDIRECT = auto()
    """Not processed: a redirect to a login page on another host."""
    GATEWAY_JSON = auto()
    """Not processed: an API gateway's 404, in JSON that is not the platform's."""
    TOO_LARGE = auto()
    """Not processed: the proxy's 413 page."""


@frozen
class Faults:
    """Which bulk calls fail, and how.

    Iterating yields the fault of the first call, the second and so on, endlessly and always the
    same. Calls count in order of arrival, whatever they contain and whoever sends them, except
    those whose body never arrived or was too large. `linger` is the number of seconds by which a
    call behind a GATEWAY_TIMEOUT_DURING takes longer; `retry_after` is the header of a THROTTLED.
    """

    _sequence: Callable[[], Iterator[Fault | None]]
    linger: float
    retry_after: str = "0"

    @classmethod
    def schedule(
        cls, faults: Mapping[int, Fault], *, linger: float = 0.2, retry_after: str = "0"
    ) -> Self:
        """Give call number n, counted from 0, the fault ``faults[n]``; all others succeed."""
        return cls(lambda: map(faults.get, count()), linger, retry_after)

    @classmethod
    def chance(
        cls,
        probability: float,
        seed: int,
        *,
        among: Sequence[Fault] = tuple(Fault),
        linger: float = 0.2,
    ) -> Self:
        """Give each call one `among` the faults, with `probability`. `seed` fixes the sequence."""

        def sequence() -> Iterator[Fault | None]:
            dice = random.Random(seed)  # noqa: S311 -- to be reproduced, not to be secret
            while True:
                yield dice.choice(among) if dice.random() < probability else None

        return cls(sequence, linger)

    @classmethod
    def shares(cls, shares: Mapping[Fault, float], seed: int, *, linger: float = 0.2) -> Self:
        """Have each fault happen to its share of the calls, drawn with `seed`.

        Raises ValueError for a share below 0, and for shares of more than 1 in total.
        """
        if not (all(share >= 0 for share in shares.values()) and math.fsum(shares.values()) <= 1):
            raise ValueError("expected shares of at least 0 and, together, at most 1")
        choices = [*shares, None]
        weights = [*shares.values(), 1 - math.fsum(shares.values())]

        def sequence() -> Iterator[Fault | None]:
            dice = random.Random(seed)  # noqa: S311 -- to be reproduced, not to be secret
            while True:
                yield from dice.choices(choices, weights)

        return cls(sequence, linger)

    def __iter__(self) -> Iterator[Fault | None]:
        return self._sequence()
