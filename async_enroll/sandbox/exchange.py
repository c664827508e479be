"""A request on its way through the platform."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias, TypeVar

from aiohttp import web
from attrs import define

R = TypeVar("R", bound=web.StreamResponse)


@define(eq=False)
class Exchange:
    """A request with its body.

    `breaks`: it is to fail half-way. `linger`: seconds it takes longer than it would.
    `pairs` is for the endpoint to set.
    """

    request: web.Request
    body: bytes = b""
    breaks: bool = False
    linger: float = 0.0
    pairs: int = 0


Endpoint: TypeAlias = Callable[[Exchange], Coroutine[Any, Any, R]]
"""What answers requests."""
