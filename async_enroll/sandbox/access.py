"""Who calls, and whether they may: token, permission, throttle, method; in that order."""

from __future__ import annotations

import math
import secrets
import time
from http import HTTPStatus

from aiohttp import web
from attrs import frozen

from async_enroll.sandbox.answers import Refusal
from async_enroll.sandbox.throttle import Throttle

SCHEMES = {"bearer": "Bearer", "jwt": "JWT"}
"""How tokens are sent, and how the token endpoint spells that."""


@frozen
class Caller:
    """The user a token belongs to; `staff` is the platform's global staff."""

    name: str
    staff: bool


@frozen
class _Token:
    """Whose it is, the scheme it is sent with, in lower case, and until when it is good."""

    caller: Caller
    scheme: str
    end: float = math.inf


class Tokens:
    """The tokens the platform knows, and the applications that may ask for more."""

    def __init__(self) -> None:
        self._callers = 0
        self._tokens: dict[str, _Token] = {}
        self._applications: dict[tuple[str, str], Caller] = {}

    def add(self, *, staff: bool, token: str | None = None) -> str:
        """Make a user with a bearer token, a random one unless given; return the token."""
        token = token or secrets.token_urlsafe(24)
        self._tokens[token] = _Token(self._new_caller(staff=staff), "bearer")
        return token

    def add_application(self, *, staff: bool) -> tuple[str, str]:
        """Make a user with an application; return its id and secret."""
        credentials = secrets.token_urlsafe(12), secrets.token_urlsafe(24)
        self._applications[credentials] = self._new_caller(staff=staff)
        return credentials

    def issue(self, credentials: tuple[str, str], scheme: str, lifetime: float) -> str | None:
        """A new token for an application, good for `lifetime` seconds; None if it is unknown."""
        caller = self._applications.get(credentials)
        if caller is None:
            return None
        token = secrets.token_urlsafe(24)
        self._tokens[token] = _Token(caller, scheme, time.monotonic() + lifetime)
        return token

    def revoke(self) -> None:
        """Forget the tokens of all applications."""
        for token in [token for token, known in self._tokens.items() if known.end < math.inf]:
            del self._tokens[token]

    def authenticate(self, request: web.BaseRequest) -> Caller:
        """The caller of `request`; raises Refusal (401)."""
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() not in SCHEMES:
            raise unauthorized("Authentication credentials were not provided.")
        token = self._tokens.get(text.strip())
        if token is None or token.scheme != scheme.lower():
            raise unauthorized("The provided access token does not match any valid tokens.")
        if token.end <= time.monotonic():
            raise unauthorized("The provided access token has expired and is no longer valid.")
        return token.caller

    def _new_caller(self, *, staff: bool) -> Caller:
        self._callers += 1
        return Caller(f"caller{self._callers}", staff)


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


def require_method(request: web.BaseRequest, method: str) -> None:
    """Raise Refusal (405) unless the request's method is `method`."""
    if request.method != method:
        raise Refusal(
            HTTPStatus.METHOD_NOT_ALLOWED,
            {"detail": f'Method "{request.method}" not allowed.'},
            headers={"Allow": method},
        )


def unauthorized(detail: str) -> Refusal:
    """The refusal (401) of a token, or for want of one."""
    return Refusal(
        HTTPStatus.UNAUTHORIZED,
        {"detail": detail},
        headers={"WWW-Authenticate": 'Bearer realm="api"'},
    )
