"""Tokens, and how they are kept out of sight."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Protocol

from attrs import Attribute, field, frozen

from async_enroll.errors import ConfigurationError
from async_enroll.wire import is_token

if TYPE_CHECKING:
    from async_enroll.transport import Transport


class Auth(Protocol):
    """Where the ``Authorization`` header of a request comes from."""

    async def authorization(self) -> str:
        """The header's value, scheme and token."""
        ...

    async def renew(self) -> bool:
        """Get a new token, the platform having refused the last; False where there is none."""
        ...


class SignIn(ABC):
    """What the site itself gives tokens for: a value, good for any number of clients."""

    __slots__ = ()

    @abstractmethod
    def tokens(self, transport: Transport) -> Auth:
        """A source of tokens of the site that `transport` leads to."""


def _stripped(token: str) -> str:
    return token.strip()


@frozen
class BearerToken:
    """A token that the platform has handed out, sent as ``Authorization: Bearer <token>``.

    Surrounding white space, as files end with, does not count. The token shows in no repr.

    Raises:
        ConfigurationError: where it is empty or cannot stand in a header.

    """

    token: str = field(repr=False, converter=_stripped)

    @token.validator
    def _can_stand_in_a_header(self, _: Attribute[str], token: str) -> None:
        if not token:
            raise ConfigurationError("the token is empty")
        if not is_token(token):
            raise ConfigurationError(
                "the token holds white space or characters that no token has; "
                "expected the bare token, without 'Bearer' and without quotes"
            )

    async def authorization(self) -> str:
        """The header's value."""
        return f"Bearer {self.token}"

    async def renew(self) -> bool:
        """There is no other token."""
        return False
