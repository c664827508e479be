"""Tables in memory, and uncommitted changes to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

Row = TypeVar("Row")


class Table(Generic[Row]):
    """Rows by key, in order of insertion; rows are replaced, never changed."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}

    def get(self, key: str) -> Row | None:
        """Return a row; None if there is none."""
        return self._rows.get(key)

    def put(self, key: str, row: Row | None) -> None:
        """Set a row; None deletes it."""
        if row is None:
            self._rows.pop(key, None)
        else:
            self._rows[key] = row

    def __iter__(self) -> Iterator[Row]:
        # A copy: rows may be added during iteration.
        return iter(list(self._rows.values()))


class Draft(Table[Row]):
    """A table as its writer sees it: its own changes over the committed rows.

    It is read and written by key only.
    """

    def __init__(self, committed: Table[Row]) -> None:
        self._committed = committed
        self._written: dict[str, Row | None] = {}
        self._before: list[tuple[str, Row | None]] = []

    def get(self, key: str) -> Row | None:
        """Return a row; None if there is none."""
        return self._written[key] if key in self._written else self._committed.get(key)

    def put(self, key: str, row: Row | None) -> None:
        """Set a row for its writer only; None deletes it."""
        self._before.append((key, self.get(key)))
        self._written[key] = row

    def mark(self) -> int:
        """Return a savepoint."""
        return len(self._before)

    def go_back(self, mark: int) -> None:
        """Roll back what has been written since a savepoint."""
        while len(self._before) > mark:
            key, row = self._before.pop()
            self._written[key] = row

    def commit(self) -> None:
        """Make the changes visible to everybody."""
        for key, row in self._written.items():
            self._committed.put(key, row)
