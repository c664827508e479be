"""Results as text and back: small, since a job has millions of them.

A pair is its position in the planned batch: course by course, and in each course
identifier by identifier. Every fate is kept once, with the positions of its pairs as
ranges: start, end, start, end, …
"""

from __future__ import annotations

import json
import zlib
from array import array
from collections.abc import Iterable, Iterator
from itertools import chain

from attrs import astuple

from async_enroll.fates import Block, Fate
from async_enroll.models import Batch, EnrollmentState, Outcome
from async_enroll.wanted import Lines


def encode(batch: Batch, blocks: Iterable[Block]) -> str:
    """The text for what became of pairs of `batch`."""
    ranges: dict[Fate, list[int]] = {}
    for block in blocks:
        position = batch.courses.index(block.course_id) * len(batch.identifiers)
        for first, some in _stretches(batch.identifiers, block):
            start = position + first
            for fate, count in some.runs():
                found = ranges.setdefault(fate, [])
                if found and found[-1] == start:
                    found[-1] += count
                else:
                    found += (start, start + count)
                start += count
    return json.dumps(
        [
            (
                fate.outcome.value,
                _told(fate.before),
                _told(fate.after),
                fate.error,
                fate.notified,
                fate.attempts,
                some,
            )
            for fate, some in ranges.items()
        ],
        separators=(",", ":"),
    )


def _stretches(identifiers: tuple[str, ...], block: Block) -> Iterator[tuple[int, Block]]:
    """The block as parts that stand in `identifiers` side by side, and where each begins."""
    first = identifiers.index(block.identifiers[0])
    if identifiers[first : first + len(block)] == tuple(block.identifiers):
        yield first, block
        return
    place = {identifier: number for number, identifier in enumerate(identifiers)}
    for identifier, fate in zip(block.identifiers, block.fates, strict=True):
        yield place[identifier], Block(block.course_id, block.action, [identifier], [fate])


def encode_lines(batch: Batch, lines: Lines) -> bytes:
    """In which lines the pairs of `batch` stand, course by course; 0 where in none."""
    numbers = (lines.of(who, key) or 0 for key in batch.courses for who in batch.identifiers)
    return zlib.compress(array("I", numbers).tobytes(), level=1)


def decode(batch: Batch, data: str, packed: bytes | None = None) -> list[Block]:
    """What `data` says of pairs of `batch`, and `packed` of their lines."""
    lines = array("I", zlib.decompress(packed)) if packed else None
    size = len(batch.identifiers)
    fates: list[Fate | None] = [None] * batch.pairs
    for outcome, before, after, error, notified, attempts, ranges in json.loads(data):
        fate = Fate(Outcome(outcome), _state(before), _state(after), error, notified, attempts)
        for start, end in zip(ranges[::2], ranges[1::2], strict=True):
            fates[start:end] = [fate] * (end - start)
    found = (
        Block.known(
            course_id,
            batch.action,
            batch.identifiers,
            fates[start : start + size],
            lines and lines[start : start + size],
        )
        for course_id, start in zip(batch.courses, range(0, batch.pairs, size), strict=True)
    )
    return [block for block in found if block]


def positions(data: str) -> Iterator[int]:
    """The positions of the pairs that `data` holds results of."""
    for *_, ranges in json.loads(data):
        yield from chain.from_iterable(map(range, ranges[::2], ranges[1::2]))


def _told(state: EnrollmentState | None) -> tuple[object, ...] | None:
    return None if state is None else astuple(state)


def _state(told: list[object] | None) -> EnrollmentState | None:
    return None if told is None else EnrollmentState(*told)  # type: ignore[arg-type]  # as encoded
