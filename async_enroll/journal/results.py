"""Results as bytes and back: small, since a job has millions of them.

The results of one answer are few *fates* (outcome, states, error, …), each met by many
pairs. A pair is its position in the planned batch: course by course, and in each course
identifier by identifier.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import orjson
from attrs import astuple

from async_enroll.models import Batch, EnrollmentResult, EnrollmentState, Outcome


def encode(batch: Batch, results: Iterable[EnrollmentResult]) -> bytes:
    """The bytes for `results`, whose pairs are all of `batch`."""
    size = len(batch.identifiers)
    first = {course_id: number * size for number, course_id in enumerate(batch.courses)}
    place = {identifier: number for number, identifier in enumerate(batch.identifiers)}
    fates: dict[object, tuple[EnrollmentResult, list[int]]] = {}
    for result in results:
        # By identity, which is quick: states and outcomes are shared.
        fate = (
            id(result.outcome),
            id(result.before),
            id(result.after),
            result.error,
            result.notified,
            result.attempts,
        )
        known = fates.get(fate)
        if known is None:
            known = fates[fate] = result, []
        known[1].append(first[result.course_id] + place[result.identifier])
    return orjson.dumps(
        [
            (
                result.outcome.value,
                _told(result.before),
                _told(result.after),
                result.error,
                result.notified,
                result.attempts,
                positions,
            )
            for result, positions in fates.values()
        ]
    )


def decode(batch: Batch, data: bytes) -> Iterator[EnrollmentResult]:
    """The results that `data` stands for."""
    size = len(batch.identifiers)
    for outcome, before, after, error, notified, attempts, positions in orjson.loads(data):
        fate = (Outcome(outcome), _state(before), _state(after), error, notified, attempts)
        for position in positions:
            course, identifier = divmod(position, size)
            yield EnrollmentResult(
                batch.identifiers[identifier], batch.courses[course], batch.action, *fate
            )


def positions(data: bytes) -> Iterator[int]:
    """The positions of the pairs that `data` holds results of."""
    for *_, some in orjson.loads(data):
        yield from some


def _told(state: EnrollmentState | None) -> tuple[object, ...] | None:
    return None if state is None else astuple(state)


def _state(told: list[object] | None) -> EnrollmentState | None:
    return None if told is None else EnrollmentState(*told)  # type: ignore[arg-type]  # as encoded
