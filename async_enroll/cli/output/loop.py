"""The event loop that commands run on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import TypeVar, TypeVarTuple

import anyio

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


def run(function: Callable[[*Arguments], Awaitable[T]], *arguments: *Arguments) -> T:
    """Run an asynchronous function, on uvloop if that is installed.

    uvloop saves a sixth of the CPU time with small calls, and little with large ones.
    """
    fast = find_spec("uvloop") is not None
    return anyio.run(function, *arguments, backend_options={"use_uvloop": fast})
