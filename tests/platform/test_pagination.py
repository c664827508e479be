"""From page to page."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from async_enroll import UnexpectedResponse
from async_enroll.platform.pagination import PageLinks, page_after

START = URL("https://courses.example.org/openedx/api/list?course_id=a%2Bb")


@given(st.integers(0, 300))
def test_a_long_way_is_no_circle(length: int) -> None:
    links = PageLinks(START)
    assert all(links.follow(f"?page={number}") for number in range(length))
    assert not links.follow(None)


@given(st.integers(0, 40), st.integers(1, 40))
def test_every_circle_is_noticed_soon(lead: int, length: int) -> None:
    links = PageLinks(START)

    def walk() -> None:
        for number in range(4 * (lead + length) + 4):
            place = number if number < lead else lead + (number - lead) % length
            links.follow(f"?page={place}")

    with pytest.raises(UnexpectedResponse, match="in a circle"):
        walk()


@pytest.mark.parametrize(
    ("address", "page"),
    [
        ("?page=2", "https://courses.example.org/openedx/api/list?page=2"),
        ("/api/list?page=2", "https://courses.example.org/api/list?page=2"),
        ("https://courses.example.org/x?c=a%2Bb", "https://courses.example.org/x?c=a%2Bb"),
        ("http://courses.example.org/x", "https://courses.example.org/x"),
        ("//courses.example.org/x", "https://courses.example.org/x"),
        ("https://courses.example.org:443/x", "https://courses.example.org/x"),
        ("https://me:secret@courses.example.org/x", "https://courses.example.org/x"),
    ],
)
def test_pages_of_the_site(address: str, page: str) -> None:
    links = PageLinks(START)
    assert links.follow(address)
    assert str(links.page) == page


@pytest.mark.parametrize(
    "address",
    [
        "https://example.org/x",
        "https://courses.example.org.evil.org/x",
        "https://courses.example.org:8443/x",
        "//evil.org/x",
        "https://courses.example.org@evil.org/x",
    ],
)
def test_pages_of_others(address: str) -> None:
    with pytest.raises(UnexpectedResponse, match="expected a page of https://courses"):
        PageLinks(START).follow(address)


@given(
    st.text() | st.from_regex(r"(https?:)?//[a-z:@.\[\]0-9]{0,12}(courses.example.org)?(:\d*)?/?")
)
def test_whatever_is_named_the_host_is_the_site(address: str) -> None:
    links = PageLinks(START)
    try:
        links.follow(address)
    except UnexpectedResponse:
        return
    assert str(links.page).isprintable()
    assert links.page.origin() == START.origin()
    assert links.page.authority == START.authority


@pytest.mark.parametrize(
    ("query", "pages", "following"),
    [
        ("page=2", 3, "page=3"),
        ("course_id=a%2Bb&page=9&page_size=100", 10, "course_id=a%2Bb&page=10&page_size=100"),
        ("page=3", 3, None),
        ("page=2", None, None),
        ("page=last", 3, None),
        ("page=", 3, None),
        ("page_size=2", 3, None),
        ("mypage=2", 3, None),
        ("cursor=cD0yMDIx", 3, None),
        ("", 3, None),
    ],
)
def test_the_page_after_one_that_is_numbered(
    query: str, pages: int | None, following: str | None
) -> None:
    def page(query: str) -> URL:
        return URL(f"https://courses.example.org/api/list?{query}", encoded=True)

    assert page_after(page(query), pages) == (following and page(following))
