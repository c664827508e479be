"""How fast to go, and in how large calls: from options."""

from __future__ import annotations

from attrs import frozen
from cyclopts import Group, Parameter

from async_enroll.errors import ConfigurationError
from async_enroll.models import BatchLimits, RequestWindow


@Parameter(name="*", group=Group("Tuning", sort_key=3))
@frozen(kw_only=True)
class Tuning:
    """How fast to go, and in how large calls."""

    concurrency: int = 8
    """How many calls are in flight at most."""
    window_calls: int = RequestWindow().calls
    """How many calls the platform takes in …"""
    window_seconds: float = RequestWindow().seconds
    """… so many seconds."""
    batch_identifiers: int = BatchLimits().identifiers
    """The most identifiers in a call."""
    batch_pairs: int = BatchLimits().pairs
    """The most pairs, identifiers times courses, in a call."""
    batch_seconds: float = BatchLimits().seconds
    """How long a call should take: calls are made smaller where the platform is slow."""
    settle: float = 60.0
    """Seconds after which a call without an answer has surely ended."""

    def __attrs_post_init__(self) -> None:
        if self.concurrency < 1:
            raise ConfigurationError(f"concurrency is {self.concurrency}; expected at least 1")
        if not self.settle > 0:
            raise ConfigurationError(f"settle is {self.settle}; expected seconds, more than 0")

    def window(self) -> RequestWindow:
        """The request window."""
        return RequestWindow(self.window_calls, self.window_seconds)

    def limits(self) -> BatchLimits:
        """The limits of a call."""
        return BatchLimits(self.batch_identifiers, self.batch_pairs, seconds=self.batch_seconds)
