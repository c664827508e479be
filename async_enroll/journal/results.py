"""Results as bytes and back: small, since a job has millions of them.

The results of one answer are few *fates* (outcome, states, error, …), each met by many
pairs. A pair is its position in the planned batch: course by course, and in each course
identifier by identifier. Positions are kept as ranges: start, end, start, end, …
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

import orjson
from attrs import astuple

from async_enroll.models import Batch, EnrollmentResult, EnrollmentState, Outcome


def encode(batch: Batch, results: Iterable[EnrollmentResult]) -> bytes:
    """The bytes for `results`, whose pairs are all of `batch`."""
    size = len(batch.identifiers)
    first = {course_id: number * size for number, course_id in enumerate(batch.courses)}
    place = {identifier: number for number, identifier in enumerate(batch.identifiers)}
    fates: dict[object, tuple[EnrollmentResult, list[int]]] = {}
    last: EnrollmentResult | None = None
    some: list[int] = []
    for result in results:
        # Mostly the same as the one before; told by identity, since states are shared.
        if (
            last is None
            or result.after is not last.after
            or result.before is not last.before
            or result.outcome is not last.outcome
            or result.error is not last.error
            or result.notified is not last.notified
            or result.attempts != last.attempts
        ):
            last = result
            _, some = fates.setdefault(_fate(result), (result, []))
        position = first[result.course_id] + place[result.identifier]
        if some and some[-1] == position:
            some[-1] = position + 1
        else:
            some += (position, position + 1)
    return orjson.dumps(
        [
            (
                result.outcome.value,
                _told(result.before),
                _told(result.after),
                result.error,
                result.notified,
                result.attempts,
                ranges,
            )
            for result, ranges in fates.values()
        ]
    )


def _fate(result: EnrollmentResult) -> object:
    return (
        result.outcome,
        result.before,
        result.after,
        result.error,
        result.notified,
        result.attempts,
    )


def decode(batch: Batch, data: bytes) -> Iterator[EnrollmentResult]:
    """The results that `data` stands for."""
    size = len(batch.identifiers)
    for outcome, before, after, error, notified, attempts, ranges in orjson.loads(data):
        fate = (Outcome(outcome), _state(before), _state(after), error, notified, attempts)
        for position in _each(ranges):
            course, identifier = divmod(position, size)
            yield EnrollmentResult(
                batch.identifiers[identifier], batch.courses[course], batch.action, *fate
            )


def positions(data: bytes) -> Iterator[int]:
    """The positions of the pairs that `data` holds results of."""
    for *_, ranges in orjson.loads(data):
        yield from _each(ranges)


def _each(ranges: list[int]) -> Iterator[int]:
    return chain.from_iterable(map(range, ranges[::2], ranges[1::2]))


def _told(state: EnrollmentState | None) -> tuple[object, ...] | None:
    return None if state is None else astuple(state)


def _state(told: list[object] | None) -> EnrollmentState | None:
    return None if told is None else EnrollmentState(*told)  # type: ignore[arg-type]  # as encoded
