"""A request on its way through the platform."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias, TypeVar

from aiohttp import web
from attrs import define

from async_enroll.sandbox.fault_plan import Fault
from async_enroll.sandbox.http.access import NOBODY, Caller

R = TypeVar("R", bound=web.StreamResponse)


@define(eq=False)
class Exchange:
    """A request with its body.

    `fault`: what is to go wrong while it is worked on. `linger`: seconds it takes longer than
    it would. `caller` is NOBODY until they have been admitted, `pairs` when a bulk call has
    been read.
    """

    request: web.Request
    body: bytes = b""
    fault: Fault | None = None
    linger: float = 0.0
    caller: Caller = NOBODY
    pairs: int = 0


Endpoint: TypeAlias = Callable[[Exchange], Coroutine[Any, Any, R]]
"""What answers requests."""
