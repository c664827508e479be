"""A batch on its way: what was tried with it so far, and what may be tried next."""

from __future__ import annotations

from enum import Enum, auto

from attrs import define, evolve, field, frozen

from async_enroll.models import Action, Batch


class Phase(Enum):
    """How a batch is sent."""

    SEND = auto()
    """As the job wants it, with mail where that is wanted."""
    ASK = auto()
    """Without mail, to learn from `before` whether a lost call was done."""
    QUIET = auto()
    """Without mail, since some of its learners may have been mailed already."""


@define(eq=False)
class Inquiry:
    """What asking about a lost call has told so far.

    `never_done` are the parts that it has not done. `undone`: asking failed as a call does that
    is undone on its way; so the lost one may have been, after it had mailed.
    """

    never_done: list[Parcel] = field(factory=list)
    undone: bool = False


@frozen
class Parcel:
    """A batch with its history.

    `planned`: the number of the planned batch that it is, or is a part of; None for one of
    the job's own questions to the platform.
    `email`: whether the job wants its learners mailed. `lost`: whether the fate of an
    earlier sending is not known. `attempts`: how often its pairs were sent. `vetted`: its
    courses were found to be good after a call had failed. `failed_alone`: how often in a
    row the platform failed on it when it was a single pair. `inquiry`: what its being asked
    about is for.
    """

    batch: Batch
    email: bool
    planned: int | None = None
    phase: Phase = Phase.SEND
    lost: bool = False
    attempts: int = 0
    vetted: bool = False
    failed_alone: int = 0
    inquiry: Inquiry | None = None

    @property
    def mails(self) -> bool:
        """Whether the platform is to mail when the parcel is sent now."""
        return self.email and self.phase is Phase.SEND

    @property
    def mail_at_stake(self) -> bool:
        """Whether sending it once more could mail a second time.

        Unenrolling mails only who is still enrolled or waiting: its repetition is silent.
        """
        return self.mails and self.batch.action is Action.ENROLL

    @property
    def notified_so_far(self) -> bool | None:
        """Whether its learners were mailed, if nothing more comes of it: False, or nobody knows."""
        return None if self.email and (self.lost or self.phase is not Phase.SEND) else False

    def with_batch(self, batch: Batch) -> Parcel:
        """Another batch, or a part of this one, with the same history."""
        return evolve(self, batch=batch)
