"""The aiohttp sessions that `http.transport` sends requests in: our own, or the application's.

An application's session may have connections open and add credentials; our calls use neither.
"""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp
from aiohttp.client_reqrep import ConnectionKey

from async_enroll.http.tokens import Secret

TAKES_SESSIONS: bool = "server_hostname" in ConnectionKey._fields
"""Whether aiohttp can open a new connection for each call in a session of the application's."""


def new_session(
    connector: aiohttp.TCPConnector, headers: Mapping[str, str]
) -> aiohttp.ClientSession:
    """Open a session of our own, which sends these headers with each request."""
    # Without aiohttp's `trust_env`, which would also read credentials from ~/.netrc.
    return aiohttp.ClientSession(
        connector=connector, headers=headers, cookie_jar=aiohttp.DummyCookieJar()
    )


class NameForOneCall(str):
    """A host name that equals no other, so that aiohttp finds no connection to reuse for it."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


def only_our_credentials(signed: Secret[str] | None) -> aiohttp.ClientMiddlewareType:
    """Middleware that replaces the credentials a session adds with ours, or with none."""

    async def send(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        request.headers.pop("Authorization", None)
        if signed is not None:
            request.headers["Authorization"] = signed.value
        return await handler(request)

    return send
