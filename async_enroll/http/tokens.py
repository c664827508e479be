"""Tokens, and how they are kept out of sight."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar

from attrs import field, frozen
from yarl import URL

from async_enroll.cancellation import is_cancelled
from async_enroll.errors import AuthenticationError, ConfigurationError, EnrollError
from async_enroll.http.answer import Answer
from async_enroll.http.token_answer import is_token

T = TypeVar("T")


class Auth(Protocol):
    """Where the ``Authorization`` header of a request comes from."""

    async def authorization(self) -> str:
        """The header's value, scheme and token."""
        ...

    async def renew(self) -> bool:
        """Get a new token, the platform having refused the last; False where there is none."""
        ...


class TokenEndpoint(Protocol):
    """Where a site is asked for tokens."""

    site: URL
    """Its address."""

    async def submit(self, url: URL, form: Secret[Mapping[str, str]]) -> Answer:
        """POST a form, without a token; raises TransportError where no whole answer came."""
        ...


class SignIn(ABC):
    """What the site itself gives tokens for: a value, good for any number of clients."""

    __slots__ = ()

    @abstractmethod
    def tokens(self, site: TokenEndpoint) -> Auth:
        """A source of the tokens that a site gives."""


@frozen
class Secret(Generic[T]):
    """A value that shows in no repr, and so in no traceback that tells local variables."""

    value: T = field(repr=False)


@frozen(init=False)
class BearerToken:
    """A token that the platform has handed out, sent as ``Authorization: Bearer <token>``.

    Surrounding white space, as files end with, does not count. The token shows in no repr.

    Raises:
        ConfigurationError: where it is empty or cannot stand in a header.

    """

    token: str = field(repr=False)

    def __init__(self, token: str) -> None:
        problem = _problem_of_token(token)
        if problem:
            del token  # what raises must not hold it
            raise ConfigurationError(problem)
        self.__attrs_init__(token.strip())

    async def authorization(self) -> str:
        """The header's value."""
        return f"Bearer {self.token}"

    async def renew(self) -> bool:
        """There is no other token."""
        return False


def _problem_of_token(token: Any) -> str | None:
    if not isinstance(token, str):
        return f"the token is of type {type(token).__name__}; expected a string"
    if not token.strip():
        return "the token is empty"
    if not is_token(token.strip()):
        return (
            "the token holds white space or characters that no token has; "
            "expected the bare token, without 'Bearer' and without quotes"
        )
    return None


def problem_of_header(authorization: Any) -> str | None:
    """Why what a source of tokens gives cannot be the value of a header; None if it can."""
    expected = "expected the header's value, such as 'Bearer <token>'"
    if not isinstance(authorization, str):
        return f"the source of the token gives a {type(authorization).__name__}; {expected}"
    if not (authorization.strip() and authorization.isascii() and authorization.isprintable()):
        return f"what the source of the token gives cannot stand in a header; {expected}"
    return None


async def from_source(ask: Callable[[], Awaitable[T]]) -> T:
    """What an application's own source of tokens gives on being asked.

    Raises:
        AuthenticationError: where it fails, or is cancelled by somebody else.

    """
    try:
        return await ask()
    except EnrollError:
        raise
    except asyncio.CancelledError:
        if is_cancelled():
            raise
        reason = "it was cancelled"
    except Exception as error:  # noqa: BLE001  # whatever an application's own code raises
        reason = type(error).__name__
    # Outside of the `except`: what the source says of its failure may hold its secrets.
    raise AuthenticationError(f"the source of the token has failed: {reason}")
