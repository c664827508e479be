"""The proxy that the environment names for a site."""

from __future__ import annotations

from typing import Self
from urllib.request import getproxies, proxy_bypass

from attrs import field, frozen
from yarl import URL

from async_enroll.errors import ConfigurationError
from async_enroll.http.site import is_loopback


@frozen
class Proxy:
    """A proxy, from the environment; shows neither its user nor its password.

    `variable` names it there. `skipped`: whether ``NO_PROXY`` exempts the site.
    """

    variable: str
    url: URL = field(repr=False)
    skipped: bool = False

    @classmethod
    def for_site(cls, site: URL) -> Self | None:
        """The proxy of ``HTTPS_PROXY`` or ``HTTP_PROXY``; None where there is none for `site`.

        Loopback is never reached through a proxy.

        Raises:
            ConfigurationError: where the variable names no proxy that can be used.

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
        """Host and port."""
        return f"{self.url.host}:{self.url.port}"

    def __str__(self) -> str:
        """What the variable says, without user and password."""
        return f"{self.variable} is set to {self.url.origin()}"
