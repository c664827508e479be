"""POST /oauth2/access_token (Open edX, oauth_dispatch, over django-oauth-toolkit)."""

from __future__ import annotations

import base64
import binascii
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote_plus

from aiohttp import web
from attrs import frozen

from async_enroll.sandbox.http.access import SCHEMES, Tokens, require_method
from async_enroll.sandbox.http.answers import Refusal, json_answer
from async_enroll.sandbox.http.exchange import Exchange

_FORM = "application/x-www-form-urlencoded"
_SCOPE = "read write profile email"


@frozen
class TokenView:
    """The endpoint. Applications can only request a token, valid for `lifetime` seconds."""

    tokens: Tokens
    lifetime: float

    async def handle(self, exchange: Exchange) -> web.Response:
        """Answer a request; raises Refusal."""
        require_method(exchange.request, "POST")
        form = _form(exchange)
        if form.get("grant_type") != "client_credentials":
            raise _refusal(HTTPStatus.BAD_REQUEST, "unsupported_grant_type")
        # Unknown types are taken for bearer tokens.
        scheme = "jwt" if form.get("token_type", "").lower() == "jwt" else "bearer"
        token = self.tokens.issue(_credentials(exchange, form), scheme, self.lifetime)
        if token is None:
            raise _refusal(HTTPStatus.UNAUTHORIZED, "invalid_client")
        content = {
            "access_token": token,
            "expires_in": self.lifetime,
            "token_type": SCHEMES[scheme],
            "scope": _SCOPE,
        }
        return json_answer(content, headers={"Cache-Control": "no-store"})


def _form(exchange: Exchange) -> dict[str, str]:
    if exchange.request.content_type != _FORM:
        return {}
    return dict(parse_qsl(exchange.body.decode("utf-8", "replace")))


def _credentials(exchange: Exchange, form: dict[str, str]) -> tuple[str, str]:
    """Return the id and secret of the client: HTTP Basic, or else form fields (RFC 6749, 2.3.1)."""
    scheme, _, basic = exchange.request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return form.get("client_id", ""), form.get("client_secret", "")
    try:
        client_id, _, secret = base64.b64decode(basic).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return unquote_plus(client_id), unquote_plus(secret)


def _refusal(status: HTTPStatus, error: str) -> Refusal:
    unauthorized = status is HTTPStatus.UNAUTHORIZED
    headers = {"WWW-Authenticate": f'Bearer error="{error}"'} if unauthorized else None
    return Refusal(status, {"error": error}, headers=headers)
