"""Authentication: sources of tokens, and `Secret`, which keeps them out of every repr.

`http.transport` asks an `Auth` for the ``Authorization`` header of each request.
"""

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

T = TypeVar("T")


class Auth(Protocol):
    """A source of the ``Authorization`` header of requests."""

    async def authorization(self) -> str:
        """The header's value: scheme and token, as ``Bearer <token>``."""
        ...

    async def renew(self) -> bool:
        """Get a new token after the platform refused the last; return False if there is none."""
        ...


class TokenEndpoint(Protocol):
    """The client side of a site's token endpoint; `http.transport.Transport` is one."""

    site: URL
    """The site's URL."""

    async def submit(self, url: URL, form: Secret[Mapping[str, str]]) -> Answer:
        """POST a form, without a token; raises TransportError if no complete answer came."""
        ...


class SignIn(ABC):
    """Credentials that a site exchanges for tokens. One value can serve many clients."""

    __slots__ = ()

    @abstractmethod
    def tokens(self, site: TokenEndpoint) -> Auth:
        """A source of the tokens that `site` issues."""


@frozen
class Secret(Generic[T]):
    """A value hidden from its repr, and so from tracebacks that show local variables."""

    value: T = field(repr=False)


@frozen(init=False)
class BearerToken:
    """A token issued by the platform, sent as ``Authorization: Bearer <token>``.

    Surrounding white space, such as the newline at the end of a file, is removed. The repr does
    not show the token.

    Raises:
        ConfigurationError: if the token is empty or not valid in a header.

    """

    token: str = field(repr=False)

    def __init__(self, token: str) -> None:
        problem = _problem_of_token(token)
        if problem:
            del token  # a frame in the traceback must not hold it
            raise ConfigurationError(problem)
        self.__attrs_init__(token.strip())

    @property
    def header(self) -> str:
        """The value of the ``Authorization`` header, which never changes."""
        return f"Bearer {self.token}"

    async def authorization(self) -> str:
        """The header's value."""
        return self.header

    async def renew(self) -> bool:
        """Return False: there is no other token."""
        return False


def is_token(text: str) -> bool:
    """Whether `text` is valid in an ``Authorization`` header, after the scheme."""
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


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
    """Why the value returned by a token source is not valid in a header; None if it is."""
    expected = "expected the header's value, such as 'Bearer <token>'"
    if not isinstance(authorization, str):
        return f"the source of the token gives a {type(authorization).__name__}; {expected}"
    if not (authorization.strip() and authorization.isascii() and authorization.isprintable()):
        return f"what the source of the token gives cannot stand in a header; {expected}"
    return None


async def from_source(ask: Callable[[], Awaitable[T]]) -> T:
    """Call an application's token source; return its result.

    Raises:
        AuthenticationError: if the source fails, or is cancelled by other code.

    """
    try:
        return await ask()
    except EnrollError:
        raise
    except asyncio.CancelledError:
        if is_cancelled():
            raise
        reason = "it was cancelled"
    except Exception as error:  # noqa: BLE001  # an application's code can raise anything
        reason = type(error).__name__
    # Outside of the `except`: the original exception may hold secrets, and must not be our context.
    raise AuthenticationError(f"the source of the token has failed: {reason}")
