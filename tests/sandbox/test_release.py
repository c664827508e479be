"""The platform's releases: what they are called, and where they answer."""

import pytest

from async_enroll.sandbox import RELEASES, Platform
from tests.sandbox.raw import BULK, C1, HEADERS, LISTING, small_platform, speaking_to

BARE = BULK.rstrip("/")
CALL = b'{"action": "enroll", "courses": "%s", "identifiers": "Jane"}' % C1.encode()


def test_the_default_is_moocit() -> None:
    assert Platform().release is RELEASES["moocit"]


@pytest.mark.parametrize("name", ["", "2024", "MOOCit"])
def test_another_release_is_refused_with_the_names_of_all(name: str) -> None:
    with pytest.raises(ValueError, match="'moocit', '2020', '2022', '2025', '2026'"):
        Platform(release=name)


@pytest.mark.parametrize(
    ("release", "routed"),
    [
        ("moocit", {BULK}),
        ("2020", {BARE, BULK}),
        ("2022", {BARE}),
        ("2025", {BARE}),
        ("2026", {BARE}),
    ],
)
async def test_the_bulk_endpoint_is_where_the_release_routes_it(
    release: str, routed: set[str]
) -> None:
    async with small_platform(release=release) as platform, speaking_to(platform) as raw:
        for path in (BARE, BULK):
            answer = await raw.request("POST", path, data=CALL)
            assert answer.status == (200 if path in routed else 404)
            assert answer.is_page is (path not in routed)
            # Nobody is asked who they are where nothing is.
            answer = await raw.using(None).request("POST", path, data=CALL)
            assert answer.status == (401 if path in routed else 404)


async def test_calls_to_the_other_path_are_neither_throttled_nor_bulk_calls() -> None:
    async with small_platform(release="2026") as platform, speaking_to(platform) as raw:
        for _ in range(130):
            assert (await raw.request("POST", BULK, data=CALL)).status == 404
        assert (await raw.request("POST", BARE, data=CALL)).status == 200


@pytest.mark.parametrize("release", RELEASES)
async def test_moocit_alone_has_the_so2_listing(release: str) -> None:
    async with small_platform(release=release) as platform, speaking_to(platform) as raw:
        answer = await raw.request("GET", LISTING, headers=HEADERS)
        assert answer.status == (200 if release == "moocit" else 404)
