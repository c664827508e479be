"""A batch on its way: what was tried with it so far, and what may be tried next."""

from __future__ import annotations

from attrs import evolve, frozen

from async_enroll.errors import EnrollError
from async_enroll.models import Batch, Outcome


@frozen
class Attempt:
    """A batch with its history.

    `planned`: the number of the planned batch that it is, or is a part of; None for one of
    the job's own questions to the platform.
    `email`: whether the job wants its learners mailed. `quiet`: whether an earlier sending that
    was undone may have mailed them. `lost`: whether the fate of an earlier sending is not
    known. `attempts`: how often its pairs were sent. `vetted`: its courses were found to be
    good after a call had failed. `failed_alone`: how often in a row the platform failed on it
    when it was a single pair. `errors`: how often in a row it has flagged the learners as
    errors. `intercepted`: something in front of the site has rejected it before. `unsettled`:
    why it has to be looked up before anything else; `last_look`: what its pairs are told as,
    where that does not find them, instead of being sent again.
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
        """Whether the platform is to mail when the parcel is sent now: at most once."""
        return self.email and not (self.quiet or self.lost)

    @property
    def touched(self) -> bool:
        """Whether nobody can say that nothing was done to its learners, mail included."""
        return self.lost or (self.email and self.quiet)

    @property
    def notified_so_far(self) -> bool | None:
        """Whether its learners were mailed, if nothing more comes of it: False, or nobody knows."""
        return None if self.email and (self.lost or self.quiet) else False

    def with_batch(self, batch: Batch) -> Attempt:
        """Another batch, or a part of this one, with the same history."""
        return evolve(self, batch=batch)
