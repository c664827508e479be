"""Tokens, and how they are kept out of sight."""

from __future__ import annotations

from typing import Protocol

from attrs import Attribute, field, frozen

from async_enroll.errors import ConfigurationError


class Auth(Protocol):
    """Where the ``Authorization`` header of a request comes from."""

    async def authorization(self) -> str:
        """The header's value, scheme and token."""
        ...

    async def renew(self) -> bool:
        """Get a new token, the platform having refused the last; False where there is none."""
        ...


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
        if not token.isascii() or not token.isprintable() or " " in token:
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
