"""Recovery: works out what is left of a planned batch after its job was interrupted.

Takes the batch, its calls and its settled pairs from `journal.store`; gives `journal.journal` the
attempts to deliver. Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from attrs import frozen
from msgspec.structs import replace

from async_enroll.delivery.attempt import Attempt
from async_enroll.delivery.mailing import Changed
from async_enroll.delivery.outcomes import Pair, desired, pairs
from async_enroll.http.failures import FailureKind
from async_enroll.models import Action, Batch, BatchLimits
from async_enroll.planning.batching import plan
from async_enroll.results import Block

_NO_BATCH = Batch(Action.ENROLL, (), ())


@frozen
class Sending:
    """A call that was about to be sent.

    `kind` is its failure kind. None if no failure is recorded: it was answered, or still in
    flight when the job ended.
    """

    batch: Batch
    email: bool
    kind: FailureKind | None


def left(
    whole: Attempt, sendings: Iterable[Sending], settled: Collection[Pair], limits: BatchLimits
) -> list[Attempt]:
    """Return the attempts that remain of a planned batch, `whole`, without its `settled` pairs.

    Pairs of calls that were in flight are marked as lost, since their outcome is unknown.
    """
    history = {
        pair: whole.with_batch(_NO_BATCH) for pair in pairs(whole.batch) if pair not in settled
    }
    for sending in sendings:
        for pair in pairs(sending.batch):
            if pair in history:
                history[pair].count(sending.kind or FailureKind.UNKNOWN, mailed=sending.email)
    alike: dict[tuple[int, bool, bool], list[Pair]] = {}
    for pair, attempt in history.items():
        alike.setdefault((attempt.attempts, attempt.lost, attempt.undone), []).append(pair)
    return [
        history[some[0]].with_batch(batch)
        for some in alike.values()
        for batch in plan(desired(whole.batch, some), limits)
    ]


def changed_earlier(
    number: int, blocks: Iterable[Block], sendings: Iterable[Sending], settled: Collection[Pair]
) -> Changed:
    """Return what remains of the pairs of a planned batch that calls without mail have changed.

    Mail may have gone out for those of calls that asked for it, unless these are known to have
    been in vain.
    """
    mailed = {
        pair
        for sending in sendings
        if sending.email and (sending.kind or FailureKind.UNKNOWN).may_have_mailed
        for pair in pairs(sending.batch)
    }
    changed = Changed(number, [], [])
    for block in blocks:
        for identifier, detail in zip(block.identifiers, block.details, strict=True):
            pair = identifier, block.course_id
            if pair in settled:
                continue
            if pair in mailed:
                ends, detail = changed.final, detail._replace(notified=None)
            else:
                ends = changed.to_mail
            ends.append(replace(block, identifiers=[identifier], details=[detail], lines=None))
    return changed
