"""Where a shared window is: what a URL may say."""

from pathlib import Path
from typing import Any

import pytest

from async_enroll import ConfigurationError
from async_enroll.http.tokens import Secret
from async_enroll.pacing.shared.url import SharedWindowUrl, shared_window_url


def parsed(given: Any) -> SharedWindowUrl:
    return shared_window_url(Secret(given))


@pytest.mark.parametrize(
    ("given", "shown", "name"),
    [
        ("redis://localhost", "redis://localhost", None),
        (" redis://:pass@10.0.0.1:6380/2 ", "redis://10.0.0.1:6380/2", None),
        ("rediss://me:p%40ss@redis.example.org/?name=a%20b", "rediss://redis.example.org/", "a b"),
        ("redis://host?name=x&socket_keepalive=yes", "redis://host", "x"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0", None),
        ("file:///", "file:///", None),
        ("file:///?name=x", "file:///", "x"),
        ("file:///srv/a%20window.db", "file:///srv/a window.db", None),
        ("file://localhost/srv/w.db", "file:///srv/w.db", None),
    ],
)
def test_what_it_says(given: str, shown: str, name: str | None) -> None:
    found = parsed(given)
    assert (found.shown, found.name) == (shown, name)
    assert "pass" not in repr(found)


def test_the_path_of_a_file() -> None:
    assert parsed("file:///srv/a%20window.db").path == Path("/srv/a window.db")
    assert parsed("file:///").path is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (6379, "shared_window is a int; expected something like redis://"),
        ("", "expected something like"),
        ("localhost:6379", "expected something like"),
        ("redis://", "expected something like"),
        ("redis://host:0", "expected something like"),
        ("redis://host:port", "expected something like"),
        ("redis://host/0?name=a&name=b", "expected something like"),
        ("redis://host/0?nonsense=1", "redis://host/0 with options that redis does not take"),
        ("file://host/window.db", "expected something like"),
        ("file:///window.db?mode=rw", "expected something like"),
        ("file:///usr", "names the folder /usr; expected the path of a file in it"),
    ],
)
def test_what_is_none(given: Any, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parsed(given)
    assert words in str(caught.value)
