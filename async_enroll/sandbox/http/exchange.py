"""A request and its state on the way through the platform."""

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

    `fault`: the fault during its processing. `linger`: extra seconds of processing. `caller` is
    NOBODY until authenticated; `pairs` is set once a bulk call has been read.
    """

    request: web.Request
    body: bytes = b""
    fault: Fault | None = None
    linger: float = 0.0
    caller: Caller = NOBODY
    pairs: int = 0


Endpoint: TypeAlias = Callable[[Exchange], Coroutine[Any, Any, R]]
"""Answers requests."""
