"""What is left of a planned batch when its job was interrupted. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from attrs import evolve, frozen

from async_enroll.delivery.attempt import Parcel
from async_enroll.delivery.outcomes import Pair, pairs, wanted
from async_enroll.http.failures import Meaning
from async_enroll.models import Action, Batch, BatchLimits
from async_enroll.planning.batching import plan

_NOT_DONE = frozenset(Meaning) - {Meaning.UNKNOWN, Meaning.MASKED}
_NOT_COUNTED = {Meaning.THROTTLED, Meaning.UNREACHABLE, Meaning.NO_TOKEN}
_NO_BATCH = Batch(Action.ENROLL, (), ())


@frozen
class Sending:
    """A call that was about to be sent.

    `meaning` is what its failure meant; None where it is not known to have failed: it was in
    flight, or was answered and what the answer said is lost.
    """

    batch: Batch
    email: bool
    meaning: Meaning | None


def left(
    whole: Parcel, sendings: Iterable[Sending], settled: Collection[Pair], limits: BatchLimits
) -> list[Parcel]:
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
    alike: dict[Parcel, list[Pair]] = {}
    for pair, parcel in history.items():
        alike.setdefault(parcel, []).append(pair)
    return [
        parcel.with_batch(batch)
        for parcel, some in alike.items()
        for batch in plan(wanted(whole.batch, some), limits)
    ]


def _after(parcel: Parcel, sending: Sending) -> Parcel:
    if sending.meaning not in _NOT_COUNTED:
        parcel = evolve(parcel, attempts=parcel.attempts + 1)
    if sending.meaning is None or sending.meaning not in _NOT_DONE:
        return evolve(parcel, lost=True)
    if sending.email and sending.meaning.may_have_mailed:
        return evolve(parcel, quiet=True)
    return parcel
