"""OAuth2 client credentials: fetch tokens of an Open edX site with an application's id and secret.

An `Auth` for `http.transport`, through which it also sends its own requests. `http.token_answer`
parses the answers.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any, Final, Literal, Self

import anyio
from attrs import evolve, field, frozen
from msgspec.structs import replace

from async_enroll.errors import ConfigurationError, TransportError, UnexpectedResponse
from async_enroll.http.answer import Answer
from async_enroll.http.failures import gives_token, no_token
from async_enroll.http.token_answer import TokenAnswer, token_answer
from async_enroll.http.tokens import Auth, Secret, SignIn, TokenEndpoint

TOKEN = "oauth2/access_token"  # noqa: S105  # its address

_SCHEMES: Final = {"jwt": "JWT", "bearer": "Bearer"}

_log = logging.getLogger("async_enroll")


def _problem_of_credentials(texts: dict[str, Any], token_type: Any, skew: Any) -> str | None:
    """Why the arguments are not usable; None if they are.

    The message shows no value: arguments are easily swapped, and one of them is a secret.
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

    A token is fetched on first use, and again before it expires or when it is refused.
    Learners are enrolled on behalf of the application's user. One value can serve any number of
    clients. The repr does not show the secret. Surrounding white space is removed.

    Args:
        client_id: The application's client id, from the site's administration.
        client_secret: The application's client secret, from the same place.
        token_type: ``jwt``, or ``bearer`` for sites that do not accept JWTs.
        skew: Seconds before its expiry at which a token is renewed, at most half its lifetime.

    Raises:
        ConfigurationError: if an argument is not usable.

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
        problem = _problem_of_credentials(texts, token_type, skew)
        if problem:
            del (
                texts,
                client_id,
                client_secret,
                token_type,
            )  # a frame in the traceback must not hold them
            raise ConfigurationError(problem)
        self.__attrs_init__(client_id.strip(), client_secret.strip(), token_type, skew)

    def tokens(self, site: TokenEndpoint) -> Auth:
        """A source of the tokens that `site` issues for these credentials."""
        return _Tokens(self, site)


@frozen
class Token:
    """A token and its times, in seconds of a monotonic clock.

    It should be renewed from `due` on, and is valid at least until `end`.
    """

    authorization: str = field(repr=False)
    due: float
    end: float

    @classmethod
    def of(cls, answer: TokenAnswer, credentials: ClientCredentials, asked: float) -> Self:
        """The token of an answer to a request sent at `asked`; raises UnexpectedResponse.

        Its lifetime counts from `asked`: the site issued it between that and the answer.
        """
        scheme = _SCHEMES.get(answer.kind or credentials.token_type)
        if scheme is None:
            raise UnexpectedResponse("expected 'JWT' or 'Bearer'", path="token_type")
        lifetime = math.inf if answer.lifetime is None else answer.lifetime
        end = asked + lifetime
        return cls(f"{scheme} {answer.token}", end - min(credentials.skew, lifetime / 2), end)

    def put_off(self, now: float) -> Self:
        """The same token, due for renewal after half its remaining lifetime."""
        return evolve(self, due=(now + self.end) / 2)


@frozen
class _Attempt:
    """A request for a token: when it was sent, and its answer or error."""

    credentials: ClientCredentials
    asked: float
    response: Answer | TransportError = field(repr=False)

    def token(self) -> Token:
        """The token; if there is none, raises an EnrollError that is new each time."""
        response = self.response
        if isinstance(response, TransportError) or not gives_token(response):
            raise no_token(response)
        return Token.of(token_answer(response.body), self.credentials, self.asked)


class _Tokens:
    """The source of one site's tokens: caches a token, and renews it before it expires."""

    def __init__(self, credentials: ClientCredentials, site: TokenEndpoint) -> None:
        self._credentials = credentials
        self._site = site
        self._token: Token | None = None
        self._lock = anyio.Lock()
        self._last_attempt: _Attempt | None = None

    async def authorization(self) -> str:
        """The header's value; waits for a new token only if there is no valid one."""
        token, now = self._token, anyio.current_time()
        if token is None or token.end <= now:
            token = await self._fetch()
        elif token.due <= now and not self._lock.locked():
            token = await self._renew_early(token)
        return token.authorization

    async def renew(self) -> bool:
        """Discard the refused token; the next one is fetched when it is needed."""
        self._token = None
        return True

    async def _renew_early(self, token: Token) -> Token:
        """A new token; if the site issues none for now, the present one while it is valid."""
        try:
            return await self._fetch()
        except TransportError as error:
            now = anyio.current_time()
            if self._token is not token or token.end <= now:
                raise
            _log.info("the token is not renewed yet: %s", error)
            self._token = token.put_off(now)
            return token

    async def _fetch(self) -> Token:
        """Fetch a new token. One attempt serves all callers that wait for it, also if it fails.

        If the attempt is cancelled, the next caller makes another.
        """
        before = self._last_attempt
        async with self._lock:
            last = self._last_attempt
            if last is None or last is before:  # otherwise one ended while this caller waited
                asked = anyio.current_time()
                last = self._last_attempt = _Attempt(
                    self._credentials, asked, await self._request()
                )
            token = self._token = last.token()
            return token

    async def _request(self) -> Answer | TransportError:
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
        # An error message may repeat what was sent.
        hidden = answer.body.replace(credentials.client_secret.encode(), b"[secret]")
        return replace(answer, body=hidden)
