"""Groups desired pairs into few batches, and splits batches. No I/O.

A bulk call is a cross product: every identifier in every course. The platform limits calls per
minute, whatever their size, so fewer calls finish sooner. `planning.validation` gives batches to
`delivery.delivery`, which splits them with `halves`, `cut` and `without`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain

import msgspec
from attrs import evolve

from async_enroll.models import LONGEST_REASON, Action, Batch, BatchLimits
from async_enroll.planning.desired import Assignment, Desired
from async_enroll.planning.keys import is_course_key
from async_enroll.planning.packing import packed
from async_enroll.platform.json import bulk_body

# The platform splits `identifiers` and `courses` at commas, and identifiers at white space as well
# (`_split_input_list` in lms/djangoapps/instructor/views/api.py). It refuses a call with NUL.
_NOT_IN_LIST = re.compile(r"[,\s\0]")
_NAMES = {",": "a comma", "\0": "a NUL character"}

_LONGEST_IDENTIFIER = 255
"""In characters; the platform cannot store more (`CourseEnrollmentAllowed.email`)."""


def why_unsendable(identifier: str) -> str | None:
    """Why an identifier cannot be sent, in words; None if it can."""
    if len(identifier) > _LONGEST_IDENTIFIER:
        return f"is longer than {_LONGEST_IDENTIFIER} characters"
    return _why_not_in_list(identifier) or _why_no_text(identifier)


def all_sendable(identifiers: Collection[str]) -> bool:
    """Whether `why_unsendable` is None for all of these; takes a sixth of the time of asking it.

    Hardly any list has an identifier that cannot be sent: only then is it asked of each.
    """
    joined = "".join(identifiers)
    try:
        joined.encode()
    except UnicodeEncodeError:
        return False
    return (
        "," not in joined
        and "\0" not in joined
        and joined.split(maxsplit=1) == [joined]  # no white space: as in `_NOT_IN_LIST`
        and all(identifiers)
        and max(map(len, identifiers)) <= _LONGEST_IDENTIFIER
    )


def why_unsendable_course(key: str, limits: BatchLimits) -> str | None:
    """Why a course key cannot be sent, in words; None if it can."""
    if words := _why_not_in_list(key) or _why_no_text(key) or _why_too_long(key, limits):
        return words
    return None if is_course_key(key) else "does not look like course-v1:Org+Number+Run"


def why_unsendable_cohort(name: str, limits: BatchLimits) -> str | None:
    """Why the name of a cohort cannot be sent, in words; None if it can."""
    for character, words in _NAMES.items():
        if character in name:
            return f"holds {words}"
    return _why_no_text(name) or _why_too_long(name, limits)


def _why_not_in_list(text: str) -> str | None:
    found = _NOT_IN_LIST.search(text)
    return f"holds {_NAMES.get(found[0], 'white space')}" if found else None


def _why_no_text(text: str) -> str | None:
    if not text:
        return "is empty"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "holds half a character"
    return None


def _why_too_long(text: str, limits: BatchLimits) -> str | None:
    # A quarter of the body, at six bytes of JSON per byte of text in the worst case: any call
    # then has room for one pair with its identifier, course key and cohort.
    longest = limits.bytes // 4 // 6
    return f"is longer than {longest} bytes" if len(text.encode()) > longest else None


class Target(msgspec.Struct, frozen=True):
    """A batch without its identifiers: one action on some courses, with cohorts for all or none."""

    action: Action
    courses: tuple[str, ...]
    cohorts: tuple[str, ...] | None = None
    auto_enroll: bool | None = None

    def batch(self, identifiers: Iterable[str]) -> Batch:
        """The batch of these identifiers."""
        return Batch(self.action, self.courses, tuple(identifiers), self.cohorts, self.auto_enroll)

    def parts(self, count: int) -> Iterator[Target]:
        """Divide the courses into `count` targets of nearly equal size."""
        for part in range(count):
            some = slice(len(self.courses) * part // count, len(self.courses) * (part + 1) // count)
            cohorts = self.cohorts and self.cohorts[some]
            yield Target(self.action, self.courses[some], cohorts, self.auto_enroll)


class Place(msgspec.Struct, frozen=True):
    """A course and, optionally, a cohort in it: what a preflight checks."""

    course_id: str
    cohort: str | None


def places(batch: Batch | Target) -> list[Place]:
    """The places of a batch, in the order of its courses."""
    cohorts = batch.cohorts or [None] * len(batch.courses)
    return [Place(*both) for both in zip(batch.courses, cohorts, strict=True)]


def without(batch: Batch, bad: Collection[Place]) -> tuple[Batch | None, list[Batch]]:
    """Split a batch into its good places (None if there are none) and one batch per bad place."""
    whole = places(batch) if bad else []
    if not any(place in bad for place in whole):
        return batch, []
    good = [place for place in whole if place not in bad]
    return (
        _only(batch, good) if good else None,
        [_only(batch, [place]) for place in whole if place in bad],
    )


def _only(batch: Batch, some: list[Place]) -> Batch:
    cohorts = tuple(place.cohort or "" for place in some) if batch.cohorts is not None else None
    return evolve(batch, courses=tuple(place.course_id for place in some), cohorts=cohorts)


def targets(assignments: Iterable[Assignment]) -> list[Target]:
    """The targets of a learner with these assignments, which have distinct courses.

    Each target's courses are sorted, so that equal sets give equal targets.
    """
    alike: dict[_Kind, list[Assignment]] = defaultdict(list)
    for assignment in sorted(assignments, key=lambda assignment: assignment.course_id):
        alike[_kind(assignment)].append(assignment)
    return [
        Target(
            action,
            tuple(assignment.course_id for assignment in some),
            tuple(assignment.cohort or "" for assignment in some) if cohorted else None,
            auto_enroll,
        )
        for (action, cohorted, auto_enroll), some in alike.items()
    ]


_Kind = tuple[Action, bool, bool | None]
"""What assignments in one call share: the action, whether they have cohorts, and `auto_enroll`."""


def _kind(assignment: Assignment) -> _Kind:
    return assignment.action, assignment.cohort is not None, assignment.auto_enroll


class Chunker:
    """Groups the identifiers of one target into batches within `limits`, as they arrive.

    Where all courses do not fit into one call, or only with few identifiers, the courses are
    divided into as many parts as give the fewest calls.
    """

    def __init__(self, target: Target, limits: BatchLimits) -> None:
        self._target = target
        self._limits = limits
        self._waiting: list[str] = []
        courses = len(target.courses)
        self._choices = range(-(-courses // limits.pairs), courses + 1)
        self._parts = 1
        if courses > 1:
            self._parts = min(self._choices, key=lambda parts: parts / self._capacity(parts))
        self._size = self._capacity(self._parts)

    def feed(self, identifiers: Iterable[str]) -> list[Batch]:
        """Add identifiers; return the batches that are now full."""
        self._waiting += identifiers
        if len(self._waiting) < self._size:
            return []
        full = len(self._waiting) // self._size * self._size
        some, self._waiting = self._waiting[:full], self._waiting[full:]
        return self._batches(some, self._parts)

    def flush(self) -> list[Batch]:
        """Return batches of the remaining identifiers, as few as possible."""
        rest, self._waiting = self._waiting, []
        if not rest:
            return []
        if self._parts == 1 and len(rest) <= self._size:  # one call: there cannot be fewer
            return [*_within_bytes(self._target.batch(rest), self._limits.bytes)]
        parts = min(self._choices, key=lambda parts: parts * -(-len(rest) // self._capacity(parts)))
        return self._batches(rest, parts)

    def _capacity(self, parts: int) -> int:
        """Maximum number of identifiers in a call if the courses are divided into `parts`."""
        courses = -(-len(self._target.courses) // parts)
        return min(self._limits.identifiers, self._limits.pairs // courses)

    def _batches(self, identifiers: Sequence[str], parts: int) -> list[Batch]:
        size = self._capacity(parts)
        return [
            batch
            for start in range(0, len(identifiers), size)
            for target in self._target.parts(parts)
            for batch in _within_bytes(
                target.batch(identifiers[start : start + size]), self._limits.bytes
            )
        ]


def plan(desired: Desired, limits: BatchLimits) -> list[Batch]:
    """Group the desired pairs into few batches. Deterministic: the same pairs, the same batches.

    The result has no more batches than grouping by equal assignments would give, and no more
    than grouping by course.
    """
    kinds: dict[_Kind, dict[tuple[int, ...], list[str]]] = {}
    for numbers, identifiers in desired.groups().items():
        for kind, some in _by_kind(desired.assignments, numbers).items():
            kinds.setdefault(kind, {}).setdefault(tuple(some), []).extend(identifiers)
    packings = [
        batch
        for groups in kinds.values()
        for numbers, identifiers in packed(groups, limits)
        for target in targets(desired.assignments[number] for number in numbers)
        for batch in _within_bytes(target.batch(identifiers), limits.bytes)
    ]
    if len(packings) <= sum(_fewest(groups, limits) for groups in kinds.values()):
        return packings
    by_target: dict[Target, list[str]] = defaultdict(list)
    by_course: dict[Target, list[str]] = defaultdict(list)
    for groups in kinds.values():
        for numbers, identifiers in groups.items():
            (target,) = targets(desired.assignments[number] for number in numbers)
            by_target[target] += identifiers
            for single in target.parts(len(target.courses)):
                by_course[single] += identifiers
    return min(packings, _chunked(by_target, limits), _chunked(by_course, limits), key=len)


def _fewest(groups: Mapping[tuple[int, ...], list[str]], limits: BatchLimits) -> int:
    """The number of calls below which no grouping gets: that of full ones."""
    pairs = sum(len(numbers) * len(identifiers) for numbers, identifiers in groups.items())
    courses = len(set(chain.from_iterable(groups)))
    return -(-pairs // min(limits.pairs, limits.identifiers * courses))


def _by_kind(assignments: Sequence[Assignment], numbers: Iterable[int]) -> dict[_Kind, list[int]]:
    """Group numbers of assignments that can share a call."""
    kinds: dict[_Kind, list[int]] = defaultdict(list)
    for number in numbers:
        kinds[_kind(assignments[number])].append(number)
    return kinds


def _chunked(groups: Mapping[Target, Iterable[str]], limits: BatchLimits) -> list[Batch]:
    batches: list[Batch] = []
    for target, identifiers in groups.items():
        chunker = Chunker(target, limits)
        batches += [*chunker.feed(identifiers), *chunker.flush()]
    return batches


def halves(batch: Batch) -> tuple[Batch, Batch]:
    """Split a batch in two: by identifiers or, if there is only one, by courses."""
    if len(batch.identifiers) > 1:
        middle = len(batch.identifiers) // 2
        return (
            evolve(batch, identifiers=batch.identifiers[:middle]),
            evolve(batch, identifiers=batch.identifiers[middle:]),
        )
    whole = Target(batch.action, batch.courses, batch.cohorts, batch.auto_enroll)
    first, second = whole.parts(2)
    return first.batch(batch.identifiers), second.batch(batch.identifiers)


def cut(batch: Batch, pairs: int) -> tuple[Batch, Batch | None]:
    """Cut a first part of at most `pairs` pairs off a batch; return it and the rest, or None.

    The part has the size that divides the batch into the fewest parts of equal size. Splits by
    identifiers or, if there is only one, by courses; a part has at least one identifier.
    """
    if batch.pairs <= max(1, pairs):
        return batch, None
    identifiers, courses = len(batch.identifiers), len(batch.courses)
    if identifiers > 1:
        parts = -(-identifiers // max(1, pairs // courses))
        size = -(-identifiers // parts)
        return (
            evolve(batch, identifiers=batch.identifiers[:size]),
            evolve(batch, identifiers=batch.identifiers[size:]),
        )
    size = -(-courses // -(-courses // max(1, pairs)))
    whole = places(batch)
    return _only(batch, whole[:size]), _only(batch, whole[size:])


# The reason is not known when a batch is planned, so every batch leaves room for the longest: one
# of characters that take the most bytes in JSON, such as `\u0001`.
_MOST_BYTES = len("\\u0001")
_ROOM_FOR_REASON = len(',"reason":""') + LONGEST_REASON * _MOST_BYTES


_PUNCTUATION = 256
"""Bytes of a body, at most, besides its lists and the reason."""


def _within_bytes(batch: Batch, size: int) -> Iterator[Batch]:
    lists = *batch.identifiers, *batch.courses, *(batch.cohorts or ())
    # With a comma after each item. Nearly all are so small that they need not be encoded for it.
    characters = sum(map(len, lists)) + len(lists)
    if _MOST_BYTES * characters + _PUNCTUATION + _ROOM_FOR_REASON <= size:
        yield batch
        return
    # "false" takes more bytes than "true".
    body = bulk_body(batch, auto_enroll=False, email_students=False)
    if len(body) + _ROOM_FOR_REASON <= size:
        yield batch
    else:
        for half in halves(batch):
            yield from _within_bytes(half, size)
