"""Who calls, and whether they may: token, permission, throttle, method; in that order."""

from __future__ import annotations

import math
import secrets
from http import HTTPStatus

from aiohttp import web
from attrs import frozen

from async_enroll.sandbox.answers import Refusal
from async_enroll.sandbox.throttle import Throttle


@frozen
class Caller:
    """The user a token belongs to; `staff` is the platform's global staff."""

    name: str
    staff: bool


class Tokens:
    """The bearer tokens the platform knows."""

    def __init__(self) -> None:
        self._callers: dict[str, Caller] = {}

    def add(self, *, staff: bool, token: str | None = None) -> str:
        """Make a user with a token, a random one unless given; return the token."""
        token = token or secrets.token_urlsafe(24)
        self._callers[token] = Caller(f"caller{len(self._callers) + 1}", staff)
        return token

    def authenticate(self, request: web.BaseRequest) -> Caller:
        """The caller of `request`; raises Refusal (401)."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise unauthorized("Authentication credentials were not provided.")
        caller = self._callers.get(token.strip())
        if caller is None:
            raise unauthorized("The provided access token does not match any valid tokens.")
        return caller


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
