"""One HTTP exchange with the platform: bytes out, bytes in, failures in words.

Nothing here knows what the bytes mean. No redirect is followed, so that no credential
ever goes where it was not meant to, and no POST is turned into a GET.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from io import BytesIO
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlencode

import aiohttp
import anyio
from attrs import frozen
from yarl import URL

from async_enroll.auth import Auth, SignIn
from async_enroll.errors import (
    AuthenticationError,
    ConfigurationError,
    EnrollError,
    TransportError,
)

T = TypeVar("T")

LARGEST_ANSWER = 64 * 1024 * 1024
"""Bytes of an answer that is read whole, beyond which it is given up."""

LARGEST_FORM_ANSWER = 1024 * 1024
"""The same, for the answer to a form."""

# A connection that the other side is just closing would leave a POST's fate unknown, so
# none is used again that late: the shortest keep-alive in common use is Apache's, 5 s.
_KEEP_ALIVE = 4.0

_OK = 200
_USER_AGENT = f"async-enroll/{version('async_enroll')}"

_log = logging.getLogger("async_enroll")


@frozen
class Answer:
    """An HTTP answer, read whole; `credentials` counts the renewals of the token before it.

    `host`: of the request's URL, None where that does not matter.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    credentials: int = 0
    host: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the request was answered, and not just replied to."""
        return self.status == _OK


def site_url(base_url: str, *, allow_http: bool) -> URL:
    """Check the address of a site, and give it without what does not belong to it.

    Plain http sends the token readable by anyone on the way: it is for loopback only,
    unless `allow_http`.

    Raises:
        ConfigurationError: saying what was found and what is expected.

    """
    try:
        url = URL(base_url.strip())
        port = url.port
    except ValueError:
        url, port = URL(), None
    if url.user or url.password:
        raise ConfigurationError("the site's URL holds a user or password; give the token as auth")
    expected = "expected something like https://courses.example.org"
    named = url.host and not any(map(str.isspace, url.host))
    if url.scheme not in ("http", "https") or not named or port == 0:
        raise ConfigurationError(f"{base_url!r} is no site's URL; {expected}")
    if url.raw_query_string or url.raw_fragment:
        raise ConfigurationError(f"{base_url!r} holds a query or fragment; {expected}")
    if url.scheme == "http" and not allow_http and not _is_loopback(url.host or ""):
        raise ConfigurationError(
            f"{base_url!r} is plain http, which would send the token in the clear; "
            "use https or, knowingly, allow_http (--allow-http)"
        )
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _from_source(asked: Awaitable[T]) -> T:
    """What an application's own source of tokens gives."""
    try:
        return await asked
    except EnrollError:
        raise
    except Exception as error:  # noqa: BLE001  # whatever an application's own code raises
        kind = type(error).__name__
    # Outside of the `except`: what the source says of its failure may hold its secrets.
    raise AuthenticationError(f"the source of the token has failed: {kind}")


class Pieces:
    """The body of an answer, piece by piece as it arrives."""

    def __init__(self, transport: Transport, response: aiohttp.ClientResponse) -> None:
        self._transport = transport
        self._content = response.content
        headers = response.headers
        chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
        self.framed: bool = chunked or "Content-Length" in headers
        """Whether the answer says where its body ends; otherwise the connection's end does."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        piece = await self._transport.in_words(self._content.readany())
        if not piece:
            raise StopAsyncIteration
        return piece


class Transport:
    """Sends requests to one site, with its credentials.

    `timeout`: seconds for one call; for a streamed answer, seconds of silence.
    """

    def __init__(
        self,
        site: URL,
        auth: Auth | SignIn,
        *,
        timeout: float,
        session: aiohttp.ClientSession | None,
    ) -> None:
        self.site = site
        self.timeout = timeout
        self._auth = auth.tokens(self) if isinstance(auth, SignIn) else auth
        self._session = session
        self._owns_session = session is None
        self._credentials = 0
        self._renewing = anyio.Lock()

    async def __aenter__(self) -> Self:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # The throttle bounds what is in flight; a second bound could only dead-lock.
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        session, self._session = self._session, None
        if self._owns_session and session is not None:
            await session.close()

    async def renew(self, refused: int) -> bool:
        """Whether there are newer credentials than those refused; one renewal serves all."""
        async with self._renewing:
            if self._credentials == refused and await _from_source(self._auth.renew()):
                self._credentials += 1
            return self._credentials > refused

    async def sign_in(self) -> None:
        """Have a token at hand, as every request has; raises EnrollError where there is none."""
        await self._signed()

    async def submit(self, url: URL, form: Mapping[str, str]) -> Answer:
        """POST a form, without the token, which it may be for; otherwise as `call`."""
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        body = urlencode(form).encode()
        async with self._exchange("POST", url, body, headers, self._in_all()) as response:
            return await self._read_whole(response, 0, largest=LARGEST_FORM_ANSWER)

    async def call(self, method: str, url: URL, body: bytes | None = None) -> Answer:
        """Send a request and read its answer whole, within `timeout` seconds.

        Raises:
            TransportError: where no whole answer came.

        """
        headers, credentials = await self._signed()
        async with self._exchange(method, url, body, headers, self._in_all()) as response:
            return await self._read_whole(response, credentials)

    @asynccontextmanager
    async def stream(self, url: URL) -> AsyncIterator[Answer | Pieces]:
        """Send a GET; give the pieces of its body as they arrive.

        An answer other than 200 is given whole, as an `Answer`.

        Raises:
            TransportError: also while the pieces are read, where the body is cut short or
                nothing arrives for `timeout` seconds.

        """
        timeout = aiohttp.ClientTimeout(
            total=None, connect=self.timeout / 2, sock_read=self.timeout
        )
        headers, credentials = await self._signed()
        async with self._exchange("GET", url, None, headers, timeout) as response:
            if response.status == _OK:
                yield Pieces(self, response)
            else:
                yield await self._read_whole(response, credentials)

    def _in_all(self) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(total=self.timeout, connect=self.timeout / 2)

    async def _signed(self) -> tuple[dict[str, str], int]:
        """The headers of a request with credentials, and how often these were renewed before."""
        headers = {
            "Authorization": await _from_source(self._auth.authorization()),
            # Both required by the platform's reference, also on a GET.
            "Access-Control-Request-Headers": "authorization",
            "Content-Type": "application/json",
        }
        return headers, self._credentials  # not of before: it may have waited for a renewal

    @asynccontextmanager
    async def _exchange(
        self,
        method: str,
        url: URL,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout: aiohttp.ClientTimeout,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None or self._session.closed:
            raise ConfigurationError("the client is not open; use it in an `async with` block")
        started = time.monotonic()
        response = await self.in_words(
            self._session.request(
                method,
                url,
                # aiohttp warns of large bytes, which it writes in one go; not of what it can read.
                data=BytesIO(body) if body is not None else None,
                headers={"Accept": "application/json", "User-Agent": _USER_AGENT, **headers},
                timeout=timeout,
                allow_redirects=False,
                raise_for_status=False,
            )
        )
        try:
            yield response
        finally:
            response.close()  # the socket, too, unless the answer was read to its end
            elapsed = time.monotonic() - started
            _log.debug("%s %s: %d in %.3f s", method, url.path, response.status, elapsed)

    async def _read_whole(
        self,
        response: aiohttp.ClientResponse,
        credentials: int,
        *,
        largest: int = LARGEST_ANSWER,
    ) -> Answer:
        body = bytearray()
        async for piece in Pieces(self, response):
            body += piece
            if len(body) > largest:
                raise TransportError(f"the answer is larger than {largest} bytes", sent=True)
        host = response.url.host
        return Answer(response.status, response.headers, bytes(body), credentials, host)

    async def in_words(self, doing: Awaitable[T]) -> T:
        """Await `doing`; raise what goes wrong on the network as a `TransportError`."""
        try:
            return await doing
        except (aiohttp.ClientError, TimeoutError) as error:
            failure = self._failure(error)
        # Raised only here: aiohttp's exceptions can hold the request's headers, and so the
        # token, and inside the `except` they would be the context of ours.
        raise failure

    def too_slow(self) -> TransportError:
        """The failure of an exchange that takes longer than it may."""
        site = self.site.origin()
        words = f"no answer from {site} within {self.timeout:g} s"
        return TransportError(words, sent=True, timed_out=True)

    def _failure(self, error: Exception) -> TransportError:
        site = self.site.origin()
        if isinstance(error, aiohttp.ClientConnectorDNSError):
            return TransportError(f"{site.host} has no address; check the URL", sent=False)
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            reason = error.certificate_error
            return TransportError(f"{site} shows no valid certificate: {reason}", sent=False)
        if isinstance(error, aiohttp.ClientSSLError):
            return TransportError(f"no TLS with {site}: {error.os_error}", sent=False)
        if isinstance(error, aiohttp.ClientConnectorError):
            return TransportError(f"no connection to {site}: {error.os_error}", sent=False)
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            seconds = self.timeout / 2
            return TransportError(f"no connection to {site} within {seconds:g} s", sent=False)
        if isinstance(error, TimeoutError):
            return self.too_slow()
        if isinstance(error, aiohttp.ClientPayloadError):
            return TransportError(f"the answer from {site} was cut short", sent=True)
        if isinstance(error, aiohttp.ClientResponseError):
            return TransportError(f"what answers at {site} does not speak HTTP", sent=True)
        return TransportError(f"{site} closed the connection without an answer", sent=True)
