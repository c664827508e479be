"""Inverts results: what takes a pair back to its state before a job, or why it is left alone.

Takes results of a job, and then what the platform shows of their pairs now; `jobs.undo` plans and
sends what this decides. Pure: no I/O.
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache

from attrs import frozen

from async_enroll.models import Action, EnrollmentState, Outcome
from async_enroll.results import ResultDetail

ORDINARY_MODES = frozenset({"audit", "honor"})
"""The modes in which a bulk call enrolls; it restores no other (lms/djangoapps/instructor)."""

_NOTHING_DONE = frozenset({Outcome.INVALID_IDENTIFIER, Outcome.REJECTED})


class LeftAlone(Enum):
    """Why an undo leaves a pair alone. The values are words for output."""

    NOT_CHANGED = "the job has not changed it"
    UNKNOWN = "its state before the job is not known"
    CHANGED_SINCE = "it has changed since"
    UNSEEN = "the platform does not show its present state"
    NAMED_TWICE = "the job has changed it twice, by username and by e-mail address"
    MODE = "its mode cannot be restored: only audit and honor can"
    FIRST_COHORT = "it had no cohort before, and none can be taken away"
    WAITED = "it waited although there was an account, which cannot be restored"


class Left(Enum):
    """The state in which a job has left a pair."""

    ENROLLED = "enrolled"
    UNENROLLED = "unenrolled"
    NOT_REGISTERED = "not registered"
    """An address without an account, which waits for registration or does so no longer."""
    WAITING = "waiting"
    """There is an account, but it is not activated."""
    EITHER = "not registered or waiting"
    """One of these two; a plan does not tell which."""


@frozen
class Seen:
    """What the platform shows of a pair.

    `visible`: whether the listing would show the learner's enrollment. `active` and `mode` are
    None if it shows none. `account`: whether the identifier has one, as a username is taken to;
    None where that is not known. `named_twice`: the learner was looked up by username and by
    e-mail address.
    """

    visible: bool
    active: bool | None = None
    mode: str | None = None
    account: bool | None = None
    named_twice: bool = False


@frozen
class Inverse:
    """What takes a pair back, provided that it is still as the job `left` it.

    `auto_enroll` is that of the wait that it ends or restores, None where nobody waits.
    `keeps_cohort`: the job has put the learner into a cohort, in which unenrolling leaves them.
    """

    left: Left
    action: Action
    cohort: str | None = None
    auto_enroll: bool | None = None
    keeps_cohort: bool = False

    def obstacle(self, seen: Seen) -> LeftAlone | None:
        """Why the pair is left alone after all, by what the platform shows of it; None to go on."""
        if seen.named_twice:
            return LeftAlone.NAMED_TWICE
        match self.left:
            case Left.NOT_REGISTERED:
                if seen.account or seen.active is not None:
                    return LeftAlone.CHANGED_SINCE
                return LeftAlone.UNSEEN if seen.account is None else None
            case Left.WAITING:
                if seen.active:
                    return LeftAlone.CHANGED_SINCE
                return None if seen.visible else LeftAlone.UNSEEN
            case Left.EITHER:
                if seen.active:
                    return LeftAlone.CHANGED_SINCE
                known = seen.active is None and seen.account is False
                return None if known else LeftAlone.UNSEEN
        if seen.active is None:
            return LeftAlone.UNSEEN
        if seen.active is not (self.left is Left.ENROLLED):
            return LeftAlone.CHANGED_SINCE
        if seen.mode not in ORDINARY_MODES and self.cohort is None:
            # Somebody has paid since, or did so before and would come back without what they paid.
            return LeftAlone.CHANGED_SINCE if self.left is Left.ENROLLED else LeftAlone.MODE
        return None


@lru_cache(maxsize=4096)
def inverse_of(action: Action, detail: ResultDetail) -> Inverse | LeftAlone:
    """What takes a pair with this result back, or why nothing does.

    A learner who was enrolled and, as an address, waited as well, is enrolled again: an account
    cannot be made to wait.
    """
    before, after = detail.before, detail.after
    if detail.attempts == 0 or detail.outcome in _NOTHING_DONE:
        return LeftAlone.NOT_CHANGED
    if before is None or after is None:
        return LeftAlone.UNKNOWN
    moved = after.cohort is not None and before.cohort != after.cohort
    if after.enrollment and not before.enrollment:
        return Inverse(Left.ENROLLED, Action.UNENROLL, keeps_cohort=moved)
    if before.enrollment and not after.enrollment:
        return Inverse(Left.UNENROLLED, Action.ENROLL)
    if after.enrollment:
        if not moved:
            return LeftAlone.NOT_CHANGED
        if before.cohort is None:
            return LeftAlone.FIRST_COHORT
        return Inverse(Left.ENROLLED, Action.ENROLL, before.cohort)
    return _waiting(before, after, moved=moved)


def _waiting(
    before: EnrollmentState, after: EnrollmentState, *, moved: bool
) -> Inverse | LeftAlone:
    left = Left.WAITING if after.user else Left.NOT_REGISTERED
    if after.allowed and not before.allowed:
        return Inverse(left, Action.UNENROLL, None, after.auto_enroll, keeps_cohort=moved)
    if not before.allowed:
        return LeftAlone.NOT_CHANGED
    if after.allowed and before.auto_enroll == after.auto_enroll:
        if not moved:
            return LeftAlone.NOT_CHANGED
        if before.cohort is None:
            # Of an address without an account, the platform does not tell the earlier cohort.
            return LeftAlone.FIRST_COHORT if after.user else LeftAlone.UNKNOWN
    if after.user and not (after.allowed and after.auto_enroll):
        # The account may be activated by now, which nothing shows: it would be enrolled.
        return LeftAlone.WAITED
    return Inverse(left, Action.ENROLL, before.cohort if moved else None, before.auto_enroll)


def planned_inverse(
    identifier: str, action: Action, cohort: str | None, auto_enroll: bool | None
) -> Inverse:
    """The inverse that a planned pair of an undo stands for."""
    if auto_enroll is not None:
        left = Left.EITHER if "@" in identifier else Left.WAITING
    elif action is Action.UNENROLL or cohort is not None:
        left = Left.ENROLLED
    else:
        left = Left.UNENROLLED
    return Inverse(left, action, cohort, auto_enroll)
