"""Follows the page links of a listing: only within the site, and never in a loop. No I/O.

Takes the `next` of each page; gives the URL that the listing requests next.
"""

from __future__ import annotations

import re

from yarl import URL

from async_enroll.errors import UnexpectedResponse

_NUMBER = re.compile(r"(?<=[?&]page=)\d{1,9}(?=&|$)")


def page_after(page: URL, pages: int | None) -> URL | None:
    """The URL of the page after `page`, if they are numbered and there are more, of `pages`."""
    if pages is None or not (number := _NUMBER.search(str(page))) or int(number[0]) >= pages:
        return None
    address = f"{page}"
    following = f"{address[: number.start()]}{int(number[0]) + 1}{address[number.end() :]}"
    return URL(following, encoded=True)


class PageLinks:
    """The current `page` of a listing, and the way to the next; starts at a URL of the site.

    Detects loops by Brent's algorithm: it remembers a single earlier page, and replaces it
    after 1, 2, 4, … pages.
    """

    def __init__(self, page: URL) -> None:
        self.page: URL = page
        self._remembered = page
        self._since = 0
        self._until = 1

    def follow(self, address: str | None) -> bool:
        """Advance to the page at `address`, the `next` of this one; False if that is None.

        Raises:
            UnexpectedResponse: if it is no valid URL or on another site, or the pages form a
                loop.

        """
        if address is None:
            return False
        if not address.isprintable() or " " in address:
            # yarl would drop some of these characters and send others unencoded.
            words = f"expected an address, found {address[:60]!r}"
            raise UnexpectedResponse(words, path="next")
        try:
            self.page = self._on_site(self.page.join(URL(address, encoded=True)))
        except ValueError as error:
            raise UnexpectedResponse(f"expected an address: {error}", path="next") from None
        if self.page == self._remembered:
            raise UnexpectedResponse("the pages lead in a circle", path="next")
        self._since += 1
        if self._since == self._until:
            self._remembered = self.page
            self._since, self._until = 0, 2 * self._until
        return True

    def _on_site(self, there: URL) -> URL:
        """The URL of a page with scheme and port of the site.

        Sites behind a proxy that terminates TLS often link to themselves with http. So the
        hosts must be equal, and the scheme is the one that the site is called with.
        """
        site = self.page
        same_port = there.port == site.port or there.explicit_port is None
        if there.host != site.host or not same_port:
            raise UnexpectedResponse(
                f"expected a page of {site.origin()}, found {there.origin()}", path="next"
            )
        return there.with_scheme(site.scheme).with_user(None).with_port(site.explicit_port)
