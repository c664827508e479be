"""What reading a listing while it arrives costs, against holding the whole body."""

import time
import tracemalloc
from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson
from cattrs import Converter
from rich import print as show
from rich.table import Table

from async_enroll import Enrollment
from async_enroll.listing import ListingReader

RECORDS = 200_000
PIECE = 64 * 1024
"""Bytes that arrive at once."""


def listing() -> bytes:
    """A listing of the size of a university's."""
    return orjson.dumps(
        [
            {
                "username": f"learner{number:06}",
                "email": f"learner{number:06}@example.org",
                "course_id": f"course-v1:Org+C{number % 120:04}+2026",
                "is_active": True,
                "mode": "audit",
                "created": "2021-03-09 20:15",
            }
            for number in range(RECORDS)
        ]
    )


def streamed(body: bytes) -> int:
    """Ours: piece by piece, records dropped after use."""
    reader = ListingReader()
    count = sum(len(reader.feed(body[at : at + PIECE])) for at in range(0, len(body), PIECE))
    reader.close()
    return count


def whole(body: bytes) -> int:
    """What a user would write: the whole body through orjson and cattrs."""
    converter = Converter()
    converter.register_structure_hook(datetime, lambda text, _: datetime.fromisoformat(text))
    return len(converter.structure(orjson.loads(body), list[Enrollment]))


def parsed(body: bytes) -> int:
    """The limit: JSON to dictionaries, nothing checked."""
    values: list[Any] = orjson.loads(body)
    return len(values)


def measure(read: Callable[[bytes], int], body: bytes) -> tuple[float, int]:
    """CPU seconds, and bytes of memory at the peak."""
    start = time.process_time()
    if read(body) != RECORDS:
        raise RuntimeError("records were lost")
    took = time.process_time() - start
    tracemalloc.start()
    read(body)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return took, peak


async def run() -> None:
    """Show the table."""
    body = listing()
    table = Table(
        "reader",
        "CPU seconds",
        "of orjson + cattrs",
        "MiB at the peak",
        title=f"{RECORDS:,} records, {len(body) / 2**20:.0f} MiB",
    )
    readers = {"orjson + cattrs, whole": whole, "async_enroll": streamed, "orjson alone": parsed}
    figures = {name: measure(read, body) for name, read in readers.items()}
    base, _ = figures["orjson + cattrs, whole"]
    for name, (took, peak) in figures.items():
        table.add_row(name, f"{took:.2f}", f"{took / base:.2f}", f"{peak / 2**20:.1f}")
    show(table)
