"""HTTP transport to one site: sends requests with its credentials, and reads the answers.

Takes URLs and bodies from `platform`, and returns each answer as bytes, whole or streamed; errors
of the network become a `TransportError`. `http.failures` interprets the status. Redirects are not
followed: credentials must not reach another host, and a POST must not become a GET.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from io import BytesIO
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlencode

import aiohttp
import anyio
from anyio.lowlevel import checkpoint
from yarl import URL

from async_enroll import __version__
from async_enroll.cancellation import ended, is_cancelled
from async_enroll.errors import (
    ConfigurationError,
    EnrollError,
    TransportError,
    UnexpectedResponse,
)
from async_enroll.http.answer import Answer
from async_enroll.http.kept_connections import KeptConnections
from async_enroll.http.network_errors import (
    PROXY_AUTHENTICATION_REQUIRED,
    Route,
    proxy_credentials_refused,
    too_slow,
    translated,
)
from async_enroll.http.proxy import Proxy
from async_enroll.http.sessions import (
    TAKES_SESSIONS,
    NameForOneCall,
    new_session,
    only_our_credentials,
)
from async_enroll.http.tokens import (
    Auth,
    BearerToken,
    Secret,
    SignIn,
    from_source,
    problem_of_header,
)
from async_enroll.http.unpacking import LARGEST_PIECE, Gunzip

T = TypeVar("T")

LARGEST_ANSWER = 64 * 1024 * 1024
"""Most bytes of an answer that is read whole; a larger one is an error."""

LARGEST_FORM_ANSWER = 1024 * 1024
"""The same limit for the answer to a form."""

# Seconds. The shortest keep-alive in common use is gunicorn's, 2 s.
_KEEP_ALIVE = 1.0

# Bytes of a status line, and of a header: cookies and policies of sites and proxies exceed
# aiohttp's default of 8 kB.
_LONGEST_LINE = 64 * 1024

# Bytes of a body; below aiohttp's `TOO_LARGE_BYTES_BODY`.
_LARGE_BODY = 64 * 1024

_OK = 200
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_HEADERS = {
    # The platform's reference requires these two, also on a GET.
    "Access-Control-Request-Headers": "authorization",
    "Content-Type": "application/json",
    "Accept": "application/json",
    "Accept-Encoding": "gzip",
    "User-Agent": f"async-enroll/{__version__}",
}
"""The headers of every request; a form has another content type."""
_ADDRESS = re.compile("[!-~]+")

_log = logging.getLogger("async_enroll")


def _running_loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(
            "the client needs a running asyncio event loop, and there is none here; trio is not "
            "supported"
        ) from None


class Pieces:
    """The body of an answer as an async iterator of bytes as they arrive, decompressed.

    Each piece has at most `LARGEST_PIECE` bytes.
    """

    def __init__(self, transport: Transport, response: aiohttp.ClientResponse) -> None:
        self._transport = transport
        self._content = response.content
        headers = response.headers
        packed = headers.get("Content-Encoding", "").strip().lower()
        self._gunzip = Gunzip() if packed in ("gzip", "x-gzip") else None
        self._headers = headers

    @property
    def framed(self) -> bool:
        """Whether the answer declares where its body ends; if not, it ends with the connection."""
        chunked = "chunked" in self._headers.get("Transfer-Encoding", "").lower()
        return chunked or "Content-Length" in self._headers

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._gunzip is not None:
            piece = await self._unpacked(self._gunzip)
        elif self._content.at_eof():
            raise StopAsyncIteration
        else:
            piece = await self._next()
        if not piece:
            raise StopAsyncIteration
        return piece

    def _next(self) -> Awaitable[bytes]:
        return self._transport.in_words(self._content.read(LARGEST_PIECE))

    async def _unpacked(self, gunzip: Gunzip) -> bytes:
        """The next decompressed piece; an empty one at the end."""
        site = self._transport.site.origin()
        while True:
            if gunzip.has_more:
                await checkpoint()  # let other tasks run
                data = b""
            elif not (data := await self._next()):
                if gunzip.is_whole:
                    return b""
                raise TransportError(f"the answer from {site} was cut short", sent=True)
            try:
                piece = gunzip.unpack(data)
            except ValueError:
                words = f"the answer from {site} is not compressed as it says"
                raise TransportError(words, sent=True) from None
            if piece:
                return piece


class _Exchange:
    """A request whose answer has begun, for a `with` block that reads it."""

    def __init__(self, response: aiohttp.ClientResponse, started: float) -> None:
        self._response = response
        self._started = started

    def __enter__(self) -> aiohttp.ClientResponse:
        return self._response

    def __exit__(self, *_: object) -> None:
        response = self._response
        if response.connection is not None:  # else it was given back at the end of the answer
            response.close()
        if _log.isEnabledFor(logging.DEBUG):
            elapsed = time.monotonic() - self._started
            words = "%s %s: %d in %.3f s"
            _log.debug(words, response.method, response.url.path, response.status, elapsed)


class Transport:
    """Sends requests to one site, with its credentials.

    `timeout`: seconds for one call; for a streamed answer, seconds without data. `session`: a
    session of the application's, which stays open; None to create our own. `ssl_context` and
    `trust_env`, whether to use a proxy of the environment, apply to our own sessions only.

    Raises:
        ConfigurationError: for an unusable proxy in the environment; for a session, if aiohttp is
            too old.

    """

    def __init__(
        self,
        site: URL,
        auth: Auth | SignIn,
        *,
        timeout: float,
        session: aiohttp.ClientSession | None,
        ssl_context: ssl.SSLContext | None = None,
        trust_env: bool = True,
    ) -> None:
        if session is not None and not TAKES_SESSIONS:
            raise ConfigurationError(
                "a session of your own needs aiohttp 3.14.1 or newer, found "
                f"{aiohttp.__version__}; upgrade it, or leave out `session`"
            )
        self.site = site
        self.timeout = timeout
        self._total_timeout = aiohttp.ClientTimeout(total=timeout, connect=timeout / 2)
        self._auth = auth.tokens(self) if isinstance(auth, SignIn) else auth
        self._only_header = Secret(auth.header) if type(auth) is BearerToken else None
        self._given = session
        self._session = self._session_for_fresh = session
        self._ssl_context = ssl_context
        self._headers_of_call = {**_HEADERS, "Connection": "close"} if session else {}
        self.proxy: Proxy | None = Proxy.for_site(site) if trust_env and session is None else None
        """The proxy that the environment names for the site, even if ``NO_PROXY`` exempts it."""
        self._route = Route(site, self.proxy, timeout)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._credentials = 0
        self._renewing = anyio.Lock()

    async def __aenter__(self) -> Self:
        if self._loop is not None:
            raise ConfigurationError("the client is open already; close it first")
        self._loop = _running_loop()
        self._session = self._session_for_fresh = self._given
        if self._given is None:
            tls = self._ssl_context or True
            # The throttle limits the calls in flight; a second limit could only deadlock.
            self._session = new_session(
                KeptConnections(limit=0, ssl=tls, keepalive_timeout=_KEEP_ALIVE), _HEADERS
            )
            self._session_for_fresh = new_session(
                aiohttp.TCPConnector(limit=0, ssl=tls, force_close=True), _HEADERS
            )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        sessions = self._session, self._session_for_fresh
        self._session = self._session_for_fresh = self._loop = None
        if self._given is None:
            # Close both even if this task is cancelled meanwhile.
            await ended(*[asyncio.ensure_future(one.close()) for one in filter(None, sessions)])

    async def renew(self, refused: int) -> bool:
        """Get newer credentials than those `refused`; return whether there are any.

        One renewal serves all callers whose requests were refused with the same credentials.
        """
        async with self._renewing:
            if self._credentials == refused and await from_source(self._auth.renew):
                self._credentials += 1
            return self._credentials > refused

    async def sign_in(self) -> str:
        """Get a token, as every request does; return its scheme, such as ``Bearer``.

        Raises:
            EnrollError: if there is no token.

        """
        signed, _ = await self._signed()
        return signed.value.split()[0]

    async def submit(self, url: URL, form: Secret[Mapping[str, str]]) -> Answer:
        """POST a form without a token, for it may be the request for one; otherwise as `call`."""
        self._check_loop()
        body = BytesIO(urlencode(form.value).encode())
        with await self._exchange(
            "POST", url, body, None, self._total_timeout, headers=_FORM, fresh=True
        ) as response:
            return await self._read_whole(response, 0, largest=LARGEST_FORM_ANSWER)

    async def call(
        self, method: str, url: URL, body: bytes | None = None, *, fresh: bool = False
    ) -> Answer:
        """Send a request and read its answer whole, within `timeout` seconds.

        `fresh`: whether to open a new connection. The site may be closing an idle one, and then
        it is unknown whether it processed a POST; aiohttp sends a GET again by itself.

        Raises:
            TransportError: if no complete answer came.

        """
        # aiohttp warns of large `bytes`, which it writes at once, but not of a file.
        sent = BytesIO(body) if body and len(body) > _LARGE_BODY else body
        signed, credentials = await self._signed()
        with await self._exchange(
            method, url, sent, signed, self._total_timeout, fresh=fresh
        ) as response:
            return await self._read_whole(response, credentials)

    @asynccontextmanager
    async def stream(self, url: URL) -> AsyncIterator[Answer | Pieces]:
        """Send a GET; yield the pieces of its body, to be read as they arrive.

        An answer with a status other than 200 is read whole, and yielded as an `Answer`.

        Raises:
            TransportError: also while the pieces are read, if the body is cut short or nothing
                arrives for `timeout` seconds.

        """
        timeout = aiohttp.ClientTimeout(
            total=None, connect=self.timeout / 2, sock_read=self.timeout
        )
        signed, credentials = await self._signed()
        with await self._exchange("GET", url, None, signed, timeout) as response:
            if response.status == _OK:
                yield Pieces(self, response)
            else:
                yield await self._read_whole(response, credentials)

    async def _signed(self) -> tuple[Secret[str], int]:
        """The ``Authorization`` header of a request, and how often the token was renewed before."""
        self._check_loop()
        if self._only_header is not None:
            return self._only_header, self._credentials
        given = Secret(await from_source(self._auth.authorization))
        if problem := problem_of_header(given.value):
            raise ConfigurationError(problem)
        return given, self._credentials  # read last: the source may have waited for a renewal

    def _check_loop(self) -> None:
        if self._loop is not None and self._loop is not _running_loop():
            raise ConfigurationError(
                "the client was opened on another event loop; open one on each loop"
            )

    async def _exchange(
        self,
        method: str,
        url: URL,
        body: bytes | BytesIO | None,
        signed: Secret[str] | None,
        timeout: aiohttp.ClientTimeout,
        *,
        headers: Mapping[str, str] = {},
        fresh: bool = False,
    ) -> _Exchange:
        """Send a request; return once the head of its answer is there.

        The caller uses the exchange in a `with` at once.
        """
        session = self._session_for_fresh if fresh else self._session
        if session is None:
            raise ConfigurationError(
                "the client is not open; use it in an `async with` block, or call `open`"
            )
        if session.closed:
            raise ConfigurationError(
                "the session that the client was given is closed; leave it open for the client"
            )
        if not _ADDRESS.fullmatch(url.raw_path_qs):
            raise UnexpectedResponse("expected an address, found characters that none has")
        # An application's session may add credentials of its own, such as those in ~/.netrc.
        competes = self._given is not None and (session.trust_env or session.auth is not None)
        started = time.monotonic()
        # No local variable holds the token: some tools show these in tracebacks.
        response = await self.in_words(
            session.request(
                method,
                url,
                data=body,
                headers={
                    **self._headers_of_call,
                    **headers,
                    **(
                        {"Authorization": signed.value}
                        if signed is not None and not competes
                        else {}
                    ),
                },
                # Replaces the session's own middlewares, which aiohttp does not expose.
                middlewares=[only_our_credentials(signed)] if competes else None,
                timeout=timeout,
                allow_redirects=False,
                raise_for_status=False,
                auto_decompress=False,  # aiohttp would decompress a piece of any size at once
                max_line_size=_LONGEST_LINE,
                max_field_size=_LONGEST_LINE,
                proxy=self.proxy.url if self.proxy and not self.proxy.skipped else None,
                # TLS has the same name without it. Neither a connection that the application has
                # left open is reused, nor one that the site keeps in spite of "Connection: close".
                server_hostname=NameForOneCall(url.raw_host) if self._given else None,
            )
        )
        if response.status == PROXY_AUTHENTICATION_REQUIRED:
            response.close()
            raise proxy_credentials_refused(self._route)
        return _Exchange(response, started)

    async def _read_whole(
        self,
        response: aiohttp.ClientResponse,
        credentials: int,
        *,
        largest: int = LARGEST_ANSWER,
    ) -> Answer:
        pieces: list[bytes] = []  # mostly one, and joining one copies nothing
        size = 0
        async for piece in Pieces(self, response):
            pieces.append(piece)
            size += len(piece)
            if size > largest:
                raise TransportError(f"the answer is larger than {largest} bytes", sent=True)
        host = response.url.host
        return Answer(response.status, response.headers, b"".join(pieces), credentials, host)

    async def in_words(self, exchange: Awaitable[T]) -> T:
        """Await `exchange`; raise errors of the network as a `TransportError`."""
        failure: EnrollError
        try:
            return await exchange
        except (aiohttp.ClientError, TimeoutError) as error:
            failure = translated(error, self._route)
        except (ValueError, RuntimeError) as error:  # raised by aiohttp before anything is sent
            failure = ConfigurationError(f"the request cannot be sent: {error}")
        except asyncio.CancelledError:
            if is_cancelled():
                raise
            words = f"a call to {self.site.origin()} was cut off: its session was closed"
            failure = TransportError(words, sent=True)
        # Raised outside of the `except`, where it would have aiohttp's exception as its context:
        # that can hold the request's headers, and so the token.
        raise failure

    def too_slow(self) -> TransportError:
        """The error for an exchange that exceeds its time-out."""
        return too_slow(self._route)
