"""The way from page to page of a listing: on the site itself, and never in a circle. Pure."""

from __future__ import annotations

from yarl import URL

from async_enroll.errors import UnexpectedResponse


class PageLinks:
    """Follows the pages of a listing that begins at `page`, which is on the site.

    Of the pages gone by, a single one is remembered, a later one each time twice as many
    have gone by: a circle is noticed before it has been gone through often (Brent).
    """

    def __init__(self, page: URL) -> None:
        self.page: URL = page
        self._remembered = page
        self._since = 0
        self._until = 1

    def follow(self, address: str | None) -> bool:
        """Go on to the page that this one names; False where it names none.

        Raises:
            UnexpectedResponse: where it is of another site or no address, or the pages lead
                in a circle.

        """
        if address is None:
            return False
        if not address.isprintable() or " " in address:
            # Of these, some are dropped on the way, and some end up in the request as they are.
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
        """A page as the site is to be asked for it.

        Behind a proxy that ends TLS, sites often name themselves with http: the host is
        what counts, and the site's own scheme is what is used.
        """
        site = self.page
        same_port = there.port == site.port or there.explicit_port is None
        if there.host != site.host or not same_port:
            raise UnexpectedResponse(
                f"expected a page of {site.origin()}, found {there.origin()}", path="next"
            )
        return there.with_scheme(site.scheme).with_user(None).with_port(site.explicit_port)
