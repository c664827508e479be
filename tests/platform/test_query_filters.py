"""What a query asks for."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from async_enroll import Enrollment, EnrollmentQuery
from async_enroll.platform.query_filters import matching, parameters

MOMENTS = st.datetimes(
    min_value=datetime(1990, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)
)
NAMES = st.sampled_from(["jane", "Jane", "joe"])
COURSES = st.sampled_from(["course-v1:Org+C1+2026", "course-v1:Org+C2+2026"])
QUERIES = st.builds(
    EnrollmentQuery, COURSES | st.none(), NAMES | st.none(), st.integers(0, 9) | st.none()
)


def record(username: str, course_id: str, created: datetime) -> Enrollment:
    return Enrollment(username, None, course_id, True, "audit", created)


@given(QUERIES, NAMES, COURSES, MOMENTS, st.timedeltas(timedelta(0), timedelta(days=20)))
def test_a_record_passes_all_filters(
    query: EnrollmentQuery, username: str, course_id: str, now: datetime, age: timedelta
) -> None:
    matches = matching(query, now)(record(username, course_id, now - age))
    # Listings tell times to the minute: the one that it is may be the one that it was then.
    young = query.days is None or age <= timedelta(days=query.days)
    too_old = query.days is not None and age >= timedelta(days=query.days, minutes=1)
    others = query.course_id in (None, course_id) and (
        query.username is None or query.username.lower() == username.lower()
    )
    assert not matches or (others and not too_old)
    assert matches or not (others and young)


@given(MOMENTS, st.integers(0, 9), st.integers(-12, 14), st.timedeltas(timedelta(0), timedelta(20)))
def test_zones_do_not_matter_where_they_are_named(
    now: datetime, days: int, hours: int, age: timedelta
) -> None:
    created = now - age
    there = created.astimezone(timezone(timedelta(hours=hours)))
    matches = matching(EnrollmentQuery(days=days), now)
    assert matches(record("jane", "c", there)) == matches(record("jane", "c", created))


@given(MOMENTS, st.integers(0, 9), st.integers(-12, 14))
def test_a_time_without_a_zone_is_not_taken_for_too_old(
    now: datetime, days: int, hours: int
) -> None:
    local = now.astimezone(timezone(timedelta(hours=hours))).replace(tzinfo=None)
    assert matching(EnrollmentQuery(days=days), now)(record("jane", "c", local))


@given(QUERIES)
def test_only_what_filters_is_sent(query: EnrollmentQuery) -> None:
    sent = parameters(query)
    days = sent.pop("days", None)
    assert EnrollmentQuery(**sent, days=None if days is None else int(days)) == query
