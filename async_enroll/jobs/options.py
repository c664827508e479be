"""The options of a job, checked before anything is sent."""

from __future__ import annotations

from typing import Protocol

from attrs import Attribute, field, frozen
from attrs.validators import optional

from async_enroll.errors import ConfigurationError
from async_enroll.models import EmailStudents, checked_reason


class Signal(Protocol):
    """An event to wait for: an `anyio.Event` or an `asyncio.Event`."""

    async def wait(self) -> object:
        """Return once it is set."""


def _boolean(_: object, flag: Attribute[bool], value: object) -> None:
    if not isinstance(value, bool):
        found = type(value).__name__
        raise ConfigurationError(f"{flag.name} is a {found}; expected True or False")


def _email(_: object, option: Attribute[EmailStudents], value: object) -> None:
    if not isinstance(value, bool) and value != "changed":
        found = repr(value) if isinstance(value, str) else f"a {type(value).__name__}"
        raise ConfigurationError(f'{option.name} is {found}; expected True, False or "changed"')


def _signal(_: object, stop: Attribute[Signal], value: object) -> None:
    if not hasattr(value, "wait"):
        found = type(value).__name__
        raise ConfigurationError(f"{stop.name} is a {found}; expected an event to wait for")


@frozen
class Options:
    """The options of a job, as given to `EnrollmentClient.apply`.

    Raises:
        ConfigurationError: for a flag that is not a boolean (some releases take it for false,
            others refuse it), a `reason` that the platform cannot store, and a `stop` that is
            not an event to wait for.

    """

    auto_enroll: bool = field(validator=_boolean)
    email_students: EmailStudents = field(validator=_email)
    reason: str | None = field(default=None, converter=checked_reason)
    preflight: bool | None = field(default=None, validator=optional(_boolean))
    stop: Signal | None = field(default=None, validator=optional(_signal))
