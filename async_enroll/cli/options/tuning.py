"""Tuning options: rate, concurrency and size of calls."""

from __future__ import annotations

from attrs import frozen
from cyclopts import Group, Parameter

from async_enroll.cli.options.seconds import Seconds
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
    window_seconds: Seconds = RequestWindow().seconds
    """Length of the throttle's window, in seconds."""
    batch_identifiers: int = BatchLimits().identifiers
    """Maximum number of identifiers per call."""
    batch_pairs: int = BatchLimits().pairs
    """Maximum number of enrollments (identifiers times courses) per call."""
    batch_bytes: int = BatchLimits().bytes
    """Maximum size of a call's body, in bytes."""
    batch_seconds: Seconds = BatchLimits().seconds
    """Target duration of a call. Calls shrink if the platform is slower."""
    settle: Seconds = 60.0
    """Time after which the platform has certainly ended a call that got no response."""
    patience: Seconds = 300.0
    """How long to wait for a platform that is down, or refuses every call, before stopping."""

    def __attrs_post_init__(self) -> None:
        if self.concurrency < 1:
            raise ConfigurationError(f"--concurrency {self.concurrency}: expected at least 1")

    def window(self) -> RequestWindow:
        """The request window."""
        return RequestWindow(self.window_calls, self.window_seconds)

    def limits(self) -> BatchLimits:
        """The limits of a call."""
        return BatchLimits(
            self.batch_identifiers, self.batch_pairs, self.batch_bytes, self.batch_seconds
        )
