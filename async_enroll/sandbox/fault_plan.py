"""What can go wrong with a bulk call, and with which calls it does."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum, auto
from itertools import count
from typing import Self

from attrs import frozen


class Fault(Enum):
    """What goes wrong with one bulk call.

    BEFORE: the call is not processed. AFTER: it is processed as ever, and only its answer
    is lost.
    """

    RESET_BEFORE = auto()
    """The connection is reset."""
    RESET_AFTER = auto()
    STALL = auto()
    """Not processed, and silence until the caller leaves."""
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
    """The 504 comes at once; the call is worked on behind it, `linger` seconds longer."""
    SERVER_ERROR = auto()
    """The call fails half-way with a 500 page: undone, but the mails until then are out."""
    UNDONE_RESET = auto()
    """As SERVER_ERROR, but nobody is told: the worker was killed, and its connection reset."""
    UNDONE_BAD_GATEWAY = auto()
    """As UNDONE_RESET, and the proxy answers for the dead worker with its 502 page."""
    DATABASE_ERROR = auto()
    """The database fails at the learner half-way, as it does to break a deadlock.

    Before 2026, that is a 500 page and undoes the call, mails apart, where another learner
    follows; see DATABASE_ERROR_LAST where none does. From 2026, it is this learner's alone.
    """
    DATABASE_ERROR_LAST = auto()
    """The same at the last learner of the last course.

    Before 2026, the answer is 200, with an error for that learner alone, though the whole
    call is undone, mails apart.
    """
    MAIL_FAILS = auto()
    """Mail to the learner half-way cannot be sent, where the call mails them.

    Their result is an error. Before 2026 they are enrolled or allowed all the same (or
    unenrolled), later they are not.
    """
    CUT = auto()
    """The answer ends in the middle of its body."""
    GARBLED = auto()
    """The answer is whole and no JSON."""
    MISSING_RESULTS = auto()
    """Of each course's results, the answer lacks the first, the third and so on."""
    THROTTLED_DATE = auto()
    """Not processed: 429, its Retry-After an HTTP date half a second to 1.5 seconds ahead."""
    THROTTLED_SILENT = auto()
    """Not processed: 429 without Retry-After."""
    THROTTLED = auto()
    """Not processed: 429, its Retry-After `retry_after`, whatever that is."""
    UNAUTHORIZED = auto()
    """Not processed: 401."""
    FIREWALL_PAGE = auto()
    """Not processed: the page of a firewall in front of the site, with status 403."""
    FIREWALL_PAGE_200 = auto()
    """The same with status 200, as some firewalls answer."""
    LOGIN_REDIRECT = auto()
    """Not processed: a redirect to a login on another host."""
    GATEWAY_JSON = auto()
    """Not processed: the 404 of an API gateway, in JSON that is not the platform's."""
    TOO_LARGE = auto()
    """Not processed: the proxy's 413 page."""


@frozen
class Faults:
    """Which bulk calls go wrong, and how.

    Iterating tells what happens to the first call, the second and so on, without end and
    always the same. Calls count in order of arrival, whatever they hold and whoever
    calls; those whose body never arrived, or was too large, do not. `linger` is the
    seconds by which a call behind a GATEWAY_TIMEOUT_DURING takes longer, `retry_after` the
    header of a THROTTLED.
    """

    _sequence: Callable[[], Iterator[Fault | None]]
    linger: float
    retry_after: str = "0"

    @classmethod
    def schedule(
        cls, faults: Mapping[int, Fault], *, linger: float = 0.2, retry_after: str = "0"
    ) -> Self:
        """The n-th call, counted from 0, meets ``faults[n]``; all others go well."""
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
        """Each call meets one `among` the faults with `probability`, as `seed` decides."""

        def sequence() -> Iterator[Fault | None]:
            dice = random.Random(seed)  # noqa: S311 -- to be reproduced, not to be secret
            while True:
                yield dice.choice(among) if dice.random() < probability else None

        return cls(sequence, linger)

    def __iter__(self) -> Iterator[Fault | None]:
        return self._sequence()
