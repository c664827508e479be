"""Translation of aiohttp's exceptions into ours, with messages for users. Pure.

Used by `http.transport`; `http.failures` classifies the resulting `TransportError`.
"""

from __future__ import annotations

import aiohttp
import msgspec
from yarl import URL

from async_enroll.errors import ConfigurationError, EnrollError, TransportError
from async_enroll.http.proxy import Proxy

PROXY_AUTHENTICATION_REQUIRED = 407


class Route(msgspec.Struct, frozen=True):
    """The route to a site: its URL, its proxy if any, and the time-out of a call in seconds."""

    site: URL
    proxy: Proxy | None
    timeout: float


def too_slow(route: Route) -> TransportError:
    """The error for an exchange that exceeds its time-out."""
    site = route.site.origin()
    words = f"no answer from {site} within {route.timeout:g} s"
    return TransportError(words, sent=True, timed_out=True)


def proxy_credentials_refused(route: Route) -> ConfigurationError:
    """The error for a proxy that requires other credentials, or any."""
    proxy = f"the proxy {route.proxy.name}" if route.proxy else "the proxy"
    return ConfigurationError(
        f"{proxy} asks for a user and password, or does not accept them; expected "
        "something like http://user:password@proxy.example.org:3128"
    )


def translated(error: Exception, route: Route) -> EnrollError:
    """Our error for an exception of aiohttp's, with whether the request was sent."""
    site = route.site.origin()
    if isinstance(error, aiohttp.ClientHttpProxyError):
        if error.status == PROXY_AUTHENTICATION_REQUIRED:
            return proxy_credentials_refused(route)
        proxy = route.proxy.name if route.proxy else "of the session"
        words = f"the proxy {proxy} does not lead to {site}: {error.status} {error.message}"
        return TransportError(words, sent=False)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return TransportError(_without_address(error.host, route), sent=False)
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
        seconds = route.timeout / 2
        return TransportError(f"no connection to {site} within {seconds:g} s", sent=False)
    if isinstance(error, TimeoutError):
        return too_slow(route)
    if isinstance(error, aiohttp.ClientPayloadError):
        return TransportError(f"the answer from {site} was cut short", sent=True)
    if isinstance(error, aiohttp.ClientResponseError):
        return TransportError(f"what answers at {site} does not speak HTTP", sent=True)
    return TransportError(f"{site} closed the connection without an answer", sent=True)


def _without_address(host: str, route: Route) -> str:
    if route.proxy is None:
        return f"{host} has no address; check the URL"
    if route.proxy.skipped:
        return (
            f"{host} has no address; check the URL; {route.proxy}, and NO_PROXY exempts this host"
        )
    return f"the proxy {host} has no address; {route.proxy}"
