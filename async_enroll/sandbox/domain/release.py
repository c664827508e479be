"""The differences between releases of the platform, as data.

Open edX's own code of four dates was run and asked the same things (the transcripts). MOOCit's
instance is known from its published reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import evolve, frozen


@frozen
class Release:
    """A release of the platform; see `RELEASES`.

    `paths` are the routes of the bulk endpoint. `so2_listing`: whether it has MOOCit's enrollment
    listing. `list_filters`: whether the core list supports ``email`` and ``page_size``; other
    releases ignore them (cases "list email", "list page_size").

    Bulk calls: `asks_for_course`: whether each course and the permission for it are looked up
    (later, courses are only looked up for their mail). `reads_body_twice`: flags and identifiers
    are used as they are in the body, where ``"TRUE"`` and ``"1"`` are false and a number cannot be
    split, although the answer reports the validated values; `reason` and `role` are not validated.
    `refuses_roles`: a `role` is an error. `enrolls_inactive`: accounts that are not activated are
    enrolled, not allowed. `savepoints`: each learner succeeds or fails alone, results say how, and
    ``async_processing`` is supported.
    """

    name: str
    paths: tuple[str, ...]
    so2_listing: bool = False
    list_filters: bool = False
    asks_for_course: bool = False
    reads_body_twice: bool = False
    refuses_roles: bool = False
    enrolls_inactive: bool = False
    savepoints: bool = False


_BARE: Final = "/api/bulk_enroll/v1/bulk_enroll"
_SLASHED: Final = f"{_BARE}/"

# MOOCit's reference has the slash. Its other form is a plain 404 here: whether their site
# redirects to the slash (Django's APPEND_SLASH) is not known, and a redirected POST is none.
_MOOCIT: Final = Release(
    "moocit", paths=(_SLASHED,), so2_listing=True, asks_for_course=True, reads_body_twice=True
)

# Cases "real path, …": both forms up to 2020, later the one without.
_2022: Final = evolve(_MOOCIT, name="2022", paths=(_BARE,), so2_listing=False)
_2020: Final = evolve(
    _2022, name="2020", paths=(_BARE, _SLASHED), refuses_roles=True, enrolls_inactive=True
)
_2025: Final = Release("2025", paths=(_BARE,), list_filters=True)
_2026: Final = evolve(_2025, name="2026", savepoints=True)

RELEASES: Final[Mapping[str, Release]] = {
    release.name: release for release in (_MOOCIT, _2020, _2022, _2025, _2026)
}
"""The releases by name.

`moocit` is `2022` with MOOCit's listing and path. `2020` is the code of August 2020 (Juniper);
`2022` that of July 2022 (between Nutmeg and Olive; unchanged until mid-2025); `2025` follows
openedx-platform PR 37074; `2026` follows PR 37216.
"""


def release_named(name: str) -> Release:
    """Return the release of this name. Raises ValueError that lists all names."""
    try:
        return RELEASES[name]
    except KeyError:
        known = ", ".join(map(repr, RELEASES))
        raise ValueError(f"release {name!r} is not known; there are {known}") from None
