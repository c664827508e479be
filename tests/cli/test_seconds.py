"""Durations on the command line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_enroll.cli.options.seconds import seconds_in


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("90", 90), ("1.5", 1.5), ("90s", 90), ("5m", 300), ("2h", 7200), ("1h30m", 5400)),
        *(("1h1m1s", 3661), ("0.5h", 1800), (" 2H ", 7200), ("1e3", 1000)),
        *((text, None) for text in ("", "0", "-1", "inf", "nan", "2x", "m", "5m2h", "1h 30m")),
    ],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert seconds_in(text) == seconds


@given(st.integers(0, 99), st.integers(0, 99), st.integers(1, 99))
def test_units_add_up(hours: int, minutes: int, seconds: int) -> None:
    assert seconds_in(f"{hours}h{minutes}m{seconds}s") == 3600 * hours + 60 * minutes + seconds


@given(st.text())
def test_any_text_is_a_positive_duration_or_none(text: str) -> None:
    seconds = seconds_in(text)
    assert seconds is None or 0 < seconds < float("inf")
