"""The address of a site, as people give it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_enroll import ConfigurationError
from async_enroll.http.site import site_url


@pytest.mark.parametrize(
    "url",
    [
        "https://courses.example.org",
        "https://courses.example.org/",
        "https://courses.example.org:8443/openedx",
        "http://localhost:8000",
        "http://127.0.0.1:8000",
        "http://[::1]:8000",
        " https://courses.example.org\n",
    ],
)
def test_sites(url: str) -> None:
    assert str(site_url(url, allow_http=False)).rstrip("/") == url.strip().rstrip("/")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("courses.example.org", "is no site's URL"),
        ("", "is no site's URL"),
        ("ftp://courses.example.org", "is no site's URL"),
        ("https://", "is no site's URL"),
        ("https://courses example.org", "is no site's URL"),
        ("https://courses.example.org:99999", "is no site's URL"),
        ("https://courses.example.org/?next=x", "holds a query or fragment"),
        ("https://courses.example.org/#top", "holds a query or fragment"),
        ("http://courses.example.org", "in the clear"),
        ("http://127.evil.example.org", "in the clear"),
        ("https://courses\0.example.org", "is no site's URL"),
        ("https://courses\udcff.example.org", "is no site's URL"),
        ("https://courses..example.org", "is no site's URL"),
        (f"https://{'a' * 70}.example.org", "is no site's URL"),
        ("https://jane:hunter2@courses.example.org", "holds a user or password"),
    ],
)
def test_what_is_no_site(url: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as raised:
        site_url(url, allow_http=False)
    assert "hunter2" not in str(raised.value)


def test_plain_http_when_asked_for() -> None:
    assert site_url("http://courses.example.org", allow_http=True).scheme == "http"


@pytest.mark.parametrize(
    ("url", "site"),
    [
        ("https://courses.example.org/dashboard", "https://courses.example.org"),
        ("https://courses.example.org/dashboard/", "https://courses.example.org"),
        ("https://courses.example.org//", "https://courses.example.org"),
        ("https://courses.example.org///", "https://courses.example.org"),
        ("https://courses.example.org//dashboard", "https://courses.example.org"),
        ("https://courses.example.org/login?next=/", "https://courses.example.org"),
        ("https://courses.example.org/admin/auth/user/", "https://courses.example.org"),
        ("https://courses.example.org/api/bulk_enroll/v1", "https://courses.example.org"),
        ("https://example.org:8443/edx/courses", "https://example.org:8443/edx"),
        (
            "https://courses.example.org/courses/course-v1:Org+C1+2026/about",
            "https://courses.example.org",
        ),
        ("http://courses.example.org/dashboard", "http://courses.example.org"),
    ],
)
def test_a_page_of_a_site(url: str, site: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        site_url(url, allow_http=False)
    assert str(raised.value).endswith(f"did you mean {site}?")


@given(st.text() | st.text().map(lambda text: f"https://{text}"))
def test_any_text(text: str) -> None:
    try:
        url = site_url(text, allow_http=True)
    except ConfigurationError:
        return
    assert url.scheme in ("http", "https")
    assert url.host
