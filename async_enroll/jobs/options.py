"""The options of a job, checked before anything is sent."""

from __future__ import annotations

from inspect import iscoroutinefunction
from typing import Protocol

import msgspec
from msgspec.structs import force_setattr

from async_enroll.errors import ConfigurationError
from async_enroll.models import EmailStudents, checked_reason


class Signal(Protocol):
    """An event to wait for: an `anyio.Event` or an `asyncio.Event`."""

    async def wait(self) -> object:
        """Return once it is set."""


class Options(msgspec.Struct, frozen=True):
    """The options of a job, as given to `EnrollmentClient.apply`.

    Raises:
        ConfigurationError: for a flag that is not a boolean (some releases take it for false,
            others refuse it), a `reason` that the platform cannot store, and a `stop` that is
            not an event to wait for.

    """

    auto_enroll: bool
    email_students: EmailStudents
    reason: str | None = None
    preflight: bool | None = None
    stop: Signal | None = None

    def __post_init__(self) -> None:
        _check_flag("auto_enroll", self.auto_enroll)
        email: object = self.email_students
        stop: object = self.stop
        if not isinstance(email, bool) and email != "changed":
            found = repr(email) if isinstance(email, str) else f"a {type(email).__name__}"
            raise ConfigurationError(
                f'email_students is {found}; expected True, False or "changed"'
            )
        if self.reason is not None:
            force_setattr(self, "reason", checked_reason(self.reason))
        if self.preflight is not None:
            _check_flag("preflight", self.preflight)
        # To wait for one of a thread's would block the event loop.
        if stop is not None and not iscoroutinefunction(getattr(stop, "wait", None)):
            found = f"{type(stop).__module__}.{type(stop).__name__}".removeprefix("builtins.")
            raise ConfigurationError(
                f"stop is a {found}; expected an anyio.Event or an asyncio.Event"
            )


def _check_flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        found = type(value).__name__
        raise ConfigurationError(f"{name} is a {found}; expected True or False")
