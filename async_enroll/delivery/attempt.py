"""The state of a batch in delivery: what was tried so far, and what may be tried next.

`jobs.runner` makes one for each planned batch, `journal.recovery` for what an interrupted job left
to do. `delivery.delivery` evolves it after every call.
"""

from __future__ import annotations

from attrs import evolve, frozen

from async_enroll.errors import EnrollError
from async_enroll.models import Batch, Outcome


@frozen
class Attempt:
    """A batch with the history of its calls.

    Attributes:
        batch: The pairs to send.
        email: Whether the job asks the platform to mail these learners.
        planned: The number of the planned batch this is, or is part of. None for a preflight.
        quiet: An earlier call was rolled back, but may have mailed the learners.
        lost: The outcome of an earlier call is unknown.
        attempts: How often these pairs were sent.
        checked: A preflight accepted the courses after a call had failed.
        failed_alone: How often in a row the platform failed on it as a single pair.
        errors: How often in a row the platform flagged the pairs as errors.
        intercepted: A proxy or firewall in front of the site has rejected it before.
        unsettled: The error of a lost call. The pairs must be reconciled before they are sent.
        last_look: The outcome of pairs that reconciling does not find. None: send them again.

    """

    batch: Batch
    email: bool
    planned: int | None = None
    quiet: bool = False
    lost: bool = False
    attempts: int = 0
    checked: bool = False
    failed_alone: int = 0
    errors: int = 0
    intercepted: bool = False
    unsettled: EnrollError | None = None
    last_look: Outcome | None = None

    @property
    def mails(self) -> bool:
        """Whether sending it now asks the platform to mail; never after mail may have gone out."""
        return self.email and not (self.quiet or self.lost)

    @property
    def touched(self) -> bool:
        """Whether an earlier call may have changed something, or mailed somebody."""
        return self.lost or (self.email and self.quiet)

    @property
    def notified_so_far(self) -> bool | None:
        """The `notified` of a result if no further call succeeds: False, or None where unknown."""
        return None if self.email and (self.lost or self.quiet) else False

    def with_batch(self, batch: Batch) -> Attempt:
        """Return a copy with the same history for another batch, usually a part of this one."""
        return self if batch is self.batch else evolve(self, batch=batch)
