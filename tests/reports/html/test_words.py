"""Numbers, times and other people's words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_enroll.reports.html.words import brief, duration, share, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("jane@example.org", "jane@example.org"),
        ("žofie 漢字", "žofie 漢字"),
        ("abc\u202egpj.exe", "abc\\u202egpj.exe"),
        ("a\u200bb\xa0c\x00\n", "a\\u200bb\\xa0c\\x00\\n"),
        ("half \ud800", "half \\ud800"),
    ],
)
def test_what_cannot_be_seen_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text(st.characters()))
def test_everything_can_be_seen_and_written(text: str) -> None:
    shown = visible(text)
    assert shown.isprintable()
    shown.encode()
    assert visible(shown) == shown


def test_what_is_too_long_is_cut() -> None:
    assert brief("a" * 300) == "a" * 300
    assert brief("a" * 301) == "a" * 300 + "…"
    assert brief("\0" * 301) == "\\x00" * 300 + "…"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.25, "0.2 s"),
        (7.5, "7.5 s"),
        (9.97, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (250, "4 min 10 s"),
        (3599.7, "1 h"),
        (3630, "1 h"),
        (3690, "1 h 2 min"),
        (86_399, "24 h"),
        (90_000, "1 d 1 h"),
        (10 * 86_400, "10 d"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("part", "whole", "words"),
    [
        (0, 0, "0 %"),
        (0, 5, "0 %"),
        (5, 5, "100 %"),
        (1, 3, "33.3 %"),
        (1, 1_000_000, "< 0.1 %"),
        (999_999, 1_000_000, "> 99.9 %"),
    ],
)
def test_nothing_and_all_are_said_only_of_nothing_and_all(
    part: int, whole: int, words: str
) -> None:
    assert share(part, whole) == words
