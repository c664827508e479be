"""The name of a shared window: the same for all processes whose calls the platform counts together.

The platform counts by user, and tokens come and go. So the name stands for the site and the user
of the token, as the site tells it; else for the client id, else for the token.
"""

from __future__ import annotations

from hashlib import sha256

import anyio

from async_enroll.errors import EnrollError
from async_enroll.http.client_credentials import ClientCredentials
from async_enroll.http.tokens import Auth, BearerToken, Secret, SignIn, from_source
from async_enroll.http.transport import Transport
from async_enroll.platform.accounts import own_username

_ASKING = 5.0
"""Seconds after which a site that does not tell the token's user is not waited for."""


async def window_name(transport: Transport, auth: Auth | SignIn) -> str:
    """The name of the window of a site and its token. The transport is open."""
    username = None
    with anyio.move_on_after(min(_ASKING, transport.timeout)):
        username = await own_username(transport)
    if username is not None:
        return digest(transport, "user", Secret(username))
    return await name_without_username(transport, auth)


async def name_without_username(transport: Transport, auth: Auth | SignIn) -> str:
    """The name of the window of a site and its client id or token, without asking the site."""
    if isinstance(auth, ClientCredentials):
        return digest(transport, "client", Secret(auth.client_id))
    if isinstance(auth, BearerToken):
        return digest(transport, "token", Secret(auth.token))
    try:
        if not isinstance(auth, SignIn):
            return digest(transport, "token", Secret(await from_source(auth.authorization)))
    except EnrollError:
        pass  # the first call will say so
    return digest(transport, "", Secret(""))


def digest(transport: Transport, kind: str, who: Secret[str]) -> str:
    """A name that tells neither user nor token."""
    site = str(transport.site).rstrip("/")
    return sha256(f"{site}\n{kind}\n{who.value}".encode()).hexdigest()[:32]
