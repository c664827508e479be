"""The proxy that the environment configures for a site. Used by `http.transport`."""

from __future__ import annotations

from typing import Self
from urllib.request import getproxies, proxy_bypass

from attrs import field, frozen
from yarl import URL

from async_enroll.errors import ConfigurationError
from async_enroll.http.site import is_loopback


@frozen
class Proxy:
    """A proxy from the environment; its repr shows neither user nor password.

    `variable`: the environment variable that names it. `skipped`: whether ``NO_PROXY`` exempts
    the site.
    """

    variable: str
    url: URL = field(repr=False)
    skipped: bool = False

    @classmethod
    def for_site(cls, site: URL) -> Self | None:
        """The proxy of ``HTTPS_PROXY`` or ``HTTP_PROXY`` for `site`; None if there is none.

        Loopback addresses are never reached through a proxy.

        Raises:
            ConfigurationError: if the variable is not the URL of a usable proxy.

        """
        host, variable = site.host or "", f"{site.scheme.upper()}_PROXY"
        named = getproxies().get(site.scheme, "").strip()
        if not named or is_loopback(host):
            return None
        try:
            url = URL(named if "://" in named else f"http://{named}")
            usable = url.scheme in ("http", "https") and bool(url.host) and url.port != 0
        except ValueError:
            usable = False
        # What was found is not shown: it may hold a password.
        if not usable:
            raise ConfigurationError(
                f"{variable} names no proxy that can be used; "
                "expected something like http://proxy.example.org:3128"
            )
        return cls(variable, url, bool(proxy_bypass(f"{host}:{site.port}")))

    @property
    def name(self) -> str:
        """Host and port, as ``host:port``."""
        return f"{self.url.host}:{self.url.port}"

    def __str__(self) -> str:
        """The variable and its value, without user and password."""
        return f"{self.variable} is set to {self.url.origin()}"
