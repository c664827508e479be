"""The events of a job, reported as they happen to `on_event`, progress, logs and the journal.

Every event has `job`, a number unique within the client, and `at`, seconds since the epoch.
`planned` numbers the batches of a job as they were planned, `call` its calls. It is None for a
call that mails learners of several batches, after other calls have changed something for them.
`delivery.event_log` emits them.
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
    """A job starts: `pairs` in all, `done` of them in an earlier run of the same journal.

    Both are None where the input is still being read, so that its size is not known.
    """

    pairs: int | None
    done: int | None = None


@frozen(kw_only=True)
class PlacesChecked(_Event):
    """A preflight goes on, as some courses or cohorts are refused. Those are counted together.

    `checked` of `places` are known by now; the platform refuses `refused` of these.
    """

    places: int
    checked: int
    refused: int


@frozen(kw_only=True)
class BatchSent(_Event):
    """A call is about to be sent, attempt number `attempt`. `email`: it asks for mail.

    `changed_in` has the planned batches of a call that only mails their changed learners.
    """

    planned: int | None
    call: int
    batch: Batch
    attempt: int
    email: bool
    changed_in: tuple[int, ...] = ()


@frozen(kw_only=True)
class BatchAnswered(_Event):
    """A call has ended after `seconds`. Calls that are cut off have no such event.

    `failure` is None for a valid answer; otherwise it is the kind of failure, and `error`
    describes it in words. `status` is the HTTP status, None without an answer.
    """

    planned: int | None
    call: int
    batch: Batch
    seconds: float
    status: int | None = None
    failure: FailureKind | None = None
    error: str | None = None


@frozen(kw_only=True)
class BatchSplit(_Event):
    """A batch is split in halves: it is too large, or one of its pairs makes the call fail."""

    planned: int | None
    batch: Batch


@frozen(kw_only=True)
class BatchSettled(_Event):
    """Some pairs of a batch have their final results.

    `planned` is None for pairs that cannot be sent. `blocks` holds the results in compact form.
    `changed` holds results so far of pairs that a call without mail has changed: their final ones
    follow when their learners were mailed.
    """

    planned: int | None
    blocks: tuple[Block, ...]
    changed: tuple[Block, ...] = ()

    @property
    def pairs(self) -> int:
        """Number of pairs."""
        return pairs_in(self.blocks)

    @property
    def results(self) -> tuple[EnrollmentResult, ...]:
        """The result of each pair, built on access."""
        return tuple(chain.from_iterable(self.blocks))


@frozen(kw_only=True)
class Throttled(_Event):
    """The platform throttled a call. No call is sent for `seconds`; None if it named no delay."""

    call: int
    seconds: float | None


@frozen(kw_only=True)
class Paused(_Event):
    """The circuit breaker opened after repeated failures: no calls until a probe is answered."""


@frozen(kw_only=True)
class Continued(_Event):
    """The circuit breaker closed: the platform answers again, after a pause of `seconds`."""

    seconds: float


@frozen(kw_only=True)
class JobDone(_Event):
    """The job has ended. `error` says in words what stopped or cancelled it early, if anything."""

    error: str | None = None


Event = (
    JobStarted
    | PlacesChecked
    | BatchSent
    | BatchAnswered
    | BatchSplit
    | BatchSettled
    | Throttled
    | Paused
    | Continued
    | JobDone
)
"""Any event."""
