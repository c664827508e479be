"""The rows of a synced roster, as its journal keeps them: to protect these learners on a resume.

`journal.store` keeps the packed lists, one for each course.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator

from async_enroll.models import Action
from async_enroll.planning.desired import Desired


def pack(rows: Desired) -> Iterator[tuple[str, bytes]]:
    """Yield each course with a row to enroll, and its identifiers, packed."""
    of_course: dict[str, list[str]] = {}
    for identifier, assignment in rows.pairs():
        if assignment.action is Action.ENROLL:
            of_course.setdefault(assignment.course_id, []).append(identifier)
    for course_id, identifiers in of_course.items():
        yield course_id, zlib.compress(json.dumps(identifiers).encode(), level=1)


def unpack(packed: Iterable[tuple[str, bytes]]) -> Desired:
    """The rows of all courses."""
    rows = Desired()
    for course_id, data in packed:
        for identifier in json.loads(zlib.decompress(data)):
            rows.add(identifier, course_id, Action.ENROLL)
    return rows
