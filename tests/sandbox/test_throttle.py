"""The throttle against Django REST framework's own."""

from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Any

import pytest
from django.conf import settings as django_settings
from hypothesis import given, settings
from hypothesis import strategies as st

from async_enroll.models import RequestWindow
from async_enroll.sandbox.http.access import Caller, require_window
from async_enroll.sandbox.http.answers import Refusal
from async_enroll.sandbox.http.throttle import Throttle

if not django_settings.configured:
    django_settings.configure(USE_I18N=False)

from rest_framework.exceptions import Throttled
from rest_framework.throttling import SimpleRateThrottle


class Cache(dict[str, Any]):
    """Django's cache without expiry: the throttle drops what is old by its own clock."""

    def set(self, key: str, value: Any, timeout: float) -> None:
        self[key] = value


class Reference(SimpleRateThrottle):  # type: ignore[misc]
    rate = "as the window says"

    def __init__(self, window: RequestWindow, cache: Cache, clock: Callable[[], float]) -> None:
        self.window = window
        self.cache = cache
        self.timer = clock
        super().__init__()

    def parse_rate(self, rate: str) -> tuple[int, float]:
        return self.window.calls, self.window.seconds

    def get_cache_key(self, request: object, view: object) -> str:
        return "user"


def ticking(moments: list[float]) -> Callable[[], float]:
    ticks: Iterator[float] = iter(moments)
    return lambda: next(ticks)


windows = st.builds(
    RequestWindow,
    calls=st.integers(1, 6),
    seconds=st.sampled_from([0.1, 0.5, 1.0, 60.0]) | st.floats(0.01, 100),
)
# Multiples of a tenth meet the edges of the window, arbitrary gaps its rounding errors.
gaps = st.integers(0, 12).map(lambda tenths: tenths / 10) | st.floats(0, 70)


@settings(deadline=None)
@given(windows, st.floats(0, 1e9), st.lists(gaps, max_size=60))
def test_decides_and_waits_as_the_framework_does(
    window: RequestWindow, start: float, gaps: list[float]
) -> None:
    moments = list(accumulate(gaps, initial=start))
    ours = Throttle(window, clock=ticking(moments))
    cache, clock = Cache(), ticking(moments)
    for _ in moments:
        theirs = Reference(window, cache, clock)
        expected = None if theirs.allow_request(None, None) else theirs.wait()
        assert ours.admit("user") == expected


@settings(deadline=None)
@given(st.floats(0.001, 100))
def test_refuses_in_the_framework_s_words(wait: float) -> None:
    throttle = Throttle(RequestWindow(calls=1, seconds=wait), clock=ticking([0.0, 0.0]))
    caller = Caller("user", staff=True)
    require_window(caller, throttle)
    with pytest.raises(Refusal) as refusal:
        require_window(caller, throttle)
    expected = Throttled(wait=wait)
    assert refusal.value.headers == {"Retry-After": f"{expected.wait:d}"}
    assert refusal.value.content == {"detail": str(expected.detail)}


def test_users_have_windows_of_their_own() -> None:
    throttle = Throttle(RequestWindow(calls=1, seconds=10), clock=lambda: 0.0)
    assert throttle.admit("jane") is None
    assert throttle.admit("joe") is None
    assert throttle.admit("jane") == 10
