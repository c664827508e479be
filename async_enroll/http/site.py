"""The address of a site, checked before anything is sent to it. Pure."""

from __future__ import annotations

import ipaddress

from yarl import URL

from async_enroll.errors import ConfigurationError


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


# Where pages of the LMS and its administration begin, of which people copy the address.
_PAGES = frozenset(
    ["account", "admin", "api", "courses", "dashboard", "login", "logout", "register"]
)


def _site_of_page(url: URL) -> str | None:
    """The site that a page's address, as browsers show it, belongs to; None for a site's own."""
    names = url.raw_path.removesuffix("/").split("/")[1:]
    for count, name in enumerate(names):
        if not name or name in _PAGES:
            return "/".join([str(url.origin()), *names[:count]])
    return None


def is_loopback(host: str) -> bool:
    """Whether this machine is meant."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
