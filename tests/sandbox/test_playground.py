"""The sandbox's page: what it shows, to whom, and what it leaves as it is."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from html import unescape
from http import HTTPStatus
from urllib.parse import quote

import aiohttp
import anyio
import pytest
from selenium import webdriver

from async_enroll import ConfigurationError, EnrollmentClient
from async_enroll.sandbox import Fault, Faults, Platform
from tests.browser import Browser, chromium

C0, C1 = COURSES = [f"course-v1:Org+C{number}+2026" for number in range(2)]
HOSTILE = "<script>alert(1)</script>"
REASON = '"><img src=x onerror=alert(2)> {{ 7 * 7 }}'


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    faults = Faults.schedule({2: Fault.RESET_AFTER})
    async with Platform(playground=True, faults=faults) as platform:
        for course_id in COURSES:
            platform.add_course(course_id, cohorts=["red"])
        for number in range(260):
            platform.add_user(f"learner{number}", f"learner{number}@example.org")
        yield platform


@asynccontextmanager
async def opened(platform: Platform) -> AsyncIterator[EnrollmentClient]:
    async with EnrollmentClient(platform.url, platform.token, settle=0.2) as client:
        yield client


async def page(platform: Platform, query: str = "") -> str:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{platform.url}/{query}") as answer,
    ):
        assert answer.status == HTTPStatus.OK
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        return await answer.text()


async def test_what_happens_is_shown(platform: Platform) -> None:
    platform.enroll("learner1", C1)
    before = await page(platform)
    for words in ("No call has changed any yet", "No mail has left", "Nobody has called yet"):
        assert words in before
    async with opened(platform) as client:
        await client.bulk_enroll(
            ["learner1@example.org", "new@example.org"],
            [C0],
            cohorts={C0: "red"},
            email_students=True,
            reason=REASON,
        )
        await client.bulk_unenroll(["learner1"], [C1])
    after = unescape(await page(platform))
    for words in ("new@example.org", REASON, "POST ", "bulk_enroll/v1", "RESET_AFTER 1."):
        assert words in after
    of_course = await page(platform, f"?course_id={quote(C0, safe='')}")
    assert "<bdi>learner1@example.org</bdi></td><td>enrolled</td><td><bdi>red</bdi>" in of_course
    assert "<bdi>new@example.org</bdi></td><td>waiting</td><td><bdi>red</bdi>" in of_course
    assert "<td>unenrolled</td>" in await page(platform, f"?course_id={quote(C1, safe='')}")
    assert "Nobody is enrolled" in await page(platform, "?course_id=course-v1:No+Such+1")
    platform.add_user("new", "new@example.org")
    assert "<td>waiting</td>" not in await page(platform, f"?course_id={quote(C0, safe='')}")


async def test_a_page_of_a_large_site_is_small(platform: Platform) -> None:
    async with opened(platform) as client:
        await client.bulk_enroll([f"learner{n}" for n in range(260)], [C0], email_students=True)
    whole = await page(platform)
    assert "The latest 50 of 260 mails" in whole
    assert "learner259@example.org" in whole
    assert "learner9@example.org" not in whole
    assert "And 60 more" in await page(platform, f"?course_id={quote(C0, safe='')}")


async def test_a_course_there_is_not_shows_who_is_in_it_all_the_same() -> None:
    async with Platform(release="2025", playground=True) as platform:
        platform.add_user("jane", "jane@example.org")
        async with aiohttp.ClientSession(platform.url) as session:
            body = {"action": "enroll", "identifiers": "jane", "courses": C0, "auto_enroll": True}
            async with session.post(
                "/api/bulk_enroll/v1/bulk_enroll",
                json={**body, "email_students": False},
                headers={"Authorization": f"Bearer {platform.token}"},
            ) as answer:
                assert answer.status == HTTPStatus.OK
        assert "there is no such course" in await page(platform)


async def test_the_page_changes_nothing(platform: Platform) -> None:
    for _ in range(3):
        await page(platform)
    assert not platform.requests
    async with aiohttp.ClientSession(platform.url) as session:
        for method, path in (("POST", "/"), ("GET", "/no/such/page"), ("PUT", "/")):
            async with session.request(method, path) as answer:
                assert answer.status == HTTPStatus.NOT_FOUND
                assert answer.content_type == "text/html"
    assert platform.token not in await page(platform)


async def test_there_is_no_page_unless_it_is_asked_for() -> None:
    async with Platform() as platform, aiohttp.ClientSession(platform.url) as session:
        async with session.get("/") as answer:
            assert answer.status == HTTPStatus.NOT_FOUND
        assert [request.path for request in platform.requests] == ["/"]


def test_without_jinja2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "async_enroll.sandbox.playground.page", None)
    Platform()
    with pytest.raises(ConfigurationError, match=r"needs jinja2: pip install"):
        Platform(playground=True)


@pytest.fixture(scope="module")
def driver() -> Iterator[webdriver.Chrome]:
    with chromium() as driver:
        yield driver


@pytest.fixture
def served(driver: webdriver.Chrome) -> Iterator[tuple[Browser, Platform]]:
    """A platform in a thread of its own, since Selenium blocks."""
    with Platform(playground=True) as platform:
        for course_id in COURSES:
            platform.add_course(course_id)
        for number in range(60):
            platform.add_user(f"learner{number}", f"learner{number}@example.org")
        yield Browser(driver), platform


def enroll(platform: Platform, *identifiers: str, reason: str | None = None) -> None:
    async def enrolling() -> None:
        async with opened(platform) as client:
            await client.bulk_enroll(identifiers, [C0], email_students=True, reason=reason)

    anyio.run(enrolling)


def test_the_page_follows_what_happens(served: tuple[Browser, Platform]) -> None:
    browser, platform = served
    browser.open(f"{platform.url}/")
    assert browser.texts("#courses tbody .number") == ["0"] * 6
    browser.run("document.querySelector('#courses').dataset.kept = 'no'")
    browser.run("document.querySelector('h1').dataset.kept = 'yes'")
    enroll(platform, "learner1", "x1@example.org", reason=REASON)
    browser.until(lambda: browser.texts("#courses tbody .number")[:2] == ["1", "1"])
    browser.until(lambda: len(browser.texts("#outbox tbody tr")) == 2)
    assert browser.texts("#enrollments td:last-child") == [REASON] * 2  # as text, not as a tag
    assert browser.run("return document.querySelector('h1').dataset.kept") == "yes"
    assert not browser.seen("img")
    browser.run(f"document.querySelector(\"a[href*='{quote(C0)}']\").click()")
    browser.until(lambda: bool(browser.texts("#courses .chosen")))
    assert browser.texts("#enrollments tbody tr td:nth-child(3)") == ["enrolled", "waiting"]
    enroll(platform, "learner2")
    browser.until(lambda: len(browser.texts("#enrollments tbody tr")) == 3)
    assert browser.complaints() == []


def test_a_place_in_the_page_is_kept_while_nothing_changes(
    served: tuple[Browser, Platform],
) -> None:
    browser, platform = served
    enroll(platform, *[f"learner{number}" for number in range(60)])
    browser.open(f"{platform.url}/")
    browser.until(lambda: bool(browser.seen("#outbox .wide")))
    browser.run("document.querySelector('#outbox .wide').scrollTop = 200")
    asked = "return performance.getEntriesByType('resource').length"
    browser.until(lambda: int(browser.run(asked)) >= 2)
    assert browser.run("return document.querySelector('#outbox .wide').scrollTop") == 200


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1440])
def test_the_page_fits(served: tuple[Browser, Platform], width: int, *, dark: bool) -> None:
    browser, platform = served
    enroll(platform, *[f"{'x' * 200}{number}@example.org" for number in range(9)], HOSTILE)
    browser.open(f"{platform.url}/", width=width, dark=dark)
    assert browser.run("return document.documentElement.scrollWidth") <= width
    boxes = browser.run(
        "return [...document.querySelectorAll('h1, h2, header p, .figures div, .wide')]"
        ".map((one) => one.getBoundingClientRect()).filter((one) => one.height)"
        ".map((one) => [one.left, one.top, one.right, one.bottom])"
    )
    assert len(boxes) > 12
    for number, (left, top, right, bottom) in enumerate(boxes):
        assert 0 <= left < right <= width
        for other in boxes[number + 1 :]:
            apart = right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top
            assert apart
    ground = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(20, 23, 27)") == dark
    assert browser.complaints() == []


def test_a_sandbox_that_is_stopped_is_told_as_such(served: tuple[Browser, Platform]) -> None:
    browser, platform = served
    browser.open(f"{platform.url}/")
    assert not browser.seen("#gone")
    anyio.run(platform.crash)
    browser.until(lambda: bool(browser.seen("#gone")))
    anyio.run(platform.restart)
    browser.until(lambda: not browser.seen("#gone"))
    browser.complaints()  # the browser's own, of the network
