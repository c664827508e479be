"""What a sync sends, and what it holds back."""

import json

import pytest
from attrs import asdict, evolve

from async_enroll import (
    Action,
    BatchLimits,
    ConfigurationError,
    EnrollmentState,
    Outcome,
    RosterEntry,
)
from async_enroll.models import Batch
from async_enroll.planning.comparison import CourseDiff
from async_enroll.planning.desired import Desired
from async_enroll.planning.diff import DiffOptions, RosterDiff
from async_enroll.planning.sync import (
    Recheck,
    SyncTerms,
    recheck_of,
    suspects,
    sync_plan,
    unproven,
)
from async_enroll.planning.sync_file import PlannedSync, sync_file
from async_enroll.results import Block, ResultDetail, withheld

C1, C2 = "course-v1:Org+C1+2026", "course-v1:Org+C2+2026"
IN = EnrollmentState(user=True, enrollment=True, allowed=False, auto_enroll=False)
OUT = EnrollmentState(user=True, enrollment=False, allowed=False, auto_enroll=False)


def rows(
    *identifiers: str, course: str = C1, action: Action = Action.ENROLL
) -> tuple[RosterEntry, ...]:
    return tuple(RosterEntry(identifier, course, action) for identifier in identifiers)


def course_diff(course: str = C1, why: str | None = None) -> CourseDiff:
    return CourseDiff(
        course,
        enrolled=20,
        unchanged=10,
        to_enroll=rows("new", course=course),
        returning=(),
        to_unenroll=rows("old", "asked", course=course, action=Action.UNENROLL),
        not_listed=(
            *rows("a@example.org", course=course),
            *rows("b@example.org", course=course, action=Action.UNENROLL),
        ),
        kept={"staff": "is the token's own user"},
        withheld=why,
        asked={"asked": "asked"},
        repeated=frozenset({"twice"}),
    )


def diff(*courses: CourseDiff, remove: bool = True, max_removals: int | None = None) -> RosterDiff:
    options = DiffOptions(remove=remove, max_removals=max_removals)
    found = {course.course_id: course for course in courses}
    return RosterDiff(found, options, "https://example.org", "class.csv", Desired(), 0.0)


def test_additions_come_first_then_removals() -> None:
    plan = sync_plan(diff(course_diff(), course_diff(C2)), BatchLimits())
    batches = [item for item in plan.work if isinstance(item, Batch)]
    actions = [batch.action for batch in batches]
    assert actions == sorted(actions, key=lambda action: action.value)
    sent = {(who, batch.action) for batch in batches for who in batch.identifiers}
    assert sent == {
        ("new", Action.ENROLL),
        ("a@example.org", Action.ENROLL),
        ("old", Action.UNENROLL),
        ("asked", Action.UNENROLL),
        ("b@example.org", Action.UNENROLL),
    }
    assert plan.pairs == 10


def test_without_remove_only_those_asked_for_go() -> None:
    plan = sync_plan(diff(course_diff(), remove=False), BatchLimits())
    removed = {
        who
        for batch in plan.work
        if isinstance(batch, Batch) and batch.action is Action.UNENROLL
        for who in batch.identifiers
    }
    assert removed == {"asked", "b@example.org"}


def test_what_is_withheld_has_results_that_name_the_reason() -> None:
    plan = sync_plan(diff(course_diff(why="it is so"), course_diff(C2)), BatchLimits())
    (block,) = [item for item in plan.work if isinstance(item, Block)]
    assert set(block.identifiers) == {"old", "asked", "b@example.org"}
    assert {(one.course_id, one.outcome, one.error, one.attempts) for one in block} == {
        (C1, Outcome.REJECTED, "not sent: removals are withheld: it is so", 0)
    }
    assert all(map(withheld, block.details))
    assert plan.pairs == 10


def addition(outcome: Outcome, before: EnrollmentState | None, who: str = "new") -> Block:
    detail = ResultDetail(outcome, before=before)
    return Block(
        C1, Action.ENROLL, ["fine", who], [ResultDetail(Outcome.ENROLLED, OUT, IN), detail]
    )


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (addition(Outcome.ALREADY_ENROLLED, IN), "was enrolled already"),
        (addition(Outcome.UNCONFIRMED, None), "was not answered"),
        (addition(Outcome.ENROLLED, OUT), None),
        (addition(Outcome.ENROLLED, None), None),
        (addition(Outcome.INVALID_IDENTIFIER, None), None),
        (addition(Outcome.ALREADY_ENROLLED, IN, "twice"), None),
        (
            Block.alike(C1, Action.UNENROLL, ["old"], ResultDetail(Outcome.UNENROLLED, IN, OUT)),
            None,
        ),
    ],
)
def test_additions_that_cast_doubt(block: Block, words: str | None) -> None:
    found = suspects([block], {C1: ["twice"]})
    assert (words in found[C1]) if words else not found


def test_additions_without_a_word_on_what_was_before() -> None:
    blocks = [
        addition(Outcome.ENROLLED, None, "Jane"),
        addition(Outcome.UNCONFIRMED, None),
        Block.alike(C1, Action.UNENROLL, ["old"], ResultDetail(Outcome.UNENROLLED)),
    ]
    assert list(unproven(blocks)) == [(C1, "jane")]


def test_terms_survive_a_journal() -> None:
    options = DiffOptions((C1,), True, ("jane",), 0.25, ("verified",))
    terms = SyncTerms(options, email_removed=True).found(diff(course_diff(), course_diff(C2, "so")))
    assert SyncTerms.read(json.loads(json.dumps(asdict(terms)))) == terms
    assert terms.withheld == {C2: "so"}
    assert terms.repeated == {C1: ["twice"], C2: ["twice"]}


def test_a_recheck_asks_about_planned_removals_only() -> None:
    roster = Desired()
    roster.add("jane", C1, Action.ENROLL)
    roster.add("jane", C2, Action.ENROLL)
    roster.add("gone", C1, Action.UNENROLL)
    desired, options = recheck_of(roster, DiffOptions(remove=True, keep=("max",)), [("old", C1)])
    assert {(one.identifier, one.course_id, one.action) for one in desired} == {
        ("old", C1, Action.UNENROLL),
        ("jane", C1, Action.ENROLL),
    }
    assert options == DiffOptions((C1,), remove=False, keep=("max",))


def test_what_is_not_certain_to_be_safe_is_withheld() -> None:
    check = Recheck(diff(course_diff(), remove=False), {})
    assert check.why_withheld("asked", C1) is None
    assert check.why_withheld("b@example.org", C1) is None
    assert check.why_withheld("staff", C1) == "is the token's own user"
    assert check.why_withheld("somebody", C1) == "they are protected by now"
    check = Recheck(diff(course_diff(), remove=False), {C1: {"somebody"}, C2: {"new"}})
    assert check.why_withheld("asked", C1) is None
    check = Recheck(diff(course_diff(), remove=False), {C1: {"new"}})
    assert "got no answer" in (check.why_withheld("asked", C1) or "")
    check = Recheck(diff(course_diff(why="so"), remove=False), {})
    assert check.why_withheld("asked", C1) == "so"
    check = Recheck(diff(course_diff(), remove=False, max_removals=0), {})
    assert "would remove 1 of 20 learners" in (check.why_withheld("asked", C1) or "")


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"async_enroll_sync": 1}', b"[" * 10_000])
def test_what_is_no_planned_sync(content: bytes) -> None:
    with pytest.raises(ConfigurationError, match=r"plan\.json: .*; expected the file of a planned"):
        PlannedSync.read(content, "plan.json")


def test_a_plan_that_was_edited() -> None:
    file = sync_file(diff(course_diff(), remove=False))
    read = PlannedSync.read(b"\xef\xbb\xbf" + file.encode(), "plan.json")  # as Windows saves it
    assert read == evolve(PlannedSync.read(file.encode(), "plan.json"), desired=read.desired)
    edited = json.loads(file)
    edited["roster"] = [["Jane", C1, "enroll", None], ["jane", C1, "unenroll", None]]
    with pytest.raises(
        ConfigurationError, match=r"plan\.json: Jane in .*: unenroll, and before enroll; expected"
    ):
        PlannedSync.read(json.dumps(edited).encode(), "plan.json")
