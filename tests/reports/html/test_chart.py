"""The picture of a time line."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from async_enroll.reports.html.chart import Chart, draw
from async_enroll.reports.timeline import Hold, Timeline


def drawn(timeline: Timeline) -> Chart:
    chart = draw(timeline)
    assert chart
    return chart


def test_nothing_is_not_drawn() -> None:
    assert draw(Timeline()) is None


def test_a_job_in_words_and_numbers() -> None:
    timeline = Timeline()
    timeline.resume(1000)
    for second in range(120):
        timeline.add(1000 + second, 100, 10)
    timeline.pause(1120, 60, Hold.THROTTLE)
    timeline.resume(9000)
    timeline.add(9001, 100)
    chart = drawn(timeline)
    assert chart.caption.startswith("12,100 enrollments in 3 min 1 s, 4,011 per minute on average.")
    assert "Throttled by the platform: 1 min in total." in chart.caption
    assert "Interrupted, and left out here: 2 h 10 min in total." in chart.caption
    assert sum(row.pairs for row in chart.rows) == 12_100
    assert [(stop.since, stop.length) for stop in chart.stops] == [
        (1120, "1 min"),
        (1180, "2 h 10 min"),
    ]
    (shade,) = chart.shades
    assert (shade.label, shade.room) == ("throttled 1 min", "desktop")
    assert [cut.label for cut in chart.cuts] == ["interrupted 2 h 10 min"]


def test_labels_do_not_stand_on_each_other() -> None:
    timeline = Timeline()
    for run in range(5):
        timeline.resume(10_000 * run)
        timeline.add(10_000 * run, 1)
        timeline.add(10_000 * run + 10, 1)
    cuts = drawn(timeline).cuts
    assert [(cut.label, cut.anchor) for cut in cuts[:1]] == [("interrupted 2 h 46 min", "start")]
    # The last one has no room to its right, and there the first one's label ends.
    assert [cut.label for cut in cuts[1:]] == ["", "", ""]


def test_labels_of_distant_interruptions_stand_both() -> None:
    timeline = Timeline()
    for start, end in ((0, 1), (3_601, 3_701), (7_301, 7_302)):
        timeline.resume(start)
        timeline.add(start, 1)
        timeline.pause(start, end - start, Hold.OUTAGE)
        timeline.add(end, 1)
    cuts = drawn(timeline).cuts
    assert [cut.anchor for cut in cuts] == ["start", "end"]
    assert [cut.label for cut in cuts] == ["interrupted 1 h", "interrupted 1 h"]


moves = st.lists(
    st.tuples(
        st.sampled_from(["add", "throttle", "outage", "resume"]),
        st.floats(0, 100) | st.floats(0, 1e6),
        st.integers(0, 10**7),
        st.integers(0, 10**7),
    ),
    max_size=40,
)


@given(moves)
@example([("add", 0.0, 1, 3400)])
def test_everything_stays_in_the_picture(told: list[tuple[str, float, int, int]]) -> None:
    timeline, at = Timeline(), 1e9
    for what, later, pairs, failed in told:
        at += later
        if what == "add":
            timeline.add(at, pairs + failed, failed)
        elif what == "resume":
            timeline.resume(at)
        else:
            timeline.pause(at, later, Hold(what))
    chart = draw(timeline)
    if chart is None:
        return
    assert 1 <= chart.bars <= 240
    assert len(chart.rows) <= 24
    assert 0 <= chart.zero <= chart.height
    for path, most in ((chart.up, chart.zero), (chart.down, chart.height - chart.zero)):
        for place, length in re.findall(r"M(\d+) [\d.]+v-?([\d.]+)h1", path):
            assert int(place) < chart.bars
            assert 0 < float(length) <= most + 0.1
    assert bool(chart.up) == any(bucket.pairs > bucket.failed for bucket in timeline.buckets)
    assert bool(chart.down) == any(bucket.failed for bucket in timeline.buckets)
    for shade in chart.shades:
        assert 0 <= shade.left <= shade.left + shade.width <= 100.01
    places = [cut.place for cut in chart.cuts] + [tick.place for tick in chart.across]
    assert all(0 <= place <= 100.01 for place in places)
    for tick in chart.levels:
        assert -0.1 <= tick.place <= chart.height
    assert len(chart.across) <= 7
    assert len(chart.levels) <= 5
