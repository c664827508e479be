"""What sets the platform's releases apart, as plain data.

Open edX's own code of four dates was run and asked the same things (the transcripts);
MOOCit's instance is known from its published reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import frozen


@frozen
class Release:
    """A release of the platform; see `RELEASES`.

    `paths`: where the bulk endpoint is routed. `so2_listing`: whether it has MOOCit's
    enrollment listing.
    """

    name: str
    paths: tuple[str, ...]
    so2_listing: bool = False


_BARE: Final = "/api/bulk_enroll/v1/bulk_enroll"
_SLASHED: Final = f"{_BARE}/"

RELEASES: Final[Mapping[str, Release]] = {
    release.name: release
    for release in (
        # MOOCit's reference has the slash. Its other form is a plain 404 here: whether
        # their site redirects to the slash (Django's APPEND_SLASH) is not known, and a
        # redirected POST would be none.
        Release("moocit", paths=(_SLASHED,), so2_listing=True),
        # Cases "real path, …": both forms up to 2020, later the one without.
        Release("2020", paths=(_BARE, _SLASHED)),
        Release("2022", paths=(_BARE,)),
        Release("2025", paths=(_BARE,)),
        Release("2026", paths=(_BARE,)),
    )
}
"""The releases by name.

`moocit` is `2022` with MOOCit's listing and path. `2020` is the code of August 2020
(Juniper), `2022` of July 2022 (between Nutmeg and Olive; it stood until mid-2025), `2025`
after openedx-platform PR 37074, `2026` after PR 37216.
"""


def release_named(name: str) -> Release:
    """The release of that name; raises ValueError, which names them all."""
    try:
        return RELEASES[name]
    except KeyError:
        known = ", ".join(map(repr, RELEASES))
        raise ValueError(f"release {name!r} is not known; there are {known}") from None
