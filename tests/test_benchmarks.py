"""What the benchmarks rest on: their servers, the limit, and how figures are shown."""

from xml.etree import ElementTree

import pytest

from async_enroll import EnrollmentClient, Outcome, RequestWindow
from async_enroll.models import NOBODY, Action, Batch
from async_enroll.platform.json import bulk_answer, bulk_body
from benchmarks import echo
from benchmarks.picture import Curve, draw
from benchmarks.processes import alone, peak, serving
from benchmarks.site import Setting, visited
from benchmarks.tables import Bar, Table

C1, C2 = "course-v1:Org+C1+2026", "course-v1:Org+C2+2026"


def test_the_fast_server_answers_as_the_platform_does() -> None:
    batch = Batch(Action.ENROLL, (C1, C2), ("jane@example.org", NOBODY))
    body = bulk_body(batch, auto_enroll=True, email_students=False)
    answer = bulk_answer(echo.bulk_answer(body))
    assert list(answer.courses) == [C1, C2]
    for course in answer.courses.values():
        jane, nobody = course.results
        assert jane.identifier == "jane@example.org"
        assert jane.before
        assert not jane.before.enrollment
        assert jane.after
        assert jane.after.enrollment
        assert nobody.invalid_identifier


async def test_the_fast_server_serves_a_client() -> None:
    learners = [f"learner{number}@example.org" for number in range(1_000)]
    async with (
        serving("benchmarks.echo", 3_000) as server,
        EnrollmentClient(server.greeting, "token") as client,
    ):
        report = await client.bulk_enroll(learners, [C1, C2])
        listed = [record.username async for record in client.enrollments()]
    assert report.counts == {Outcome.ENROLLED: 2_000}
    assert len(set(listed)) == 3_000


async def test_a_site_tells_what_became_of_its_visitors() -> None:
    setting = Setting(RequestWindow(2, 0.5), learners=5, seconds_per_call=0)
    async with visited(setting) as site, EnrollmentClient(site.url, site.token) as client:
        await client.bulk_enroll(site.learners[:3], [site.course])
    assert site.enrolled == ["learner000001", "learner000002", "learner000003"]
    assert {call.status for call in site.calls} == {200}


@pytest.mark.parametrize(
    ("learners", "seconds"), [(1, 0.5), (8, 0.5), (9, 1.0), (10, 1.0), (11, 6.5), (30, 13.0)]
)
def test_the_limit_is_all_windows_but_the_last_and_its_calls(learners: int, seconds: float) -> None:
    assert Setting(RequestWindow(10, 6), learners, 0.5).limit(in_flight=8) == seconds


def test_a_table_in_markdown() -> None:
    table = Table("Some figures", ("client", "seconds"))
    table.add("ours", "1.00")
    assert table.in_markdown() == (
        "**Some figures**\n\n| client | seconds |\n| --- | ---: |\n| ours | 1.00 |\n"
    )


def test_a_bar_tells_whether_it_is_met() -> None:
    assert Bar(most=4).judge(4.0) == "at most 4: met"
    assert Bar(most=4).judge(4.1) == "at most 4: NOT MET"
    assert Bar(least=0.5).judge(0.5) == "at least 0.5: met"
    assert Bar(least=0.5).judge(0.4) == "at least 0.5: NOT MET"


def test_a_picture_is_well_formed_and_escapes_names() -> None:
    curves = [Curve("a < b", "3 done", [0.0, 1.0, 2.0]), Curve("c & d", "1 done", [0.5])]
    picture = draw("some", curves, RequestWindow(2, 1), 3)
    texts = [text.strip() for text in ElementTree.fromstring(picture.svg).itertext()]
    assert {"a < b", "c & d"} <= set(texts)


async def _peak_with(size: int) -> int:
    before = peak()
    block = bytearray(size)
    return peak() - before if block else 0


async def test_memory_is_measured_in_a_process_of_its_own() -> None:
    ballast = bytearray(100 * 2**20)
    assert await alone(_peak_with, 50 * 2**20) >= 50 * 2**20 * 0.9
    assert len(ballast) == 100 * 2**20
