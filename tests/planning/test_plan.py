"""What a plan tells of a roster."""

import pytest

from async_enroll import Action, BatchLimits
from async_enroll.planning.desired import Desired
from async_enroll.planning.plan import Plan

C1, C2, C3 = "c1", "c2", "c3"
IN, OUT = Action.ENROLL, Action.UNENROLL


@pytest.mark.parametrize(
    ("pairs", "courses"),
    [
        ([("jane", C1, IN), ("jane@example.org", C1, IN)], "1 course names"),
        (
            [("jane", c, IN) for c in (C1, C2)] + [("joe@example.org", c, IN) for c in (C2, C1)],
            "2 courses name",
        ),
        ([("jane", C1, IN), ("joe", C1, IN)], None),
        ([("jane@example.org", C1, IN), ("joe@example.org", C1, IN)], None),
        ([("jane", C1, IN), ("joe@example.org", C2, IN)], None),
        # Whom the first of two calls has unenrolled, the second does not mail.
        ([("jane", C1, OUT), ("joe@example.org", C1, OUT)], None),
        ([], None),
    ],
)
def test_who_may_be_mailed_twice(pairs: list[tuple[str, str, Action]], courses: str | None) -> None:
    desired = Desired()
    for pair in pairs:
        desired.add(*pair)
    plan = Plan.of(desired, BatchLimits(), source="test")
    assert plan.warnings(email_students=False) == ()
    assert plan.warnings(email_students="changed") == ()
    warnings = plan.warnings(email_students=True)
    assert bool(warnings) == bool(courses)
    for warning in warnings:
        assert warning.startswith(f"{courses} learners by username and by e-mail address; ")
        assert "use one kind of identifier, or --email-changed" in warning
