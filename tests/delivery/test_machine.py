"""Job after job on a failing platform: it is as the jobs asked, and nobody is mailed twice."""

import asyncio
from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from async_enroll import (
    Action,
    BatchLimits,
    EnrollmentClient,
    EnrollmentReport,
    Outcome,
    RequestWindow,
    RosterEntry,
)
from async_enroll.models import EmailStudents
from async_enroll.sandbox import Faults, Platform
from tests.account import address
from tests.delivery.test_chaos import PASSING
from tests.delivery.test_delivery import Renewable

COURSES = [f"course-v1:Org+C{number}+2026" for number in range(3)]
LEARNERS = [f"learner{number}" for number in range(6)]
NEWCOMERS = [f"new{number}@example.org" for number in range(3)]
POISONOUS, MISSING = LEARNERS[5], "course-v1:Org+Missing+2026"
rosters = st.sets(
    st.tuples(st.sampled_from(LEARNERS + NEWCOMERS), st.sampled_from([*COURSES, MISSING])),
    min_size=1,
    max_size=12,
)


class Jobs(RuleBasedStateMachine):
    """A platform, what the jobs so far have asked of it, and the client they share."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.inside: set[tuple[str, str]] = set()

    @initialize(
        seed=st.integers(0, 1000),
        release=st.sampled_from(["moocit", "2020", "2022", "2025", "2026"]),
        limits=st.builds(BatchLimits, st.integers(1, 4), st.integers(1, 8)),
    )
    def begin(self, seed: int, release: str, limits: BatchLimits) -> None:
        faults = Faults.chance(0.15, seed, among=PASSING, linger=0.05)
        self.platform = Platform(release=release, window=None, faults=faults)
        for course_id in COURSES:
            self.platform.add_course(course_id)
        for learner in LEARNERS:
            poisonous = learner == POISONOUS
            self.platform.add_user(learner, f"{learner}@example.org", poisonous=poisonous)
        self.runner.run(self.platform.__aenter__())
        self.client = EnrollmentClient(
            self.platform.url,
            Renewable(self.platform),
            window=RequestWindow(1000, 0.2),
            batch=limits,
            timeout=1.0,
            settle=0.6,
            patience=20.0,
        )
        self.runner.run(self.client.__aenter__())

    @rule(
        pairs=rosters,
        action=st.sampled_from(Action),
        mail=st.sampled_from([False, True, "changed"]),
    )
    def apply(self, pairs: set[tuple[str, str]], action: Action, mail: EmailStudents) -> None:
        mailed_before = Counter(self.platform.outbox)
        were_in = set(self.inside)
        roster = [RosterEntry(who, course_id, action) for who, course_id in sorted(pairs)]
        report: EnrollmentReport = self.runner.run(self.client.apply(roster, email_students=mail))
        assert Counter((one.identifier, one.course_id) for one in report.results) == Counter(pairs)
        for one in report.results:
            doable = one.identifier != POISONOUS and one.course_id != MISSING
            assert one.outcome.ok == doable, one
            # Of a learner who was lost before the platform failed on them, nobody can tell.
            assert doable or one.outcome in (Outcome.REJECTED, Outcome.UNCONFIRMED), one
        doable_pairs = {pair for pair in pairs if pair[0] != POISONOUS and pair[1] != MISSING}
        if action is Action.ENROLL:
            self.inside |= doable_pairs
        else:
            self.inside -= doable_pairs
        mails = Counter(self.platform.outbox) - mailed_before
        assert mail or not mails
        assert max(mails.values(), default=0) <= 1
        if mail == "changed" and action is Action.ENROLL:
            had_mail = {(mail.to, mail.course_id) for mail in mails}
            for one in report.results:
                was_in = (one.identifier, one.course_id) in were_in
                assert not was_in or (address(one.identifier), one.course_id) not in had_mail, one

    @invariant()
    def the_platform_is_as_asked(self) -> None:
        if not hasattr(self, "platform"):
            return
        found = {
            (who, course_id)
            for who in LEARNERS + NEWCOMERS
            for course_id in COURSES
            if self.platform.is_enrolled(who, course_id) or self.platform.is_allowed(who, course_id)
        }
        assert found == self.inside

    def teardown(self) -> None:
        if hasattr(self, "client"):
            self.runner.run(self.client.__aexit__(None, None, None))
            self.runner.run(self.platform.__aexit__(None, None, None))
        self.runner.close()


Jobs.TestCase.settings = settings(max_examples=12, stateful_step_count=5, deadline=None)
TestJobs = Jobs.TestCase
