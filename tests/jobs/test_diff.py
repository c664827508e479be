"""A diff: who is enrolled, against who is wanted, on MOOCit and on plain Open edX."""

import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from async_enroll import (
    Action,
    ConfigurationError,
    EnrollError,
    EnrollmentClient,
    RosterDiff,
    RosterEntry,
    RosterError,
)
from async_enroll.platform import lookups
from async_enroll.sandbox import Platform
from tests.jobs.between import between, cut, is_account, is_listing, is_own

C0, C1, C2 = COURSES = [f"course-v1:Org+C{number}+2026" for number in range(3)]
RELEASES = ("moocit", "2020", "2022", "2026")


def site(release: str = "moocit", learners: int = 400, **settings: Any) -> Platform:
    """A site of learners, the first 300 of them enrolled in three courses."""
    platform = Platform(release=release, window=None, username="staff", **settings)
    for course_id in COURSES:
        platform.add_course(course_id, cohorts=["red"])
    for number in range(learners):
        platform.add_user(f"learner{number:03}", f"learner{number:03}@example.org")
    for course_id in COURSES:
        for number in range(min(300, learners)):
            platform.enroll(f"learner{number:03}", course_id)
    return platform


def class_list() -> list[RosterEntry]:
    """Of 300 enrolled, 20 are missing; 40 are new; five are unknown."""
    known = [
        f"learner{number:03}" if number % 3 else f"Learner{number:03}@EXAMPLE.org"
        for number in range(20, 340)
    ]
    unknown = [f"new{number}@example.org" for number in range(5)]
    return [RosterEntry(who, C0) for who in (*known, *unknown)]


def entries(
    *identifiers: str, course: str = C0, action: Action = Action.ENROLL
) -> list[RosterEntry]:
    return [RosterEntry(identifier, course, action) for identifier in identifiers]


def names(some: Collection[RosterEntry]) -> set[str]:
    return {entry.identifier for entry in some}


async def diff(platform: Platform, roster: list[RosterEntry], **arguments: Any) -> RosterDiff:
    async with EnrollmentClient(platform.url, platform.token) as client:
        return await client.diff(roster, **arguments)


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("tells", [True, False])
async def test_a_class_list_against_who_is_enrolled(release: str, tells: bool) -> None:
    async with site(release, accounts_tell_addresses=tells) as platform:
        before = platform.enrollments
        found = await diff(platform, class_list(), remove=True)
        assert len(found.to_enroll) == 40
        assert names(found.not_listed) == {f"new{number}@example.org" for number in range(5)}
        assert names(found.to_unenroll) == {f"learner{number:03}" for number in range(20)}
        assert found.unchanged == 280
        assert (found.returning, found.kept, found.withheld) == ((), (), {})
        assert list(found.courses) == [C0]
        assert found.courses[C0].enrolled == 300
        assert not found.in_sync
        assert found.refused is None
        assert platform.enrollments == before
        assert {request.method for request in platform.requests} == {"GET"}


async def test_extras_are_told_also_without_remove() -> None:
    async with site(learners=12) as platform:
        roster = entries(*(f"learner{number:03}" for number in range(10)))
        found = await diff(platform, roster)
        assert names(found.to_unenroll) == {"learner010", "learner011"}
        assert found.removals == ()
        assert found.in_sync
        found = await diff(platform, roster, remove=True)
        assert names(found.removals) == {"learner010", "learner011"}
        assert not found.in_sync


@pytest.mark.parametrize("release", RELEASES)
async def test_who_was_enrolled_returns_and_who_cannot_be_seen_is_not_listed(release: str) -> None:
    async with site(release, learners=3) as platform:
        platform.add_user("asleep", "asleep@example.org", active=False)
        platform.add_user("gone", "gone@example.org", active=False)
        platform.enroll("gone", C0)
        platform.allow("waiting@example.org", C0)
        async with EnrollmentClient(platform.url, platform.token) as client:
            await client.bulk_unenroll(["learner001", "gone"], [C0])
            roster = entries(
                "Learner001@example.org", "asleep", "waiting@example.org", "nobody", "gone"
            )
            found = await client.diff(roster)
        assert names(found.to_enroll) == names(found.returning) == {"Learner001@example.org"}
        assert names(found.not_listed) == {"asleep", "waiting@example.org", "nobody", "gone"}


@pytest.mark.parametrize("release", RELEASES)
async def test_names_that_are_one_to_the_platform_are_named_and_stay(release: str) -> None:
    async with site(release, learners=20) as platform:
        platform.add_user("Zoë", "zoe@example.org")
        platform.add_user("jose", "josé@example.org")
        platform.enroll("Zoë", C0)
        platform.enroll("jose", C0)
        roster = [*entries(*(f"learner{number:03}" for number in range(20))), *entries("zoe")]
        found = await diff(platform, roster, remove=True, keep=["Jose@Example.org"])
        assert names(found.kept) == {"Zoë", "jose"}
        assert found.to_unenroll == ()
        assert found.in_sync


async def test_rows_to_unenroll_need_no_remove_count_and_lose_to_keep() -> None:
    async with site(learners=20) as platform:
        out = [f"learner{number:03}@example.org" for number in range(5)]
        roster = entries(*out, "stranger@example.org", "nobody", action=Action.UNENROLL)
        found = await diff(platform, roster)
        assert [entry.identifier for entry in found.removals] == []
        assert found.refused
        assert names(found.to_unenroll) == {*out, *(f"learner{n:03}" for n in range(5, 20))}
        found = await diff(platform, roster, keep=["LEARNER000", out[1]])
        assert names(found.removals) == set(out[2:])
        assert names(found.kept) == {"learner000", "learner001"}
        assert [(one.identifier, one.action) for one in found.not_listed] == [
            ("stranger@example.org", Action.UNENROLL)
        ]
        assert found.unchanged == 1  # nobody
        assert found.refused is None


@pytest.mark.parametrize("release", ["moocit", "2026"])
async def test_paid_modes_and_the_tokens_own_user_are_kept(release: str) -> None:
    async with site(release, learners=30) as platform:
        platform.add_user("staff", "staff@example.org")
        platform.add_user("paid", "paid@example.org")
        platform.add_user("honored", "honored@example.org")
        platform.enroll("staff", C0)
        platform.enroll("paid", C0, mode="verified")
        platform.enroll("honored", C0, mode="honor")
        roster = entries(*(f"learner{number:03}" for number in range(30)))
        found = await diff(platform, roster, remove=True)
        assert names(found.removals) == {"honored"}
        assert found.courses[C0].kept == {
            "staff": "is the token's own user",
            "paid": "is enrolled as verified, which enrolling again does not restore",
        }
        found = await diff(platform, roster, remove=True, remove_modes=["verified"])
        assert names(found.removals) == {"honored", "paid"}


async def test_only_courses_of_the_roster_or_those_given_are_compared() -> None:
    async with site(learners=12) as platform:
        roster = [*entries("learner000"), *entries("learner001", course=C1)]
        assert list((await diff(platform, roster)).courses) == [C0, C1]
        assert list((await diff(platform, roster, courses=[C1])).courses) == [C1]
        listed = {request.query for request in platform.requests if "enrollments" in request.path}
        assert not any("C2" in query for query in listed)
        found = await diff(platform, roster, courses=[C2], remove=True, max_removals=None)
        assert found.refused
        assert "the roster has no row to enroll" in str(found.refused)
        assert found.removals == ()
        found = await diff(platform, roster, courses=[C2])
        assert found.refused is None
        assert found.in_sync


async def test_nothing_to_compare_is_refused() -> None:
    async with site(learners=1) as platform:
        assert "names no course" in str((await diff(platform, [])).refused)
        assert platform.requests == []


async def test_a_site_without_accounts_is_compared_by_its_listing() -> None:
    async with site(core_listing=False) as platform:
        found = await diff(platform, class_list(), remove=True)
        assert len(found.to_enroll) == 45
        assert found.not_listed == ()
        assert len(found.to_unenroll) == 20
        assert found.removals == ()
        assert "the token's own user, who must not be removed, is unknown" in found.withheld[C0]


@pytest.mark.parametrize("release", ["moocit", "2026"])
async def test_a_listing_that_breaks_off_raises_or_is_told(release: str) -> None:
    async def change(request: web.Request, said: bytes) -> web.Response | None:
        return cut(said) if is_listing(request) and request.query.get("course_id") == C1 else None

    async with site(release) as platform, between(platform, change) as url:
        roster = [RosterEntry(one.identifier, key) for one in class_list() for key in (C0, C1)]
        async with EnrollmentClient(url, platform.token) as client:
            with pytest.raises(EnrollError):
                await client.diff(roster, remove=True)
            found = await client.diff(roster, remove=True, partial=True)
        assert list(found.withheld) == [C1]
        assert "its list of enrollments could not be read to its end" in found.withheld[C1]
        assert {entry.course_id for entry in found.removals} == {C0}


@pytest.mark.parametrize("release", ["moocit", "2026"])
@pytest.mark.parametrize("status", [500, 403, 200])
async def test_a_look_up_that_fails_withholds_the_removals_of_its_courses(
    release: str, status: int
) -> None:
    """Whatever page it is: others are answered, so the site does look accounts up."""

    async def answer(request: web.Request, _: bytes) -> web.Response | None:
        if "strange" not in request.query.get("email", ""):
            return None
        return web.Response(status=status, text="<title>Oh</title>", content_type="text/html")

    async with site(release, learners=20) as platform, between(platform, before=answer) as url:
        everybody = [f"learner{number:03}" for number in range(1, 20)]
        roster = [
            *entries(*everybody, "strange@example.org"),
            *entries(*everybody, "new@example.org", course=C1),
        ]
        async with EnrollmentClient(url, platform.token) as client:
            found = await client.diff(roster, remove=True)
        assert list(found.withheld) == [C0]
        assert "accounts of the roster could not be looked up" in found.withheld[C0]
        assert names(found.to_enroll) == {"strange@example.org"}
        assert names(found.not_listed) == {"new@example.org"}


async def test_where_the_own_user_is_unknown_nobody_is_removed() -> None:
    async def answer(request: web.Request, _: bytes) -> web.Response | None:
        return web.Response(status=404) if is_own(request) else None

    async with site() as platform, between(platform, before=answer) as url:
        async with EnrollmentClient(url, platform.token) as client:
            found = await client.diff(class_list(), remove=True)
        assert found.removals == ()
        assert list(found.withheld) == [C0]


async def test_an_older_platform_that_tells_of_the_own_user_is_not_believed() -> None:
    async def answer(request: web.Request, _: bytes) -> web.Response | None:
        return web.json_response([{"username": "staff"}]) if is_account(request) else None

    async with site("2020", learners=20, accounts_tell_addresses=False) as platform:
        async with (
            between(platform, before=answer) as url,
            EnrollmentClient(url, platform.token) as client,
        ):
            found = await client.diff(entries("learner000@example.org"), remove=True)
        assert names(found.to_enroll) == {"learner000@example.org"}
        assert found.removals == ()
        assert list(found.withheld) == [C0]


async def test_a_listing_that_ignores_the_filter_is_filtered() -> None:
    async with site(learners=20) as platform:
        platform.add_user("other", "other@example.org")
        platform.enroll("other", C1)
        record = (
            b'{"username": "other", "email": "other@example.org", "course_id": "%b", '
            b'"is_active": true, "mode": "audit", "created": null}' % C1.encode()
        )

        async def add(request: web.Request, said: bytes) -> web.Response | None:
            if not is_listing(request):
                return None
            body = said.rstrip(b"]") + b"," + record + b"]"
            return web.Response(body=body, content_type="application/json")

        async with between(platform, add) as url, EnrollmentClient(url, platform.token) as client:
            found = await client.diff(entries(*(f"learner{n:03}" for n in range(20))), remove=True)
        assert found.to_unenroll == ()
        assert found.courses[C0].enrolled == 20


async def test_who_is_to_be_kept_comes_from_a_file(tmp_path: Path) -> None:
    keep = tmp_path / "keep.txt"
    keep.write_text("\ufefflearner000\n\nLEARNER001@example.org  \n")
    async with site(learners=12) as platform:
        roster = entries(*(f"learner{number:03}" for number in range(3, 12)))
        found = await diff(platform, roster, remove=True, keep=keep)
        assert names(found.kept) == {"learner000", "learner001"}
        keep.write_text("\ufefflearner000\u200b\r\n \r\nJane <learner001@example.org>\r\n")
        found = await diff(platform, roster, remove=True, keep=keep)
        assert names(found.kept) == {"learner000", "learner001"}
        for line in (
            "learner001@example.org,Jane",
            "learner001;learner002",
            "# staff",
            "#learner001",
            "lear\u200bner001",
        ):
            keep.write_text(f"learner000\n{line}\n")
            with pytest.raises(ConfigurationError, match=r"keep .*keep\.txt, line 2: found .*"):
                await diff(platform, roster, keep=keep)
            with pytest.raises(ConfigurationError, match=r"keep: found .*"):
                await diff(platform, roster, keep=[line])
        keep.write_text("\n")
        with pytest.raises(ConfigurationError, match=r"keep .*keep\.txt: names nobody"):
            await diff(platform, roster, keep=keep)
        keep.write_bytes(b"PK\x03\x04\xff")
        with pytest.raises(ConfigurationError, match="not a text file"):
            await diff(platform, roster, keep=keep)
        with pytest.raises(ConfigurationError, match="No such file"):
            await diff(platform, roster, keep=tmp_path / "none.txt")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"courses": C0}, "courses is a single str"),
        ({"courses": [""]}, "courses holds an empty string"),
        ({"courses": [1]}, "courses holds a int"),
        ({"keep": "jane"}, "keep is a single str"),
        ({"keep": ["\u200b"]}, "keep holds an empty string"),
        ({"remove": 1}, "remove is a int"),
        ({"max_removals": "20%"}, "max_removals is a str"),
        ({"max_removals": 20.0}, "max_removals is 20.0"),
        ({"remove_modes": "verified"}, "remove_modes is a single str"),
    ],
)
async def test_unusable_arguments(arguments: dict[str, Any], words: str) -> None:
    async with site(learners=1) as platform:
        with pytest.raises(ConfigurationError, match=words):
            await diff(platform, entries("learner000"), **arguments)
        with pytest.raises(RosterError):
            await diff(platform, entries("a") + entries("A", action=Action.UNENROLL))
        assert platform.requests == []


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("courses", [None, [C0]])
async def test_a_course_that_is_spelled_in_two_ways_is_refused(
    release: str, courses: list[str] | None
) -> None:
    """The platform lists one course for both; each half of the class would lose its place."""
    async with site(release, learners=8) as platform:
        everybody = [f"learner{number:03}" for number in range(8)]
        roster = [*entries(*everybody[:4]), *entries(*everybody[4:], course=C0.lower())]
        with pytest.raises(RosterError, match=re.escape(f"{C0.lower()} also as {C0}")):
            await diff(platform, roster, remove=True, courses=courses)
        with pytest.raises(RosterError, match=re.escape(f"{C0} also as {C0.lower()}")):
            await diff(platform, entries(*everybody), courses=[C0.lower()])


@pytest.mark.parametrize("release", ["moocit", "2022", "2026"])
@pytest.mark.parametrize("mode", ["audit", "verified"])
async def test_who_is_said_to_have_no_account_may_be_enrolled_all_the_same(
    release: str, mode: str
) -> None:
    """Some sites hide accounts. A row to unenroll an address is no withdrawal by such a word."""

    async def change(request: web.Request, body: bytes) -> web.Response | None:
        if not is_account(request):
            return None
        found = [one for one in json.loads(body) if one["username"] != "hidden"]
        return web.json_response(found) if found else web.Response(status=404)

    async with site(release, learners=12) as platform, between(platform, change) as url:
        platform.add_user("hidden", "hidden@example.org")
        platform.enroll("hidden", C0, mode=mode)
        roster = entries("hidden@example.org", "new@example.org", action=Action.UNENROLL)
        async with EnrollmentClient(url, platform.token) as client:
            found = await client.diff(roster, max_removals=None)
        kept = found.courses[C0].kept
        if release == "moocit":  # its listing tells who has which address
            removed = {"hidden@example.org"} if mode == "audit" else set()
            assert names(found.removals) == removed
            assert kept.keys() == ({"hidden"} if mode == "verified" else set())
            assert names(found.not_listed) == {"new@example.org"}
        else:
            assert list(found.changes) == []
            for who in ("hidden@example.org", "new@example.org"):
                assert kept[who].startswith("may be enrolled")


@pytest.mark.parametrize("release", ["moocit", "2022", "2026"])
async def test_a_site_that_finds_others_by_address_is_believed(release: str) -> None:
    async with site(release, learners=12) as platform:
        platform.add_user("elsewhere", "elsewhere@example.org")
        roster = entries("elsewhere@example.org", "new@example.org", action=Action.UNENROLL)
        found = await diff(platform, roster)
        assert names(found.not_listed) == {"new@example.org"}
        assert found.courses[C0].kept == {}


@pytest.mark.parametrize(
    ("release", "tells"), [("moocit", False), ("2022", True), ("2022", False), ("2026", False)]
)
async def test_not_all_addresses_of_a_long_roster_are_looked_up(
    monkeypatch: pytest.MonkeyPatch, release: str, tells: bool
) -> None:
    monkeypatch.setattr(lookups, "MOST_ADDRESSES", 5)
    async with site(release, learners=40, accounts_tell_addresses=tells) as platform:
        new = [f"new{number}@example.org" for number in range(8)]
        everybody = [f"learner{number:03}" for number in range(1, 40)]
        found = await diff(platform, entries(*new, *everybody), remove=True)
        asked = [one for one in platform.requests if "email=" in one.query]
        assert len(asked) == 5
        assert names(found.not_listed) == set(new[:5])
        assert names(found.to_enroll) == names(found.not_looked_up) == set(new[5:])
        withheld = release != "moocit" and not tells
        assert names(found.removals) == (set() if withheld else {"learner000"})
        if withheld:
            assert found.withheld[C0] == (
                "accounts of the roster could not be looked up: too many addresses; at most 5 are "
                "looked up"
            )
