"""What goes wrong on the way to a site, in words: aiohttp's exceptions become ours. Pure."""

from __future__ import annotations

import aiohttp
from attrs import frozen
from yarl import URL

from async_enroll.errors import ConfigurationError, EnrollError, TransportError
from async_enroll.http.proxy import Proxy

PROXY_AUTHENTICATION_REQUIRED = 407


@frozen
class Way:
    """How a site is reached, and how many seconds a call to it may take."""

    site: URL
    proxy: Proxy | None
    timeout: float


def too_slow(way: Way) -> TransportError:
    """The failure of an exchange that takes longer than it may."""
    site = way.site.origin()
    words = f"no answer from {site} within {way.timeout:g} s"
    return TransportError(words, sent=True, timed_out=True)


def not_let_through(way: Way) -> ConfigurationError:
    """The failure of an exchange that a proxy wants credentials for."""
    proxy = f"the proxy {way.proxy.name}" if way.proxy else "the proxy"
    return ConfigurationError(
        f"{proxy} asks for a user and password, or does not accept them; expected "
        "something like http://user:password@proxy.example.org:3128"
    )


def explained(error: Exception, way: Way) -> EnrollError:
    """What an exception of aiohttp's says of an exchange, and whether the request was sent."""
    site = way.site.origin()
    if isinstance(error, aiohttp.ClientHttpProxyError):
        if error.status == PROXY_AUTHENTICATION_REQUIRED:
            return not_let_through(way)
        proxy = way.proxy.name if way.proxy else "of the session"
        words = f"the proxy {proxy} does not lead to {site}: {error.status} {error.message}"
        return TransportError(words, sent=False)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return TransportError(_without_address(error.host, way), sent=False)
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        words = f"no connection to the proxy {error.host}:{error.port}: {error.os_error}"
        return TransportError(words, sent=False)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = error.certificate_error
        return TransportError(
            f"{site} shows no valid certificate: {reason}; where an authority of your own "
            "has signed it, name a file with that authority's certificate in SSL_CERT_FILE",
            sent=False,
        )
    if isinstance(error, aiohttp.ClientSSLError):
        return TransportError(f"no TLS with {site}: {error.os_error}", sent=False)
    if isinstance(error, aiohttp.ClientConnectorError):
        return TransportError(f"no connection to {site}: {error.os_error}", sent=False)
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        seconds = way.timeout / 2
        return TransportError(f"no connection to {site} within {seconds:g} s", sent=False)
    if isinstance(error, TimeoutError):
        return too_slow(way)
    if isinstance(error, aiohttp.ClientPayloadError):
        return TransportError(f"the answer from {site} was cut short", sent=True)
    if isinstance(error, aiohttp.ClientResponseError):
        return TransportError(f"what answers at {site} does not speak HTTP", sent=True)
    return TransportError(f"{site} closed the connection without an answer", sent=True)


def _without_address(host: str, way: Way) -> str:
    if way.proxy is None:
        return f"{host} has no address; check the URL"
    if way.proxy.skipped:
        return f"{host} has no address; check the URL; {way.proxy}, and NO_PROXY exempts this host"
    return f"the proxy {host} has no address; {way.proxy}"
