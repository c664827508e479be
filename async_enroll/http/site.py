"""Validation of a site's URL, before anything is sent to it. Pure."""

from __future__ import annotations

import ipaddress

from yarl import URL

from async_enroll.errors import ConfigurationError


def site_url(base_url: str, *, allow_http: bool) -> URL:
    """Parse and check the URL of a site; surrounding white space is removed.

    Plain http exposes the token on the network, so it is accepted for loopback addresses only,
    unless `allow_http`.

    Raises:
        ConfigurationError: with what was found and what is expected.

    """
    try:
        url = URL(base_url.strip())
        port = url.port
    except ValueError:
        url, port = URL(), None
    if url.user or url.password:
        raise ConfigurationError("the site's URL holds a user or password; give the token as auth")
    expected = "expected something like https://courses.example.org"
    if url.scheme not in ("http", "https") or not _is_host(url.host or "") or port == 0:
        raise ConfigurationError(f"{base_url!r} is no site's URL; {expected}")
    if (site := _site_of_page(url)) is not None:
        raise ConfigurationError(f"{base_url!r} is a page of a site; did you mean {site}?")
    if url.raw_query_string or url.raw_fragment:
        raise ConfigurationError(f"{base_url!r} holds a query or fragment; {expected}")
    if url.scheme == "http" and not allow_http and not is_loopback(url.host or ""):
        raise ConfigurationError(
            f"{base_url!r} is plain http, which would send the token in the clear; "
            "use https or, knowingly, allow_http (--allow-http)"
        )
    return url


def _is_host(host: str) -> bool:
    try:
        return host.isprintable() and " " not in host and bool(host.encode("idna"))
    except UnicodeError:
        return False


# First path segments of pages of the LMS and its administration, whose URLs people copy.
_PAGES = frozenset(
    ["account", "admin", "api", "courses", "dashboard", "login", "logout", "register"]
)


def _site_of_page(url: URL) -> str | None:
    """The site of a page's URL, as copied from a browser; None if `url` is a site's own."""
    names = url.raw_path.removesuffix("/").split("/")[1:]
    for count, name in enumerate(names):
        if not name or name in _PAGES:
            return "/".join([str(url.origin()), *names[:count]])
    return None


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine: a loopback IP address, or ``localhost``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
