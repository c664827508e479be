"""Encodes results as compact JSON, and decodes them: a job has millions.

A pair is stored as its position in the planned batch: course by course, and within a course
identifier by identifier. Each distinct result detail is stored once, with the positions of its
pairs as ranges: start, end, start, end, … `journal.store` keeps the text.
"""

from __future__ import annotations

import json
import zlib
from array import array
from collections.abc import Iterable, Iterator
from itertools import chain

from attrs import astuple

from async_enroll.models import Batch, EnrollmentState, Outcome
from async_enroll.planning.desired import Lines
from async_enroll.results import Block, ResultDetail


def encode(batch: Batch, blocks: Iterable[Block]) -> str:
    """Return the JSON text for results of pairs of `batch`."""
    ranges: dict[ResultDetail, list[int]] = {}
    for block in blocks:
        position = batch.courses.index(block.course_id) * len(batch.identifiers)
        for first, some in _contiguous_parts(batch.identifiers, block):
            start = position + first
            for detail, count in some.runs():
                found = ranges.setdefault(detail, [])
                if found and found[-1] == start:
                    found[-1] += count
                else:
                    found += (start, start + count)
                start += count
    return json.dumps(
        [
            (
                detail.outcome.value,
                _encode_state(detail.before),
                _encode_state(detail.after),
                detail.error,
                detail.notified,
                detail.attempts,
                detail.mail_missed,
                some,
            )
            for detail, some in ranges.items()
        ],
        separators=(",", ":"),
    )


def _contiguous_parts(identifiers: tuple[str, ...], block: Block) -> Iterator[tuple[int, Block]]:
    """Yield parts of a block that are contiguous in `identifiers`, each with its position."""
    first = identifiers.index(block.identifiers[0])
    if identifiers[first : first + len(block)] == tuple(block.identifiers):
        yield first, block
        return
    place = {identifier: number for number, identifier in enumerate(identifiers)}
    for identifier, detail in zip(block.identifiers, block.details, strict=True):
        yield place[identifier], Block(block.course_id, block.action, [identifier], [detail])


def encode_lines(batch: Batch, lines: Lines) -> bytes:
    """Pack the roster lines of the pairs of `batch`, course by course; 0 for pairs without one."""
    numbers = (lines.of(who, key) or 0 for key in batch.courses for who in batch.identifiers)
    return zlib.compress(array("I", numbers).tobytes(), level=1)


def decode(
    batch: Batch, data: str, packed: bytes | None = None, *, at: float | None = None
) -> list[Block]:
    """Return the results of pairs of `batch` that `data` holds, with the lines in `packed`.

    They came `at`, in seconds since the epoch; None where that is not known.
    """
    lines = array("I", zlib.decompress(packed)) if packed else None
    size = len(batch.identifiers)
    details: list[ResultDetail | None] = [None] * batch.pairs
    for outcome, before, after, *others, ranges in json.loads(data):
        detail = ResultDetail(
            Outcome(outcome), _decode_state(before), _decode_state(after), *others
        )
        for start, end in zip(ranges[::2], ranges[1::2], strict=True):
            details[start:end] = [detail] * (end - start)
    found = (
        Block.known(
            course_id,
            batch.action,
            batch.identifiers,
            details[start : start + size],
            lines and lines[start : start + size],
            cohort=batch.cohort_in(course_id),
            at=at,
        )
        for course_id, start in zip(batch.courses, range(0, batch.pairs, size), strict=True)
    )
    return [block for block in found if block]


def positions(data: str) -> Iterator[int]:
    """Yield the positions of the pairs that `data` holds results for."""
    for *_, ranges in json.loads(data):
        yield from chain.from_iterable(map(range, ranges[::2], ranges[1::2]))


def _encode_state(state: EnrollmentState | None) -> tuple[object, ...] | None:
    return None if state is None else astuple(state)


def _decode_state(flags: list[object] | None) -> EnrollmentState | None:
    return None if flags is None else EnrollmentState(*flags)  # type: ignore[arg-type]  # as encoded
