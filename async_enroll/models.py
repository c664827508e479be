"""The values that every other module uses: roster entries, batches, queries, results, settings.

Frozen and slotted; they validate themselves and do nothing else. *Identifier*: an e-mail
address or a username. *Course key*: ``course-v1:Org+Number+Run``. *Pair*: one identifier in
one course.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import Enum
from typing import Literal, TypeVar
from unicodedata import category, normalize

from attrs import asdict, field, frozen

from async_enroll.errors import ConfigurationError

T = TypeVar("T")
Emit = Callable[[T], Awaitable[None]]
"""Passes a value to the consumer; blocks while the consumer is busy (backpressure)."""

NOBODY = "preflight@"
"""The identifier of preflight calls.

Neither a username nor a plausible address: a call for it changes, mails and records nothing.
"""


class Action(Enum):
    """What to do with a pair. The values are those of the platform's API."""

    ENROLL = "enroll"
    UNENROLL = "unenroll"


class Outcome(Enum):
    """The outcome of a pair. `ok` is True where the pair is now in the state asked for."""

    ENROLLED = "enrolled"
    """Newly enrolled by the call."""
    ALREADY_ENROLLED = "already_enrolled"
    """Enrolled before the call, and still enrolled."""
    ALLOWED = "allowed"
    """Not enrolled yet: an address without an account, or an account that is not activated.

    With `auto_enroll`, the learner is enrolled on registration or activation. Open edX since
    2022 also reports accounts that are not activated this way.
    """
    UNENROLLED = "unenrolled"
    """Enrolled before the call, and no longer."""
    NOT_ENROLLED = "not_enrolled"
    """Asked to be unenrolled, but was not enrolled."""
    WITHDRAWN = "withdrawn"
    """Asked to be unenrolled: the wait for registration or activation is cancelled."""
    INVALID_IDENTIFIER = "invalid_identifier"
    """Neither a user nor a plausible address, or text that cannot be sent at all."""
    ERROR = "error"
    """The platform reported an error for this pair."""
    REJECTED = "rejected"
    """The platform refused the call (no such course, no such cohort, …). Nothing was changed."""
    UNCONFIRMED = "unconfirmed"
    """Sent, but its outcome is unknown: the call was lost or cut off."""

    @property
    def ok(self) -> bool:
        """Whether the pair is now in the state asked for."""
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


EmailStudents = bool | Literal["changed"]
"""Whom the platform mails: everyone, nobody, or only those for whom a call changes something."""


@frozen
class RosterEntry:
    """One pair of a roster: the learner, the course, and the action.

    Surrounding white space is ignored. Identifiers that differ only in case are the same
    learner, as on the platform; the first spelling is sent. `cohort` names an existing cohort
    of the course to place the learner in; the platform accepts it with ENROLL only.
    """

    identifier: str
    course_id: str
    action: Action = Action.ENROLL
    cohort: str | None = None


@frozen
class Batch:
    """The cross product of one bulk call: every identifier in every course.

    `cohorts` is None or holds one cohort for each course, in the order of `courses`: the
    platform refuses a call in which only some courses have a cohort. `auto_enroll` is None
    for that of the job.
    """

    action: Action
    courses: tuple[str, ...]
    identifiers: tuple[str, ...]
    cohorts: tuple[str, ...] | None = None
    auto_enroll: bool | None = None

    @property
    def pairs(self) -> int:
        """Number of pairs in the call."""
        return len(self.courses) * len(self.identifiers)

    def cohort_in(self, course_id: str) -> str | None:
        """The cohort for one of the courses, or None."""
        return None if self.cohorts is None else self.cohorts[self.courses.index(course_id)]


@frozen
class Enrollment:
    """One record of the platform's enrollment listing.

    `email` is None where the site does not disclose it. `created` is naive where the
    platform names no time zone, and None where the platform has no date.
    """

    username: str
    email: str | None
    course_id: str
    is_active: bool
    mode: str
    created: datetime | None


@frozen
class EnrollmentQuery:
    """A filter on the enrollment listing; a field that is None does not filter.

    `days` keeps enrollments created in the last that many days, 0 to 100,000. Records without
    a creation date never match it.

    Raises:
        ConfigurationError: if a field has the wrong type, is blank or cannot be sent, or `days`
            is out of range.

    """

    course_id: str | None = None
    username: str | None = None
    days: int | None = None

    def __attrs_post_init__(self) -> None:
        for name, given, kind in (
            ("course_id", self.course_id, str),
            ("username", self.username, str),
            ("days", self.days, int),
        ):
            if not isinstance(given, kind | None) or isinstance(given, bool):
                found = type(given).__name__
                raise ConfigurationError(f"{name} is a {found}; expected a {kind.__name__}")
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
    """Whether a query string can carry `value`: yarl drops characters it cannot encode."""
    return "\0" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)


ListingKind = Literal["auto", "so2", "core"]
"""Where to read enrollments: MOOCit's reporting API (so2), Open edX's list (core), or either."""


@frozen
class EnrollmentState:
    """The state of a pair before or after a call, as the platform reports it.

    `user`: the identifier has an account. `enrollment`: the learner is enrolled. `allowed`:
    the learner awaits registration or activation and, with `auto_enroll`, is enrolled then.
    `cohort` is None unless the call named cohorts.
    """

    user: bool
    enrollment: bool
    allowed: bool
    auto_enroll: bool
    cohort: str | None = None


@frozen
class EnrollmentResult:
    """The result of one pair.

    `before` and `after` are the states that the platform reported, None where it reported
    none. `error` says in words why `outcome` is not ok. `notified`: True where the platform
    was asked to mail the learner and answered 200; False where no mail was sent; None where
    it is unknown whether mail was sent. `attempts` counts the calls that carried the pair.
    `line` is the line of the roster's file that asked for the pair first; None where no file
    did, or it is not known. `cohort` is the one asked for. `at` is when the result came, in
    seconds since the epoch, None where that is not known; it does not count when two results are
    compared.
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
    cohort: str | None = None
    at: float | None = field(default=None, eq=False)


@frozen
class RequestWindow:
    """The platform's throttle: at most `calls` requests in any `seconds` seconds.

    The default is the platform's own for staff, 120 calls a minute. Source: openedx-platform,
    `EnrollmentUserThrottle`.

    Raises:
        ConfigurationError: if either is not a number, `calls` is below 1 or `seconds` is not
            above 0.

    """

    calls: int = 120
    seconds: float = 60.0

    def __attrs_post_init__(self) -> None:
        _check_numbers(self)
        if self.calls < 1 or not self.seconds > 0:
            raise ConfigurationError(
                f"window is {self.calls} calls in {self.seconds} s; expected at least 1 call "
                "in more than 0 seconds"
            )


@frozen
class BatchLimits:
    """The maximum size of one bulk call: identifiers, pairs, and bytes of its encoded body.

    The defaults keep a call well under a minute at tens of milliseconds a pair, and its body
    under nginx's default limit of 1 MiB. Where the platform is slower, calls are made smaller,
    so that each takes about `seconds`.

    Raises:
        ConfigurationError: if a limit is not a number or too small: below 1 identifier, 1 pair
            or 16 KiB, or not above 0 seconds.

    """

    identifiers: int = 200
    pairs: int = 500
    bytes: int = 512 * 1024
    seconds: float = 10.0

    def __attrs_post_init__(self) -> None:
        _check_numbers(self)
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


def _check_numbers(settings: RequestWindow | BatchLimits) -> None:
    for name, value in asdict(settings).items():
        if not isinstance(value, int | float):
            kind = type(settings).__name__
            raise ConfigurationError(
                f"{name} of {kind} is a {type(value).__name__}; expected a number"
            )


LONGEST_REASON = 255
"""Maximum length of a reason, in characters."""


def checked_reason(reason: str | None) -> str | None:
    """Strip and validate the reason of a job; None stays None.

    Raises:
        ConfigurationError: if the platform could not store the reason.

    """
    if reason is None:
        return None
    expected = f"expected text of up to {LONGEST_REASON} characters"
    if not isinstance(reason, str):
        raise ConfigurationError(f"reason is a {type(reason).__name__}; {expected}")
    reason = str.strip(reason)  # plain, where a framework has a kind of string of its own
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


def identity_key(identifier: str) -> str:
    """The key for comparing identifiers as the platform does: lower case, Unicode form NFC.

    Not `casefold`: on the platform, `straße` and `strasse` are different identifiers.
    """
    return normalize("NFC", identifier.lower())


def loose_key(identifier: str) -> str:
    """A key that is the same for all spellings that MySQL may take for one.

    Unicode form NFKD, without marks, casefolded: `zoe` and `Zoë`.
    """
    if identifier.isascii():
        return identifier.lower()
    letters = (one for one in normalize("NFKD", identifier) if category(one)[0] != "M")
    return "".join(letters).casefold()
