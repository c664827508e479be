"""Parser for answers of the token endpoint; errors never show the token. Pure.

Takes the body of an answer, and returns a `TokenAnswer` to `http.client_credentials`.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
from attrs import field, frozen

from async_enroll.errors import UnexpectedResponse
from async_enroll.http.answer import NOT_JSON
from async_enroll.http.tokens import is_token


@frozen
class TokenAnswer:
    """A token that a site has issued.

    `lifetime`: seconds, None if the site does not say. `kind`: the token type in lower case, as
    ``bearer``; None if the site does not say.
    """

    token: str = field(repr=False)
    lifetime: float | None
    kind: str | None


def token_answer(body: bytes) -> TokenAnswer:
    """Parse an answer of the token endpoint (RFC 6749, 5.1).

    Raises:
        UnexpectedResponse: with the path; neither it nor its context shows the token.

    """
    try:
        value = msgspec.json.decode(body)
    except NOT_JSON:  # may hold the answer, so it must not become our context
        value = None
    if not isinstance(value, dict):
        raise UnexpectedResponse("the answer is not a JSON object")
    token = value.get("access_token")
    if not isinstance(token, str) or not is_token(token):
        expected = "missing" if token is None else "not a token"
        raise UnexpectedResponse(expected, path="access_token")
    kind = value.get("token_type")
    if kind is not None and not isinstance(kind, str):
        raise UnexpectedResponse("expected a string", path="token_type")
    return TokenAnswer(token, _lifetime(value.get("expires_in")), kind and kind.lower())


def _lifetime(value: Any) -> float | None:
    # Some servers send the number as a string.
    try:
        seconds = None if value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if seconds is not None and (isinstance(value, bool) or not 0 < seconds < math.inf):
        words = f"expected seconds, more than 0, found {value!r:.60}"
        raise UnexpectedResponse(words, path="expires_in")
    return seconds
