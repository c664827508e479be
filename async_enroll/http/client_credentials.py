"""Signing in on any Open edX site by OAuth2, with the id and secret of an application."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any, Final, Literal, Self

import anyio
from attrs import evolve, field, frozen

from async_enroll.errors import ConfigurationError, TransportError, UnexpectedResponse
from async_enroll.http.answer import Answer
from async_enroll.http.failures import gives_token, no_token
from async_enroll.http.token_answer import TokenAnswer, token_answer
from async_enroll.http.tokens import Auth, Secret, SignIn, TokenEndpoint

TOKEN = "oauth2/access_token"  # noqa: S105  # its address

_SCHEMES: Final = {"jwt": "JWT", "bearer": "Bearer"}

_log = logging.getLogger("async_enroll")


def _problem(texts: dict[str, Any], token_type: Any, skew: Any) -> str | None:
    """Why these cannot be credentials; None if they can.

    Shows no value: arguments are easily given in the wrong order.
    """
    for name, text in texts.items():
        if not isinstance(text, str):
            return f"{name} is of type {type(text).__name__}; expected a string"
        if not text.strip():
            return f"the {name} is empty"
        if not text.strip().isprintable():
            return f"the {name} holds characters that cannot be typed"
    if token_type not in _SCHEMES:
        return "token_type is neither 'jwt' nor 'bearer'"
    if not isinstance(skew, int | float) or not 0 <= skew < math.inf:
        return "skew is not usable; expected seconds, 0 or more"
    return None


@frozen(init=False)
class ClientCredentials(SignIn):
    """The id and secret of an application, which the site exchanges for tokens.

    A token is fetched on first use, and again before it expires or when it is refused. The
    application's user is who enrolls. One value is good for any number of clients; the
    secret shows in no repr. Surrounding white space does not count.

    Args:
        client_id: As the site's administration names it.
        client_secret: Likewise.
        token_type: ``jwt``, or ``bearer`` for sites that take no JWT.
        skew: Seconds before its end at which a token is renewed; half its life at most.

    Raises:
        ConfigurationError: where one of these cannot work.

    """

    client_id: str
    client_secret: str = field(repr=False)
    token_type: Literal["jwt", "bearer"]
    skew: float

    def __init__(
        self,
        client_id: str,
        client_secret: str,
        token_type: Literal["jwt", "bearer"] = "jwt",  # noqa: S107  # a kind
        *,
        skew: float = 60.0,
    ) -> None:
        texts = {"client_id": client_id, "client_secret": client_secret}
        problem = _problem(texts, token_type, skew)
        if problem:
            del texts, client_id, client_secret, token_type  # what raises must not hold them
            raise ConfigurationError(problem)
        self.__attrs_init__(client_id.strip(), client_secret.strip(), token_type, skew)

    def tokens(self, site: TokenEndpoint) -> Auth:
        """A source of the tokens that a site gives for these credentials."""
        return _Tokens(self, site)


@frozen
class Token:
    """A token with its times, in seconds of a steady clock: a state machine without a clock.

    It is to be renewed from `due` on, and good until `end` at least.
    """

    authorization: str = field(repr=False)
    due: float
    end: float

    @classmethod
    def of(cls, answer: TokenAnswer, credentials: ClientCredentials, asked: float) -> Self:
        """The token that was given out on being asked for at `asked`; raises UnexpectedResponse.

        Its life is counted from then on: it began between that and the answer.
        """
        scheme = _SCHEMES.get(answer.kind or credentials.token_type)
        if scheme is None:
            raise UnexpectedResponse("expected 'JWT' or 'Bearer'", path="token_type")
        lifetime = math.inf if answer.lifetime is None else answer.lifetime
        end = asked + lifetime
        return cls(f"{scheme} {answer.token}", end - min(credentials.skew, lifetime / 2), end)

    def put_off(self, now: float) -> Self:
        """The same, to be renewed after half the time that is left."""
        return evolve(self, due=(now + self.end) / 2)


@frozen
class _Attempt:
    """What came back when a token was asked for, at a time."""

    credentials: ClientCredentials
    asked: float
    came_back: Answer | TransportError = field(repr=False)

    def token(self) -> Token:
        """The token; raises a new EnrollError each time where there is none."""
        came_back = self.came_back
        if isinstance(came_back, TransportError) or not gives_token(came_back):
            raise no_token(came_back)
        return Token.of(token_answer(came_back.body), self.credentials, self.asked)


class _Tokens:
    """The tokens of one site, one at a time."""

    def __init__(self, credentials: ClientCredentials, site: TokenEndpoint) -> None:
        self._credentials = credentials
        self._site = site
        self._token: Token | None = None
        self._line = anyio.Lock()
        self._last: _Attempt | None = None

    async def authorization(self) -> str:
        """The header's value; waits for a new token only where there is none that is good."""
        token, now = self._token, anyio.current_time()
        if token is None or token.end <= now:
            token = await self._fetched()
        elif token.due <= now and not self._line.locked():
            token = await self._renewed(token)
        return token.authorization

    async def renew(self) -> bool:
        """Forget the token that was refused; the next is fetched when it is needed."""
        self._token = None
        return True

    async def _renewed(self, token: Token) -> Token:
        """A new token; the one there is, where the site gives none for now."""
        try:
            return await self._fetched()
        except TransportError as error:
            now = anyio.current_time()
            if self._token is not token or token.end <= now:
                raise
            _log.info("the token is not renewed yet: %s", error)
            self._token = token.put_off(now)
            return token

    async def _fetched(self) -> Token:
        """A new token. One attempt serves all who wait for it, also where it fails.

        One that is cancelled is made anew by the next in line.
        """
        before = self._last
        async with self._line:
            last = self._last
            if last is None or last is before:  # else it has ended while this one stood in line
                asked = anyio.current_time()
                last = self._last = _Attempt(self._credentials, asked, await self._answer())
            token = self._token = last.token()
            return token

    async def _answer(self) -> Answer | TransportError:
        credentials = self._credentials
        form: Secret[Mapping[str, str]] = Secret(
            {
                "grant_type": "client_credentials",
                "client_id": credentials.client_id,
                "client_secret": credentials.client_secret,
                "token_type": credentials.token_type,
            }
        )
        try:
            answer = await self._site.submit(self._site.site / TOKEN, form)
        except TransportError as error:
            return error
        if gives_token(answer):
            return answer
        # What is said of a failure may repeat what was sent.
        hidden = answer.body.replace(credentials.client_secret.encode(), b"[secret]")
        return evolve(answer, body=hidden)
