"""What is left of a planned batch when its job was interrupted. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from attrs import evolve, frozen

from async_enroll.delivery.attempt import Attempt
from async_enroll.delivery.outcomes import Pair, desired, pairs
from async_enroll.http.failures import FailureKind
from async_enroll.models import Action, Batch, BatchLimits
from async_enroll.planning.batching import plan

_NOT_DONE = frozenset(FailureKind) - {FailureKind.UNKNOWN, FailureKind.MASKED}
_NOT_COUNTED = {FailureKind.THROTTLED, FailureKind.UNREACHABLE, FailureKind.NO_TOKEN}
_NO_BATCH = Batch(Action.ENROLL, (), ())


@frozen
class Sending:
    """A call that was about to be sent.

    `meaning` is what its failure meant; None where it is not known to have failed: it was in
    flight, or was answered and what the answer said is lost.
    """

    batch: Batch
    email: bool
    kind: FailureKind | None


def left(
    whole: Attempt, sendings: Iterable[Sending], settled: Collection[Pair], limits: BatchLimits
) -> list[Attempt]:
    """The parcels that remain to be pursued of a `whole` one, whose pairs `settled` are done.

    What was in flight is lost: nobody knows whether it was done.
    """
    history = {
        pair: evolve(whole, batch=_NO_BATCH) for pair in pairs(whole.batch) if pair not in settled
    }
    for sending in sendings:
        for pair in pairs(sending.batch):
            if pair in history:
                history[pair] = _after(history[pair], sending)
    alike: dict[Attempt, list[Pair]] = {}
    for pair, attempt in history.items():
        alike.setdefault(attempt, []).append(pair)
    return [
        attempt.with_batch(batch)
        for attempt, some in alike.items()
        for batch in plan(desired(whole.batch, some), limits)
    ]


def _after(attempt: Attempt, sending: Sending) -> Attempt:
    if sending.kind not in _NOT_COUNTED:
        attempt = evolve(attempt, attempts=attempt.attempts + 1)
    if sending.kind is None or sending.kind not in _NOT_DONE:
        return evolve(attempt, lost=True)
    if sending.email and sending.kind.may_have_mailed:
        return evolve(attempt, quiet=True)
    return attempt
