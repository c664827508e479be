"""The state of a batch in delivery: what was tried so far, and what may be tried next.

`jobs.runner` makes one for each planned batch, `journal.recovery` for what an interrupted job left
to do. `delivery.dispatch` counts every call in it.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from async_enroll.errors import EnrollError
from async_enroll.http.failures import Failure, FailureKind
from async_enroll.models import NOBODY, Batch, Outcome
from async_enroll.planning.batching import halves

MOST_ATTEMPTS = 10
"""How often pairs are sent at most while their outcome remains unknown."""

_NOT_COUNTED = (FailureKind.THROTTLED, FailureKind.UNREACHABLE, FailureKind.NO_TOKEN)


class Doubt(msgspec.Struct, frozen=True):
    """Why nobody knows what a call has done: `error`. The pairs must be reconciled.

    `otherwise` is the outcome of those that are not found as asked; None: they are sent again.
    """

    error: EnrollError
    otherwise: Outcome | None = None


class Attempt(msgspec.Struct):
    """A batch with the history of its calls.

    Attributes:
        batch: The pairs to send.
        email: Whether the job asks the platform to mail these learners.
        planned: The number of the planned batch this is, or is part of. None for a preflight, and
            for an attempt that only mails.
        changed_in: For an attempt that only mails (see `delivery.mailing`): all planned batches
            that its pairs may belong to.
        changed_at: When these were changed, or last seen to be in, by the event loop's clock.
        undone: An earlier call was rolled back, but may have mailed the learners.
        lost: The outcome of an earlier call is unknown.
        attempts: How often these pairs were sent.
        checked: A preflight accepted the courses after a call had failed.
        failures: Failures in a row that may be due to these pairs. The halves of a learner's
            courses share the list.
        doubt: The pairs must be reconciled before they are sent; `lost` is set then, too.

    """

    batch: Batch
    email: bool
    planned: int | None = None
    changed_in: tuple[int, ...] = ()
    changed_at: float = 0.0
    undone: bool = False
    lost: bool = False
    attempts: int = 0
    checked: bool = False
    failures: list[Failure] = msgspec.field(default_factory=list)
    doubt: Doubt | None = None

    @property
    def is_preflight(self) -> bool:
        """Whether it has no effect: its only identifier is nobody's."""
        return self.batch.identifiers == (NOBODY,)

    @property
    def weight(self) -> int:
        """The size of a call's body in characters, less a constant and what JSON escapes."""
        return sum(map(len, self.batch.identifiers)) + sum(map(len, self.batch.courses))

    @property
    def mails(self) -> bool:
        """Whether sending it now asks the platform to mail; never after mail may have gone out."""
        return self.email and not self.touched

    @property
    def touched(self) -> bool:
        """Whether an earlier call may have changed something, or mailed somebody."""
        return self.lost or self.undone

    @property
    def notified_so_far(self) -> bool | None:
        """The `notified` of a result if no further call succeeds: False, or None where unknown."""
        return None if self.email and self.touched else False

    def count(self, kind: FailureKind | None, *, mailed: bool) -> None:
        """Count a call that carried the pairs; `kind` says how it failed, None if it did not.

        `mailed`: the call asked the platform to mail. A call that was not let in does not count.
        """
        if kind in _NOT_COUNTED:
            return
        self.attempts += 1
        if kind is not None:
            self.lost |= kind in (FailureKind.UNKNOWN, FailureKind.MASKED)
            self.undone |= mailed and kind.may_have_mailed

    def with_batch(self, batch: Batch) -> Attempt:
        """Return a copy with the same history for another batch, usually a part of this one."""
        if batch is self.batch:
            return self
        return replace(self, batch=batch, failures=[*self.failures])

    def halves(self) -> list[Attempt]:
        """Return two copies with a half of the batch each; the attempt itself if it is one pair."""
        if self.batch.pairs == 1:
            return [self]
        return [self.with_batch(half) for half in halves(self.batch)]
