"""The events of a job, reported as they happen to `on_event`, progress, logs and the journal.

Every event has `job`, a number unique within the client, 0 for the client itself, and `at`, seconds
since the epoch. `planned` numbers the batches of a job as they were planned, `call` its calls. It
is None for a call that mails learners of several batches, after other calls have changed something
for them.
`delivery.event_log` emits them.

They are `msgspec.Struct` objects: every program that imports the client makes these classes, and
attrs compiles half a millisecond of code for each.
"""

from __future__ import annotations

import time
from itertools import chain

import msgspec

from async_enroll.http.failures import FailureKind
from async_enroll.models import Batch, EnrollmentResult
from async_enroll.results import Block, pairs_in


class _Event(msgspec.Struct, frozen=True, kw_only=True):
    job: int
    at: float = msgspec.field(default_factory=time.time)


class JobStarted(_Event, frozen=True, kw_only=True):
    """A job starts: `pairs` in all, `done` of them in an earlier run of the same journal.

    Both are None where the input is still being read, so that its size is not known.
    """

    pairs: int | None
    done: int | None = None


class PlacesChecked(_Event, frozen=True, kw_only=True):
    """A preflight goes on, as some courses or cohorts are refused. Those are counted together.

    `checked` of `places` are known by now; the platform refuses `refused` of these.
    """

    places: int
    checked: int
    refused: int


class BatchSent(_Event, frozen=True, kw_only=True):
    """A call is about to be sent, attempt number `attempt`. `email`: it asks for mail.

    `changed_in` has the planned batches of a call that only mails their changed learners.
    """

    planned: int | None
    call: int
    batch: Batch
    attempt: int
    email: bool
    changed_in: tuple[int, ...] = ()


class BatchAnswered(_Event, frozen=True, kw_only=True):
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


class BatchSplit(_Event, frozen=True, kw_only=True):
    """A batch is split in halves: it is too large, or one of its pairs makes the call fail."""

    planned: int | None
    batch: Batch


class BatchSettled(_Event, frozen=True, kw_only=True):
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


class Throttled(_Event, frozen=True, kw_only=True):
    """The platform throttled a call. No call is sent for `seconds`; None if it named no delay."""

    call: int
    seconds: float | None


class Paused(_Event, frozen=True, kw_only=True):
    """The circuit breaker opened after repeated failures: no calls until a probe is answered."""


class Continued(_Event, frozen=True, kw_only=True):
    """The circuit breaker closed: the platform answers again, after a pause of `seconds`."""

    seconds: float


class SharedWindowLost(_Event, frozen=True, kw_only=True):
    """The store at `url` cannot be reached, for `reason`: until it is, the window is our own.

    `job` is 0: it concerns all jobs of the client.
    """

    url: str
    reason: str


class SharedWindowRestored(_Event, frozen=True, kw_only=True):
    """The store at `url` is reached again, after `seconds`. `job` is 0."""

    url: str
    seconds: float


class JobDone(_Event, frozen=True, kw_only=True):
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
    | SharedWindowLost
    | SharedWindowRestored
    | JobDone
)
"""Any event."""
