"""Tuning options: rate, concurrency and size of calls."""

from __future__ import annotations

from attrs import frozen
from cyclopts import Group, Parameter

from async_enroll.errors import ConfigurationError
from async_enroll.models import BatchLimits, RequestWindow


@Parameter(name="*", group=Group("Tuning", sort_key=3))
@frozen(kw_only=True)
class Tuning:
    """The options for rate, concurrency and size of calls."""

    concurrency: int = 8
    """Maximum number of concurrent calls."""
    window_calls: int = RequestWindow().calls
    """Number of calls that the platform's throttle allows per window."""
    window_seconds: float = RequestWindow().seconds
    """Length of the throttle's window, in seconds."""
    batch_identifiers: int = BatchLimits().identifiers
    """Maximum number of identifiers per call."""
    batch_pairs: int = BatchLimits().pairs
    """Maximum number of enrollments (identifiers times courses) per call."""
    batch_seconds: float = BatchLimits().seconds
    """Target duration of a call, in seconds. Calls shrink if the platform is slower."""
    settle: float = 60.0
    """Seconds after which the platform has certainly ended a call that got no response."""

    def __attrs_post_init__(self) -> None:
        if self.concurrency < 1:
            raise ConfigurationError(f"--concurrency {self.concurrency}: expected at least 1")
        if not self.settle > 0:
            raise ConfigurationError(f"--settle {self.settle:g}: expected more than 0 seconds")

    def window(self) -> RequestWindow:
        """The request window."""
        return RequestWindow(self.window_calls, self.window_seconds)

    def limits(self) -> BatchLimits:
        """The limits of a call."""
        return BatchLimits(self.batch_identifiers, self.batch_pairs, seconds=self.batch_seconds)
