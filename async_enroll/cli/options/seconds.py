"""Durations as options: seconds, or a number with a unit."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import Parameter, Token

from async_enroll.errors import ConfigurationError

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_PARTS = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")


def seconds_in(text: str) -> float | None:
    """The seconds in a duration such as ``90``, ``1.5``, ``90s``, ``5m`` or ``1h30m``.

    None if it is not a duration above 0.
    """
    try:
        seconds = float(text)
    except ValueError:
        found = _PARTS.fullmatch(text.strip().lower())
        parts = found.groups(default="0") if found else ()
        seconds = sum(
            float(part) * size for part, size in zip(parts, _UNITS.values(), strict=False)
        )
    return seconds if 0 < seconds < math.inf else None


def _converted(_: Any, tokens: Sequence[Token]) -> float:
    (token,) = tokens
    seconds = seconds_in(token.value)
    if seconds is None:
        where = "" if token.source in ("cli", "env") else f"{token.source}, "
        raise ConfigurationError(
            f"{where}{token.keyword} {token.value}: expected seconds, more than 0, "
            "as in 90, 5m or 1h30m"
        )
    return seconds


Seconds = Annotated[float, Parameter(converter=_converted, negative="", metavar="SECONDS")]
"""A duration in seconds. The command line takes a unit, too: 5m, 2h, 1h30m."""
