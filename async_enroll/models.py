"""The vocabulary: what is asked of the platform, and what it says has become of it.

Frozen, slotted values without behaviour of their own beyond what follows from
their fields. *Identifier*: an e-mail address or a username. *Course key*:
``course-v1:Org+Number+Run``. *Pair*: one identifier in one course.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Literal

from attrs import frozen

from async_enroll.errors import ConfigurationError


class Action(Enum):
    """What is to be done with a pair; the values are the platform's words."""

    ENROLL = "enroll"
    UNENROLL = "unenroll"


class Outcome(Enum):
    """What became of a pair. ``ok`` tells whether it is now as it was asked to be."""

    ENROLLED = "enrolled"
    """Was not enrolled and is now."""
    ALREADY_ENROLLED = "already_enrolled"
    """Was enrolled before the call and still is."""
    ALLOWED = "allowed"
    """An address without an account, or an account that is not activated.

    It waits for registration or activation. Accounts that are not activated are told so by
    Open edX since 2022.
    """
    UNENROLLED = "unenrolled"
    """Was enrolled and is no longer."""
    NOT_ENROLLED = "not_enrolled"
    """To be unenrolled, and was not enrolled in the first place."""
    WITHDRAWN = "withdrawn"
    """To be unenrolled: a wait for registration or activation has been undone."""
    INVALID_IDENTIFIER = "invalid_identifier"
    """Neither a user nor a plausible address, or one that cannot be sent at all."""
    ERROR = "error"
    """The platform failed on this one identifier."""
    REJECTED = "rejected"
    """The platform refused the call (no such course, no such cohort, …); nothing was done."""
    UNCONFIRMED = "unconfirmed"
    """Sent, and nothing tells what became of it."""

    @property
    def ok(self) -> bool:
        """Whether the pair is now as it was asked to be."""
        return self in _AS_ASKED


_AS_ASKED = frozenset(
    {
        Outcome.ENROLLED,
        Outcome.ALREADY_ENROLLED,
        Outcome.ALLOWED,
        Outcome.UNENROLLED,
        Outcome.NOT_ENROLLED,
        Outcome.WITHDRAWN,
    }
)


@frozen
class RosterEntry:
    """One pair of a roster: who, where, and whether in or out.

    Surrounding white space does not count. Identifiers that differ in case alone are one
    learner, as to the platform; the first spelling is sent. `cohort` places the learner in a
    cohort that exists in the course; the platform takes it with ENROLL only.
    """

    identifier: str
    course_id: str
    action: Action = Action.ENROLL
    cohort: str | None = None


@frozen
class Batch:
    """The cross product of one bulk call: every identifier in every course.

    `cohorts` is None or has one cohort for each course, in the courses' order: the
    platform refuses a call in which only some courses have one.
    """

    action: Action
    courses: tuple[str, ...]
    identifiers: tuple[str, ...]
    cohorts: tuple[str, ...] | None = None

    @property
    def pairs(self) -> int:
        """How many pairs the call carries."""
        return len(self.courses) * len(self.identifiers)


@frozen
class Enrollment:
    """One record of the platform's enrollment listing.

    `email` is None where the site does not tell it; `created` is naive where the
    platform names no time zone, and None where it does not know.
    """

    username: str
    email: str | None
    course_id: str
    is_active: bool
    mode: str
    created: datetime | None


@frozen
class EnrollmentQuery:
    """A filter on the enrollment listing; None does not filter.

    `days` keeps the enrollments created in the last so many days, and so none of which it
    is not known when they were created.
    """

    course_id: str | None = None
    username: str | None = None
    days: int | None = None

    def __attrs_post_init__(self) -> None:
        if self.course_id is not None and not self.course_id.strip():
            raise ConfigurationError("course_id is empty; leave it out to list every course")
        if self.username is not None and not self.username.strip():
            raise ConfigurationError("username is empty; leave it out to list every learner")
        for name, value in (("course_id", self.course_id), ("username", self.username)):
            if value is not None and not _is_text(value):
                raise ConfigurationError(
                    f"{name} is {value!r}, which cannot be sent: it holds half a character or NUL"
                )
        if self.days is not None and not 0 <= self.days <= _MOST_DAYS:
            raise ConfigurationError(
                f"days is {self.days}; expected a number of days, 0 to {_MOST_DAYS}"
            )


def _is_text(value: str) -> bool:
    """Whether a platform can be asked for it: yarl leaves out of a URL what cannot be encoded."""
    return "\0" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)


ListingKind = Literal["auto", "so2", "core"]
"""Where enrollments are read: MOOCit's reporting API, Open edX's own list, or what there is."""


@frozen
class EnrollmentState:
    """Where a pair stood before or after a call, in the platform's words.

    `user`: the identifier has an account. `enrollment`: it is enrolled. `allowed`:
    it waits for registration or activation and, with `auto_enroll`, is enrolled then.
    `cohort` is told only by calls that name cohorts.
    """

    user: bool
    enrollment: bool
    allowed: bool
    auto_enroll: bool
    cohort: str | None = None


@frozen
class EnrollmentResult:
    """What became of one pair.

    `before` and `after` are the platform's word, None where it gave none. `error`
    says in words why `outcome` is not ok. `notified`: True, the platform was asked
    to mail the learner and answered 200; False, no mail; None, it may have mailed and
    nobody can tell. `attempts` counts the calls the pair was sent in. `line` is that of the
    roster's file in which it was asked for, where that is known: in reports from a journal.
    """

    identifier: str
    course_id: str
    action: Action
    outcome: Outcome
    before: EnrollmentState | None = None
    after: EnrollmentState | None = None
    error: str | None = None
    notified: bool | None = False
    attempts: int = 1
    line: int | None = None


@frozen
class RequestWindow:
    """At most `calls` requests in any `seconds` seconds; the platform's default for staff.

    Source: openedx-platform, `EnrollmentUserThrottle` (120 a minute for staff).
    """

    calls: int = 120
    seconds: float = 60.0

    def __attrs_post_init__(self) -> None:
        if self.calls < 1 or not self.seconds > 0:
            raise ConfigurationError(
                f"window is {self.calls} calls in {self.seconds} s; expected at least 1 call "
                "in more than 0 seconds"
            )


@frozen
class BatchLimits:
    """How large one bulk call may grow: identifiers, pairs, and bytes of its encoded body.

    The defaults keep a call well under a minute at tens of milliseconds a pair, and
    its body under nginx's default limit of 1 MiB. Where the platform needs longer for a
    pair, calls are made smaller, to take about `seconds`.
    """

    identifiers: int = 200
    pairs: int = 500
    bytes: int = 512 * 1024
    seconds: float = 10.0

    def __attrs_post_init__(self) -> None:
        if self.identifiers < 1 or self.pairs < 1:
            raise ConfigurationError(
                f"batch limits are {self.identifiers} identifiers and {self.pairs} pairs; "
                "expected at least 1 of each"
            )
        if not self.seconds > 0:
            raise ConfigurationError(f"batch limit is {self.seconds} seconds; expected more than 0")
        if self.bytes < _SMALLEST_BODY:
            raise ConfigurationError(
                f"batch limit is {self.bytes} bytes; expected at least {_SMALLEST_BODY}"
            )


LONGEST_REASON = 255
"""How many characters a reason can have."""


def checked_reason(reason: str | None) -> str | None:
    """The reason of a job, without surrounding white space; None where none is given.

    Raises:
        ConfigurationError: where the platform could not keep it, saying what is expected.

    """
    if reason is None:
        return None
    expected = f"expected text of up to {LONGEST_REASON} characters"
    if not isinstance(reason, str):
        raise ConfigurationError(f"reason is a {type(reason).__name__}; {expected}")
    reason = reason.strip()
    if not reason:
        raise ConfigurationError(f"reason is blank; {expected}, or none at all")
    if len(reason) > LONGEST_REASON:
        raise ConfigurationError(f"reason has {len(reason):,} characters; {expected}")
    if "\0" in reason:
        raise ConfigurationError(f"reason holds a NUL character; {expected}, without NUL")
    if any("\ud800" <= character <= "\udfff" for character in reason):
        raise ConfigurationError(f"reason holds half a character; {expected}, in Unicode")
    return reason


_SMALLEST_BODY = 16 * 1024
_MOST_DAYS = 100_000
