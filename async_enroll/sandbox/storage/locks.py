"""Row locks: one writer a row, with detection of deadlocks."""

from __future__ import annotations

from typing import TypeAlias

import anyio
from attrs import define, field

Row: TypeAlias = "tuple[str, str]"


class Deadlock(Exception):
    """Writers would wait for each other forever."""


@define(eq=False)
class Writer:
    """The holder of locks on `rows` until `done`; may wait for another writer."""

    rows: set[Row] = field(factory=set)
    done: anyio.Event = field(factory=anyio.Event)
    waits_for: Writer | None = None


class Locks:
    """Which rows are locked, and by whom."""

    def __init__(self) -> None:
        self._writers: dict[Row, Writer] = {}

    async def acquire(self, writer: Writer, row: Row) -> None:
        """Lock `row` once it is free. Raises Deadlock if it never would be."""
        while (holder := self._writers.setdefault(row, writer)) is not writer:
            await _wait(writer, holder)
        writer.rows.add(row)

    def release(self, writer: Writer) -> None:
        """Release all rows of a writer."""
        for row in writer.rows:
            del self._writers[row]
        writer.done.set()


async def _wait(writer: Writer, holder: Writer) -> None:
    other: Writer | None = holder
    while other:
        if other is writer:
            raise Deadlock
        other = other.waits_for
    writer.waits_for = holder
    try:
        await holder.done.wait()
    finally:
        writer.waits_for = None
