"""What happens in a job, as it happens: what progress, logs and the journal stand on.

`job` tells the jobs of one client apart, `planned` the batches of one job as they were
planned, `call` its calls. `at` is when it happened, in seconds since the epoch.
"""

from __future__ import annotations

import time
from itertools import chain

from attrs import field, frozen

from async_enroll.http.failures import FailureKind
from async_enroll.models import Batch, EnrollmentResult
from async_enroll.results import Block, pairs_in


@frozen(kw_only=True)
class _Event:
    job: int
    at: float = field(factory=time.time)


@frozen(kw_only=True)
class JobStarted(_Event):
    """The work is known: `pairs` in all, `done` of them in an earlier run of the same journal.

    Both are None where the work comes in while it is done.
    """

    pairs: int | None
    done: int | None = None


@frozen(kw_only=True)
class BatchSent(_Event):
    """A call is about to be sent, for the `attempt`-th time; `email`: the platform is to mail."""

    planned: int
    call: int
    batch: Batch
    attempt: int
    email: bool


@frozen(kw_only=True)
class BatchAnswered(_Event):
    """A call has come to an end after `seconds`; one that is cut off does not come to one.

    `failure` is None where it was answered as promised; otherwise it says what the failure
    means, and `error` says it in words. `status` is the HTTP status, None where nothing was
    answered.
    """

    planned: int
    call: int
    batch: Batch
    seconds: float
    status: int | None = None
    failure: FailureKind | None = None
    error: str | None = None


@frozen(kw_only=True)
class BatchSplit(_Event):
    """A batch goes on in halves, since it was too large or something in it is at fault."""

    planned: int
    batch: Batch


@frozen(kw_only=True)
class BatchSettled(_Event):
    """What became of pairs of a batch is known, once and for all.

    `planned` is None for pairs that cannot be sent. `blocks` has their results compactly.
    """

    planned: int | None
    blocks: tuple[Block, ...]

    @property
    def pairs(self) -> int:
        """How many pairs."""
        return pairs_in(self.blocks)

    @property
    def results(self) -> tuple[EnrollmentResult, ...]:
        """What became of each pair, made when asked for."""
        return tuple(chain.from_iterable(self.blocks))


@frozen(kw_only=True)
class Throttled(_Event):
    """The platform refused a call: none is sent for `seconds`, None if it did not say how long."""

    call: int
    seconds: float | None


@frozen(kw_only=True)
class Paused(_Event):
    """Calls have failed in a row: the platform is left alone until it answers a probe."""


@frozen(kw_only=True)
class Continued(_Event):
    """The platform answers again, after `seconds`."""

    seconds: float


@frozen(kw_only=True)
class JobDone(_Event):
    """The job has ended; `error` is what stopped or cancelled it early, in words, if anything."""

    error: str | None = None


Event = (
    JobStarted
    | BatchSent
    | BatchAnswered
    | BatchSplit
    | BatchSettled
    | Throttled
    | Paused
    | Continued
    | JobDone
)
"""Any of these."""
