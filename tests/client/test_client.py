"""The way from identifiers to one report, end to end against the sandbox."""

import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pyarrow
import pytest
from markupsafe import Markup

from async_enroll import (
    Action,
    BatchLimits,
    ConfigurationError,
    EnrollmentClient,
    EnrollmentResult,
    JournalReport,
    Outcome,
    RequestWindow,
    RosterEntry,
    RosterError,
)
from async_enroll.sandbox import Mail, Platform

C0, C1, C2 = COURSES = [f"course-v1:Org+C{number}+2026" for number in range(3)]


async def test_two_thousand_identifiers_in_three_courses() -> None:
    async with Platform() as platform:
        for course_id in COURSES:
            platform.add_course(course_id)
        learners = [f"learner{number}@example.org" for number in range(1700)]
        for number, email in enumerate(learners):
            platform.add_user(f"learner{number}", email)
        platform.add_user("broken", "broken@example.org", broken=True)
        for number in range(100):
            platform.enroll(f"learner{number}", C0)
        unknown = [f"new{number}@example.org" for number in range(150)]
        malformed = [f"nobody{number}" for number in range(40)]
        unsendable = ["", "two words", "a,b", "line\nbreak"]
        repeats = [f" {email} " for email in learners[:105]]
        identifiers = ["broken", *learners, *unknown, *malformed, *unsendable, *repeats]
        assert len(identifiers) == 2000

        async with EnrollmentClient(platform.url, platform.token) as client:
            report = await client.bulk_enroll(identifiers, COURSES)

        assert report.counts == {
            Outcome.ENROLLED: 1700 * 3 - 100,
            Outcome.ALREADY_ENROLLED: 100,
            Outcome.ALLOWED: 150 * 3,
            Outcome.INVALID_IDENTIFIER: 44 * 3,
            Outcome.ERROR: 3,
        }
        pairs = [(result.identifier, result.course_id) for result in report.results]
        desired = {(text.strip(), course_id) for text in identifiers for course_id in COURSES}
        assert len(pairs) == len(desired)
        assert set(pairs) == desired
        for result in report.results:
            enrolled = platform.is_enrolled(result.identifier, result.course_id)
            waits = platform.is_allowed(result.identifier, result.course_id)
            assert enrolled == (result.outcome in {Outcome.ENROLLED, Outcome.ALREADY_ENROLLED})
            assert waits == (result.outcome is Outcome.ALLOWED)
        calls = [request.pairs for request in platform.requests if request.method == "POST"]
        wanted_calls = (1700 + 150 + 40 + 1) * 3  # nothing unsendable
        assert sum(calls) == 3 + wanted_calls + 6  # the preflight's, the broken one's twice again
        assert len(calls) == 15  # 166 identifiers a call


async def test_mail_goes_once_and_the_report_says_so(
    platform: Platform, client: EnrollmentClient
) -> None:
    report = await client.bulk_enroll(
        ["learner1", "new@example.org", "learner1"], [C0], email_students=True
    )
    assert [result.notified for result in report.results] == [True, True]
    assert len(platform.outbox) == 2
    report = await client.bulk_unenroll(["learner1", "learner2"], [C0], email_students=True)
    told = {result.identifier: (result.outcome, result.notified) for result in report.results}
    assert told == {
        "learner1": (Outcome.UNENROLLED, True),
        "learner2": (Outcome.NOT_ENROLLED, False),
    }
    assert platform.outbox[2:] == [Mail(Action.UNENROLL, "learner1@example.org", C0)]


async def test_a_wait_for_registration_is_withdrawn(client: EnrollmentClient) -> None:
    await client.bulk_enroll(["new@example.org"], [C0])
    report = await client.bulk_unenroll(["new@example.org"], [C0])
    assert [result.outcome for result in report.results] == [Outcome.WITHDRAWN]


async def test_auto_enroll_is_passed_on(platform: Platform, client: EnrollmentClient) -> None:
    await client.bulk_enroll(["now@example.org"], [C0])
    await client.bulk_enroll(["later@example.org"], [C0], auto_enroll=False)
    platform.add_user("now", "now@example.org")
    platform.add_user("later", "later@example.org")
    assert platform.is_enrolled("now", C0)
    assert not platform.is_enrolled("later", C0)


async def test_cohorts_for_some_of_the_courses(
    platform: Platform, client: EnrollmentClient
) -> None:
    report = await client.bulk_enroll(["learner1"], COURSES, cohorts={C1: "red"})
    assert report.ok
    assert platform.cohort_of("learner1", C1) == "red"
    assert platform.cohort_of("learner1", C0) is None
    (result,) = report.courses[C1].results
    assert result.after is not None
    assert result.after.cohort == "red"


async def test_a_roster_of_everything(platform: Platform, client: EnrollmentClient) -> None:
    platform.enroll("learner3", C2)
    report = await client.apply(
        [
            RosterEntry("learner1", C0),
            RosterEntry("learner1", C1, cohort="blue"),
            RosterEntry("learner2", C0),
            RosterEntry("learner3", C2, Action.UNENROLL),
            RosterEntry("learner1 ", C0),
        ]
    )
    assert report.counts == {Outcome.ENROLLED: 3, Outcome.UNENROLLED: 1}
    assert platform.is_enrolled("learner1", C0)
    assert platform.cohort_of("learner1", C1) == "blue"
    assert not platform.is_enrolled("learner3", C2)
    assert len(platform.requests) == 5  # the preflight, with and without cohorts, and three batches


async def test_any_iterable_will_do(client: EnrollmentClient) -> None:
    async def coming() -> AsyncIterator[str]:
        for number in range(3):
            await anyio.lowlevel.checkpoint()
            yield f"learner{number}"

    def given() -> Iterator[str]:
        yield C0
        yield C1

    assert (await client.bulk_enroll(coming(), given())).counts == {Outcome.ENROLLED: 6}
    assert (await client.bulk_enroll({"learner3"}, (C0,))).counts == {Outcome.ENROLLED: 1}

    async def entries() -> AsyncIterator[RosterEntry]:
        yield RosterEntry("learner4", C0)

    assert (await client.apply(entries())).counts == {Outcome.ENROLLED: 1}


async def test_a_frameworks_own_kind_of_string_will_do(
    client: EnrollmentClient, tmp_path: Path
) -> None:
    jane, course, why = Markup("jane@example.org"), Markup(C0), Markup("course transfer")
    entry = RosterEntry(jane, course, cohort=Markup("red"))
    for report in (
        await client.bulk_enroll([jane], [course], reason=why),
        await client.apply([entry], reason=why, journal=tmp_path / "job.db"),
    ):
        report.write_json(tmp_path / "report.json")
        assert f'"identifier":"{jane}"' in (tmp_path / "report.json").read_text("utf-8")


async def test_nothing_to_do(platform: Platform, client: EnrollmentClient) -> None:
    assert (await client.bulk_enroll([], [C0])).ok
    assert (await client.apply([])).ok
    assert [result async for result in client.stream([])] == []
    assert not platform.requests


async def test_to_enroll_nowhere_is_the_callers_mistake(
    platform: Platform, client: EnrollmentClient
) -> None:
    async def none() -> AsyncIterator[str]:
        for text in list[str]():
            yield text

    nothing: list[Any] = [[], (), none()]
    for empty in nothing:
        for method in (client.bulk_enroll, client.bulk_unenroll):
            with pytest.raises(ConfigurationError, match="no courses are given"):
                await method(["learner1"], empty)
    assert not platform.requests


async def test_identifiers_are_not_needed_whole(platform: Platform) -> None:
    taken = 0
    sent_when_half_was_taken = 0

    async def endless_looking() -> AsyncIterator[str]:
        nonlocal taken, sent_when_half_was_taken
        for number in range(400):
            taken += 1
            if taken == 200:
                await anyio.sleep(0.1)
                sent_when_half_was_taken = len(platform.requests)
            yield f"new{number}@example.org"

    limits = BatchLimits(identifiers=10)
    async with EnrollmentClient(platform.url, platform.token, batch=limits) as client:
        await client.bulk_enroll(endless_looking(), [C0])
    assert sent_when_half_was_taken == 20  # the preflight, and 19 batches


async def test_results_stream_as_calls_return() -> None:
    async with Platform(window=None, seconds_per_call=0.05, workers=1) as platform:
        platform.add_course(C0)
        limits = BatchLimits(identifiers=1)
        async with EnrollmentClient(platform.url, platform.token, batch=limits) as client:
            roster = [RosterEntry(f"new{number}@example.org", C0) for number in range(10)]
            times: list[float] = []
            results: list[EnrollmentResult] = []
            async for result in client.stream(roster):
                times.append(anyio.current_time())
                results.append(result)
    assert len(results) == 10
    assert times[-1] - times[0] >= 0.3


async def test_a_slow_consumer_slows_the_job_down(platform: Platform) -> None:
    limits = BatchLimits(identifiers=1)
    async with EnrollmentClient(
        platform.url, platform.token, batch=limits, concurrency=2
    ) as client:
        roster = [RosterEntry(f"new{number}@example.org", C0) for number in range(100)]
        async with aclosing(client.stream(roster)) as results:
            await anext(results)
            await anyio.sleep(0.3)
            assert len(platform.requests) <= 6


async def test_calls_run_side_by_side_within_concurrency() -> None:
    async with Platform(window=None, seconds_per_call=0.05) as platform:
        platform.add_course(C0)
        identifiers = [f"new{number}@example.org" for number in range(24)]
        async with EnrollmentClient(
            platform.url, platform.token, batch=BatchLimits(identifiers=1), concurrency=4
        ) as client:
            await client.bulk_enroll(identifiers, [C0])
        assert platform.in_flight_peak == 4


async def test_three_hundred_calls_keep_to_the_window_and_fill_it() -> None:
    window = RequestWindow(120, 2)
    async with Platform(window=window) as platform:
        platform.add_course(C0)
        identifiers = [f"new{number}@example.org" for number in range(300)]
        async with EnrollmentClient(
            platform.url, platform.token, window=window, batch=BatchLimits(identifiers=1)
        ) as client:
            start = anyio.current_time()
            report = await client.bulk_enroll(identifiers, [C0])
            took = anyio.current_time() - start
        assert report.counts == {Outcome.ALLOWED: 300}
        assert 4 <= took <= 12
        assert sum(request.status == 429 for request in platform.requests) <= 3


async def test_all_uses_of_a_client_share_its_window() -> None:
    window = RequestWindow(10, 0.5)
    async with Platform(window=window) as platform:
        platform.add_course(C0)
        async with EnrollmentClient(platform.url, platform.token, window=window) as client:
            async with anyio.create_task_group() as callers:
                for number in range(25):
                    callers.start_soon(client.bulk_enroll, [f"new{number}@example.org"], [C0])
        # All of them need to know that the course exists, and one of them asks.
        statuses = Counter(request.status for request in platform.requests)
        assert statuses[200] == 26
        assert statuses[429] <= 3  # none but for the jitter of a busy machine


async def test_a_window_that_is_narrower_than_told() -> None:
    async with Platform(window=RequestWindow(5, 1)) as platform:
        platform.add_course(C0)
        identifiers = [f"new{number}@example.org" for number in range(12)]
        async with EnrollmentClient(
            platform.url,
            platform.token,
            window=RequestWindow(50, 1),
            batch=BatchLimits(identifiers=1),
        ) as client:
            report = await client.bulk_enroll(identifiers, [C0])
        assert report.counts == {Outcome.ALLOWED: 12}
        assert {result.attempts for result in report.results} == {1}


async def test_a_long_job_leaves_room_for_others() -> None:
    async with Platform(window=None, seconds_per_call=0.02) as platform:
        platform.add_course(C0)
        async with EnrollmentClient(
            platform.url, platform.token, batch=BatchLimits(identifiers=1), concurrency=2
        ) as client:
            roster = [RosterEntry(f"new{number}@example.org", C0) for number in range(500)]
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(client.apply, roster)
                await anyio.sleep(0.2)
                before = len(platform.requests)
                await client.bulk_enroll(["quick@example.org"], [C0])
                assert len(platform.requests) - before <= 6
                tasks.cancel_scope.cancel()


async def test_a_single_string_is_no_list(client: EnrollmentClient) -> None:
    with pytest.raises(ConfigurationError, match="identifiers is a single str"):
        await client.bulk_enroll("learner1", [C0])
    with pytest.raises(ConfigurationError, match="courses is a single str"):
        await client.bulk_enroll(["learner1"], C0)


class Frame:
    """What DataFrames of all kinds have in common: they iterate over the names of columns."""

    columns = property(lambda self: ["email", "course_id"])
    shape = property(lambda self: (1, 2))

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)


@pytest.mark.parametrize(
    ("roster", "words"),
    [
        (Path("roster.csv"), r"roster is a PosixPath; .*Roster\.read\(path\)"),
        ("roster.csv", r"roster is a str; .*Roster\.read\(path\)"),
        (Frame(), "roster is a Frame; expected RosterEntry objects: make one of each row"),
        (pyarrow.table({"email": ["jane"]}), "roster is a Table; expected RosterEntry objects"),
        ({"learner1": C0}, "roster is a dict; expected RosterEntry objects"),
        (None, "roster is a NoneType; expected a list"),
        (["learner1"], "entry 1 of the roster is a str; expected a RosterEntry"),
    ],
)
async def test_what_is_no_roster(
    platform: Platform, client: EnrollmentClient, roster: Any, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        await client.apply(roster, email_students=True)
    with pytest.raises(ConfigurationError, match=words):
        await anext(client.stream(roster))
    assert not platform.requests


@pytest.mark.parametrize("wrong", [Frame(), Path("list.txt"), None, 3])
async def test_what_is_no_list(platform: Platform, client: EnrollmentClient, wrong: Any) -> None:
    name = type(wrong).__name__
    with pytest.raises(ConfigurationError, match=f"identifiers is a {name}; expected a list"):
        await client.bulk_enroll(wrong, [C0, C1], email_students=True)
    with pytest.raises(ConfigurationError, match=f"courses is a {name}; expected a list"):
        await client.bulk_unenroll(["learner1"], wrong)
    assert not platform.requests


async def test_what_cannot_be_sent_or_stored_costs_no_call(
    platform: Platform, client: EnrollmentClient
) -> None:
    bad = ["nul\0@example.org", f"{'x' * 244}@example.org"]
    report = await client.bulk_enroll(bad, [C0], email_students=True)
    assert report.counts == {Outcome.INVALID_IDENTIFIER: 2}
    report = await client.bulk_enroll(["learner1"], ["nul\0"])
    assert report.counts == {Outcome.REJECTED: 1}
    assert not platform.requests
    good = ["learner1", f"{'x' * 243}@example.org"]
    report = await client.apply([RosterEntry(who, C0) for who in bad + good])
    assert report.counts == {
        Outcome.INVALID_IDENTIFIER: 2,
        Outcome.ENROLLED: 1,
        Outcome.ALLOWED: 1,
    }


async def test_contradictions_are_found_before_anything_is_sent(
    platform: Platform, client: EnrollmentClient
) -> None:
    entries = [RosterEntry("learner1", C0), RosterEntry("learner1", C0, Action.UNENROLL)]
    with pytest.raises(RosterError, match="contradicts"):
        await client.apply(entries)
    assert not platform.requests


async def test_an_iterable_that_fails_loses_nothing(client: EnrollmentClient) -> None:
    def failing() -> Iterator[RosterEntry]:
        yield RosterEntry("learner1", C0)
        raise LookupError("broken source")

    with pytest.raises(LookupError, match="broken source"):
        await client.apply(failing())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"concurrency": 0}, "concurrency is 0"),
        ({"timeout": 0}, "timeout is 0"),
        ({"timeout": float("nan")}, "timeout is nan"),
    ],
)
def test_settings_that_cannot_work(arguments: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        EnrollmentClient("https://courses.example.org", "token", **arguments)  # type: ignore[arg-type]  # one of many


@pytest.mark.parametrize(("calls", "seconds"), [(0, 60), (1, 0), (1, float("nan"))])
def test_a_window_that_cannot_work(calls: int, seconds: float) -> None:
    with pytest.raises(ConfigurationError):
        RequestWindow(calls, seconds)


@pytest.mark.parametrize("limits", [(0, 1, 99999), (1, 0, 99999), (1, 1, 100)])
def test_limits_that_cannot_work(limits: tuple[int, int, int]) -> None:
    with pytest.raises(ConfigurationError):
        BatchLimits(*limits)


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_url": None},
        {"auth": None},
        {"window": (120, 60)},
        {"batch": 500},
        {"concurrency": "8"},
        {"timeout": "60"},
        {"patience": None},
    ],
)
def test_arguments_of_the_wrong_kind(wrong: dict[str, Any]) -> None:
    arguments = {"base_url": "https://example.org", "auth": "token", **wrong}
    (name,) = wrong
    with pytest.raises(ConfigurationError, match=f"{name} is a .*; expected a "):
        EnrollmentClient(**arguments)


async def test_entries_and_cohorts_of_the_wrong_kind(client: EnrollmentClient) -> None:
    entry = RosterEntry("jane", "c1", "enroll")  # type: ignore[arg-type]  # the mistake itself
    with pytest.raises(ConfigurationError, match="entry 1 of the roster: action is 'enroll'"):
        await client.apply([entry])
    with pytest.raises(ConfigurationError, match="cohorts is a list; expected a mapping"):
        await client.bulk_enroll(["jane"], ["c1"], cohorts=["red"])  # type: ignore[arg-type]


@pytest.mark.parametrize("flag", ["auto_enroll", "email_students"])
@pytest.mark.parametrize("value", ["yes", 1, None])
async def test_flags_are_booleans(
    platform: Platform, client: EnrollmentClient, flag: str, value: object
) -> None:
    with pytest.raises(ConfigurationError, match=f"{flag} is .*; expected True(,| or) False"):
        await client.bulk_enroll(["learner1"], [C0], **{flag: value})  # type: ignore[arg-type]  # wrong
    assert not platform.requests


@pytest.mark.parametrize(
    "wrong", [{"username": 5}, {"course_id": b"c1"}, {"days": "x"}, {"days": 1.5}, {"days": True}]
)
async def test_filters_of_the_wrong_kind(client: EnrollmentClient, wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(ConfigurationError, match=f"{name} is a .*; expected a "):
        _ = [one async for one in client.enrollments(**wrong)]
    with pytest.raises(ConfigurationError, match="queries holds a dict; expected EnrollmentQuery"):
        _ = [one async for one in client.enrollments_for([wrong])]  # type: ignore[list-item]  # wrong


@pytest.mark.parametrize("journal", [5, "", ".", b"job.db", "job\0.db", "job\ud800.db"])
async def test_what_is_the_path_of_no_journal(client: EnrollmentClient, journal: Any) -> None:
    expected = "expected the path of a file"
    with pytest.raises(ConfigurationError, match=expected):
        await client.apply([RosterEntry("jane", C0)], journal=journal)
    with pytest.raises(ConfigurationError, match=expected):
        await anext(client.resume(journal))
    with pytest.raises(ConfigurationError, match=expected):
        JournalReport(journal)


async def test_options_of_the_wrong_kind(client: EnrollmentClient) -> None:
    roster = [RosterEntry("jane", C0)]
    wrong: Any
    for wrong, found in ((True, "bool"), (threading.Event(), "threading.Event")):
        with pytest.raises(
            ConfigurationError, match=f"stop is a {found}; expected an anyio.Event or an asyncio"
        ):
            await client.apply(roster, stop=wrong)
    with pytest.raises(ConfigurationError, match="preflight is a str; expected True or False"):
        await client.apply(roster, preflight="no")  # type: ignore[arg-type]  # the mistake itself


async def test_no_job_waits_for_an_event_of_threads(
    client: EnrollmentClient, tmp_path: Path
) -> None:
    stop: Any = threading.Event()
    job, undo = tmp_path / "job.db", tmp_path / "undo.db"
    await client.apply([RosterEntry("jane", C0)], journal=job)
    with pytest.raises(ConfigurationError, match=r"stop is a threading\.Event"):
        await client.undo(job, undo_journal=undo, stop=stop)
    with pytest.raises(ConfigurationError, match=r"stop is a threading\.Event"):
        await client.sync([RosterEntry("jane", C0)], stop=stop)
    with pytest.raises(ConfigurationError, match=r"stop is a threading\.Event"):
        await anext(client.stream([RosterEntry("jane", C0)], stop=stop))


async def _waits(_: object) -> None:
    """Nobody awaits it."""


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"on_event": 5}, "on_event is a int; expected a function that takes an event"),
        ({"on_event": _waits}, "on_event is a coroutine function; expected a function"),
        ({"session": 5}, "session is a int; expected a ClientSession"),
        ({"ssl_context": "ca.pem"}, "ssl_context is a str; expected a SSLContext"),
    ],
)
def test_settings_of_the_wrong_kind(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        EnrollmentClient("https://courses.example.org", "token", **settings)


def test_limits_of_the_wrong_kind() -> None:
    with pytest.raises(ConfigurationError, match="seconds of RequestWindow is a NoneType"):
        RequestWindow(120, None)  # type: ignore[arg-type]  # the mistake itself
    with pytest.raises(ConfigurationError, match="identifiers of BatchLimits is a str"):
        BatchLimits("200")  # type: ignore[arg-type]  # the mistake itself


async def test_a_report_that_names_half_a_character_can_be_printed(
    client: EnrollmentClient,
) -> None:
    report = await client.bulk_enroll(["jane\ud800"], [C0])
    assert r"jane\ud800 in" in str(report).encode().decode()
