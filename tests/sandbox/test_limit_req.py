"""A proxy that limits the rate, and calls that take differently long."""

from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_enroll.sandbox import LimitReq
from async_enroll.sandbox.faults.pace import Pace
from async_enroll.sandbox.proxy.limit_req import Limiter
from tests.sandbox.raw import C1, LISTING, small_platform, speaking_to


def taken(limit: LimitReq, moments: list[float]) -> list[bool]:
    """Which requests are taken that come at such moments."""
    coming = iter(moments)
    limiter = Limiter(limit, clock=lambda: next(coming))
    return [limiter.takes(limit) for _ in moments]


def test_a_burst_is_taken_and_then_the_rate() -> None:
    limit = LimitReq(rate=2, burst=3)
    assert taken(limit, [0.0] * 6) == [True] * 4 + [False] * 2
    assert taken(limit, [0.0] * 4 + [0.49, 0.5, 0.51, 1.0]) == [True] * 4 + [
        False,
        True,
        False,
        True,
    ]


@given(
    st.floats(0.1, 100),
    st.integers(0, 20),
    st.lists(st.floats(0, 60), max_size=200).map(sorted),
)
def test_never_more_than_the_rate_and_the_burst(
    rate: float, burst: int, moments: list[float]
) -> None:
    came = taken(LimitReq(rate, burst), moments)
    when = [moment for moment, one in zip(moments, came, strict=True) if one]
    for first, since in enumerate(when):
        for last, until in enumerate(when[first:], first):
            assert last - first <= burst + rate * (until - since) + 1e-6


@pytest.mark.parametrize("status", [503, 429])
async def test_who_comes_too_fast_gets_a_page_and_does_nothing(status: int) -> None:
    limit = LimitReq(rate=0.001, burst=1, status=status)
    async with small_platform(limit_req=limit) as platform, speaking_to(platform) as raw:
        answers = [await raw.bulk(who, C1) for who in ("Jane", "Jane", "joe")]
        assert [answer.status for answer in answers] == [200, 200, status]
        assert answers[-1].is_page
        assert "Retry-After" not in answers[-1].headers
        assert not platform.is_enrolled("joe", C1)
        assert (await raw.request("GET", LISTING)).status == 200


def test_calls_take_differently_long_and_always_the_same() -> None:
    one, other = (Pace(1, 1, sigma=0.5) for _ in range(2))
    factors = [one.factor() for _ in range(2000)]
    assert factors == [other.factor() for _ in range(2000)]
    assert 0.95 < median(factors) < 1.05
    assert 0.45 < sum(0.714 < factor < 1.4 for factor in factors) / 2000 < 0.55
    assert {Pace(1, 1).factor() for _ in range(10)} == {1.0}
