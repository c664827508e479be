"""The name of a shared window: one for all processes whose calls the platform counts together.

The platform counts by user, and tokens come and go. So the name stands for the site and the user
of the token, as the site tells it; else for the client id, else for the token.
"""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256

import anyio
from yarl import URL

from async_enroll.errors import EnrollError
from async_enroll.http.client_credentials import ClientCredentials
from async_enroll.http.tokens import Auth, BearerToken, Secret, SignIn, from_source
from async_enroll.http.transport import Transport
from async_enroll.platform.accounts import token_username

_ASKING = 5.0
"""Seconds after which a site that does not tell the token's user is not waited for."""


async def window_name(transport: Transport, auth: Auth | SignIn) -> str:
    """The name of the window of a site and the user of its token; the transport is open."""
    username = None
    with anyio.move_on_after(min(_ASKING, transport.timeout)):
        username = await token_username(transport)
    if username is not None:
        return _digest(transport.site, "user", Secret(username))
    if isinstance(auth, BearerToken | ClientCredentials):
        return credentials_digest(transport.site, auth)
    header = Secret("")
    if not isinstance(auth, SignIn):
        with suppress(EnrollError):  # the first call will say so
            header = Secret(await from_source(auth.authorization))
    return _digest(transport.site, "token", header)


def credentials_digest(site: URL, auth: BearerToken | ClientCredentials) -> str:
    """The name of the window of a site and a token or client id, without asking the site."""
    if isinstance(auth, ClientCredentials):
        return _digest(site, "client", Secret(auth.client_id))
    return _digest(site, "token", Secret(auth.token))


def _digest(site: URL, kind: str, who: Secret[str]) -> str:
    """A name from which neither user nor token can be read."""
    text = f"{str(site).rstrip('/')}\n{kind}\n{who.value}"
    return sha256(text.encode()).hexdigest()[:32]
