"""Authentication and permission: token, permission, throttle, method, in this order."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web
from attrs import frozen

from async_enroll.sandbox.http.answers import Refusal
from async_enroll.sandbox.http.throttle import Throttle

SCHEMES = {"bearer": "Bearer", "jwt": "JWT"}
"""The schemes of tokens, and the token endpoint's names for them."""


_WORDS = 2
"""A valid header has a scheme and a token."""


def _told(code: str, message: str) -> dict[str, str]:
    return {"error_code": code, "developer_message": message}


UNKNOWN_TOKEN: Mapping[str, Mapping[str, str]] = {
    "bearer": _told(
        "token_nonexistent", "The provided access token does not match any valid tokens."
    ),
    "jwt": {"detail": "Error decoding token."},
}
"""The answers to an unknown token, by scheme (cases "wrong token", "bearer token as JWT")."""

EXPIRED_TOKEN: Mapping[str, Mapping[str, str]] = {
    "bearer": _told(
        "token_expired", "The provided access token has expired and is no longer valid."
    ),
    "jwt": {"detail": "Token has expired."},
}
"""The answers to an expired token, by scheme (case "expired token")."""


@frozen
class Caller:
    """A token's user; `staff` is the platform's global staff."""

    name: str
    staff: bool


NOBODY = Caller("", staff=False)
"""A caller who is not authenticated yet."""


@frozen
class _Token:
    """The user, the scheme in lower case, and the time of expiry."""

    caller: Caller
    scheme: str
    end: float = math.inf


class Tokens:
    """The tokens of the platform, and the applications that may request more."""

    def __init__(self) -> None:
        self._callers = 0
        self._tokens: dict[str, _Token] = {}
        self._applications: dict[tuple[str, str], Caller] = {}

    def add(
        self,
        *,
        staff: bool,
        token: str | None = None,
        username: str | None = None,
        expired: bool = False,
    ) -> str:
        """Add a user with a bearer token, both random by default; return the token."""
        token = token or secrets.token_urlsafe(24)
        end = -math.inf if expired else math.inf
        self._tokens[token] = _Token(self._new_caller(staff=staff, name=username), "bearer", end)
        return token

    def add_application(self, *, staff: bool) -> tuple[str, str]:
        """Add a user with an application; return its id and secret."""
        credentials = secrets.token_urlsafe(12), secrets.token_urlsafe(24)
        self._applications[credentials] = self._new_caller(staff=staff)
        return credentials

    def issue(self, credentials: tuple[str, str], scheme: str, lifetime: float) -> str | None:
        """Return a new token, valid for `lifetime` seconds; None for an unknown application."""
        caller = self._applications.get(credentials)
        if caller is None:
            return None
        token = secrets.token_urlsafe(24)
        self._tokens[token] = _Token(caller, scheme, time.monotonic() + lifetime)
        return token

    def revoke(self) -> None:
        """Revoke the tokens of all applications."""
        for token in [token for token, known in self._tokens.items() if math.isfinite(known.end)]:
            del self._tokens[token]

    def authenticate(self, request: web.BaseRequest) -> Caller:
        """Return the caller of `request`. Raises Refusal (401) as the framework's two schemes do.

        JWT is checked first, then bearer (cases "no token" to "Basic"). Bearer checks the number of
        words in the header even for another scheme.
        """
        words = request.headers.get("Authorization", "").split()
        scheme = words[0].lower() if words else ""
        if not words:
            raise unauthorized({"detail": "Authentication credentials were not provided."})
        if len(words) != _WORDS:
            raise _malformed(scheme, missing=len(words) < _WORDS)
        if scheme not in SCHEMES:
            raise unauthorized({"detail": "Authentication credentials were not provided."})
        token = self._tokens.get(words[1])
        if token is None or token.scheme != scheme:
            raise unauthorized(UNKNOWN_TOKEN[scheme])
        if token.end <= time.monotonic():
            raise unauthorized(EXPIRED_TOKEN[scheme])
        return token.caller

    def _new_caller(self, *, staff: bool, name: str | None = None) -> Caller:
        self._callers += 1
        return Caller(name or f"caller{self._callers}", staff)


def _malformed(scheme: str, *, missing: bool) -> Refusal:
    jwt = scheme == "jwt"
    found = (
        "No credentials provided."
        if missing
        else (f"{'Credentials' if jwt else 'Token'} string should not contain spaces.")
    )
    message = f"Invalid {'Authorization' if jwt else 'token'} header. {found}"
    return unauthorized({"detail": message} if jwt else _told("token_malformed", message))


def require_staff(caller: Caller) -> None:
    """Raise Refusal (403) unless the caller is global staff."""
    if not caller.staff:
        detail = "You do not have permission to perform this action."
        raise Refusal(HTTPStatus.FORBIDDEN, {"detail": detail})


def require_window(caller: Caller, throttle: Throttle) -> None:
    """Count the request in the caller's window, or raise Refusal (429)."""
    wait = throttle.admit(caller.name)
    if wait is not None:
        seconds = math.ceil(wait)
        plural = "" if seconds == 1 else "s"
        detail = f"Request was throttled. Expected available in {seconds} second{plural}."
        raise Refusal(
            HTTPStatus.TOO_MANY_REQUESTS,
            {"detail": detail},
            headers={"Retry-After": str(seconds)},
        )


def require_method(request: web.BaseRequest, methods: str) -> None:
    """Raise Refusal (405) unless the request's method is among `methods`, as in Allow."""
    if request.method not in methods.split(", "):
        raise Refusal(
            HTTPStatus.METHOD_NOT_ALLOWED,
            {"detail": f'Method "{request.method}" not allowed.'},
            headers={"Allow": methods},
        )


def unauthorized(content: Mapping[str, str]) -> Refusal:
    """Return the refusal (401) of a token, or of a request without one."""
    return Refusal(
        HTTPStatus.UNAUTHORIZED, content, headers={"WWW-Authenticate": 'JWT realm="api"'}
    )
