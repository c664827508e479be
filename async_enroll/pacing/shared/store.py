"""Where a shared log is kept: the interface of `shared.redis` and `shared.file`."""

from __future__ import annotations

from typing import Protocol

from async_enroll.pacing.shared.log import Reply, Request


class StoreError(Exception):
    """The log cannot be reached. The message says why, and holds no secret."""


class Store(Protocol):
    """Keeps one shared log, in which all processes exchange what they know."""

    async def exchange(self, request: Request) -> Reply:
        """Have the log take a request, as a whole and after those before it; return its answer.

        May be cancelled: whether the log took the request is then unknown.

        Raises:
            StoreError: if the log cannot be reached.

        """
        ...

    async def aclose(self) -> None:
        """Release what is open. A later exchange opens it again."""
        ...
