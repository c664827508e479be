"""Comparing a roster with a course: who is wanted or kept stays, and afterwards all is as asked.

The platform is a model: accounts that it finds as MySQL compares text, and their enrollments.
"""

from collections.abc import Collection, Iterator
from datetime import UTC, datetime

from attrs import evolve, field, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from async_enroll.models import Action, Enrollment, RosterEntry, identity_key, loose_key
from async_enroll.planning.comparison import CourseComparison, CourseDiff
from async_enroll.planning.desired import Desired
from async_enroll.planning.protection import Protection
from async_enroll.platform.json import Account

COURSE = "course-v1:Org+C1+2026"
NAMES = [
    ["zoe", "Zoë", "ZOE"],
    ["jose", "José"],
    ["straße", "STRASSE"],
    ["łojka"],
    ["max"],
    ["ann"],
]
UNKNOWN = ["new@example.org", "New@Example.org", "nobody", "neü@example.org"]


@frozen
class Person:
    username: str
    email: str
    activated: bool
    enrolled: bool | None
    """None: they never were."""
    mode: str


@frozen
class World:
    people: tuple[Person, ...]
    waiting: frozenset[str] = frozenset()

    def find(self, identifier: str) -> Person | None:
        key = loose_key(identifier)
        return next((p for p in self.people if key in map(loose_key, (p.username, p.email))), None)

    def records(self, *, addresses: bool) -> Iterator[Enrollment]:
        for person in self.people:
            if person.enrolled is not None:
                email = person.email if addresses else None
                now = datetime.now(UTC)
                yield Enrollment(person.username, email, COURSE, person.enrolled, person.mode, now)

    def done(self, entries: list[RosterEntry]) -> "World":
        people, waiting = list(self.people), set(self.waiting)
        for entry in entries:
            person = World(tuple(people)).find(entry.identifier)
            if entry.action is Action.UNENROLL:
                waiting.discard(loose_key(entry.identifier))
            elif person is None or not person.activated:
                waiting.add(loose_key(entry.identifier))
                continue
            if person is not None:
                enrolled = entry.action is Action.ENROLL
                enrolled_before = person.enrolled is not None
                if enrolled or enrolled_before:
                    people[people.index(person)] = evolve(person, enrolled=enrolled)
        return World(tuple(people), frozenset(waiting))


@frozen
class Case:
    world: World
    roster: tuple[RosterEntry, ...]
    keep: tuple[str, ...]
    own: str
    modes: tuple[str, ...]
    remove: bool
    addresses: bool
    """Whether the listing has them. If not, accounts must be looked up."""
    looked_up: bool
    desired: Desired = field(init=False)

    @desired.default
    def _desired(self) -> Desired:
        desired = Desired()
        for entry in self.roster:
            desired.add(desired.spelling(entry.identifier), COURSE, entry.action, entry.cohort)
        return desired

    def wanted(self) -> set[str]:
        return {loose_key(who) for who, row in self.desired.pairs() if row.action is Action.ENROLL}

    def diff(self, world: World | None = None, hidden: Collection[str] = ()) -> CourseDiff:
        world = world or self.world
        course = CourseComparison(COURSE)
        for identifier, assignment in self.desired.pairs():
            course.add(assignment, [identifier])
        records = list(world.records(addresses=self.addresses))
        course.feed(records)
        course.feed(records[:2])  # pages may overlap
        accounts: dict[str, Account | None] = {}
        for who in [*course.unseen(), *self.keep] if self.looked_up else ():
            person = world.find(who)
            if person and person.username in hidden:
                person = None
            accounts[identity_key(who)] = (
                Account(person.username, person.email, person.activated) if person else None
            )
        known = [world.find(who) for who in self.keep if self.looked_up]
        keep = [*self.keep, *(person.username for person in known if person)]
        course.resolve(accounts)
        return course.result(Protection.of(self.own, keep, self.modes))


def people(names: list[str], number: int) -> st.SearchStrategy[Person]:
    return st.builds(
        Person,
        st.sampled_from(names),
        st.sampled_from([f"{name}@example.org" for name in names]),
        st.sampled_from([True, True, True, False]),
        st.sampled_from([True, True, False, None]),
        st.sampled_from(["audit", "honor", "verified"] if number % 2 else ["audit"]),
    )


def spelled(names: list[str]) -> st.SearchStrategy[str]:
    some = [*names, *(f"{name}@example.org" for name in names)]
    return st.sampled_from([*some, *map(str.upper, some)])


identifiers = st.one_of(*map(spelled, NAMES), st.sampled_from(UNKNOWN))
rows = st.builds(
    RosterEntry,
    identifiers,
    st.just(COURSE),
    st.sampled_from([Action.ENROLL, Action.ENROLL, Action.ENROLL, Action.UNENROLL]),
)
worlds = st.tuples(*(people(names, number) for number, names in enumerate(NAMES))).flatmap(
    lambda everybody: st.lists(st.sampled_from(everybody), unique=True).map(
        lambda some: World(tuple(some))
    )
)
cases = st.builds(
    Case,
    worlds,
    st.lists(rows, max_size=8).map(tuple),
    st.lists(identifiers, max_size=2).map(tuple),
    st.sampled_from(["max", "staff", "zoe"]),
    st.sampled_from([(), ("verified",)]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
).filter(lambda case: case.addresses or case.looked_up)


@given(cases)
def test_nobody_wanted_or_kept_is_removed(case: Case) -> None:
    diff = case.diff()
    protected = case.wanted() | set(map(loose_key, [*case.keep, case.own]))
    for entry in diff.to_unenroll:
        person = case.world.find(entry.identifier)
        assert person is not None
        assert person.enrolled
        assert protected.isdisjoint(map(loose_key, (person.username, person.email)))
        assert person.mode in {"audit", "honor", *case.modes}
        assert person.username not in diff.kept


@given(cases.filter(lambda case: case.looked_up))
def test_afterwards_it_is_in_sync_and_nobody_else_has_changed(case: Case) -> None:
    diff = case.diff()
    sent = [*diff.to_enroll, *diff.not_listed, *diff.removals(remove=case.remove)]
    after = case.world.done(sent)
    again = case.diff(after)
    assert again.to_enroll == ()
    assert again.removals(remove=case.remove) == ()
    named = {loose_key(row.identifier) for row in case.roster}
    for before, now in zip(case.world.people, after.people, strict=True):
        is_named = not named.isdisjoint(map(loose_key, (before.username, before.email)))
        if not is_named and not case.remove:
            assert before == now
        if before.enrolled and not now.enrolled:
            keys = set(map(loose_key, (before.username, before.email)))
            assert keys.isdisjoint(case.wanted())
    for who in case.wanted():
        person = after.find(who)
        waits = who in after.waiting
        assert (
            waits
            if person is None or not (person.activated or person.enrolled)
            else (person.enrolled)
        )


@given(cases)
def test_every_row_is_told_once(case: Case) -> None:
    diff = case.diff()
    wanted = [who for who, row in case.desired.pairs() if row.action is Action.ENROLL]
    told = [entry.identifier for entry in (*diff.to_enroll, *diff.not_listed)]
    told_wanted = [
        entry.identifier
        for entry in (*diff.to_enroll, *diff.not_listed)
        if entry.action is Action.ENROLL
    ]
    assert len(told) == len(set(told))
    assert set(told_wanted) <= set(wanted)
    assert len(told_wanted) + diff.unchanged - len(diff.absent) == len(wanted)
    assert set(diff.returning) <= set(diff.to_enroll)
    assert diff.enrolled == sum(bool(person.enrolled) for person in case.world.people)
    removed = [entry.identifier for entry in diff.to_unenroll]
    assert len(removed) == len(set(removed))


@given(cases)
def test_without_remove_only_those_listed_for_it_go(case: Case) -> None:
    absent = {who for who, row in case.desired.pairs() if row.action is Action.UNENROLL}
    diff = case.diff()
    assert {entry.identifier for entry in diff.removals(remove=False)} <= absent
    assert set(diff.asked) <= absent


looked_up = cases.map(lambda case: evolve(case, addresses=False, looked_up=True))


@settings(max_examples=200)
@given(cases | looked_up, st.booleans())
def test_who_is_enrolled_is_not_told_as_waiting(case: Case, finds_nobody: bool) -> None:
    """Also where the site finds nobody. One that finds somebody is believed about the others."""
    hidden = [person.username for person in case.world.people] if finds_nobody else []
    for entry in case.diff(hidden=hidden).withdrawals:
        person = case.world.find(entry.identifier)
        assert person is None or not person.enrolled
