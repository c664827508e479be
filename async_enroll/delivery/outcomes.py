"""From the platform's word on a call to what became of each of its pairs. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import unquote

from async_enroll.delivery.attempt import Attempt
from async_enroll.errors import EnrollError
from async_enroll.models import Action, Batch, EnrollmentState, Outcome, identity_key
from async_enroll.planning.desired import Desired
from async_enroll.platform.json import BulkAnswer, CourseAnswer, PairAnswer, StateAnswer, state
from async_enroll.results import Block, ResultDetail

Pair = tuple[str, str]
"""An identifier and a course key."""


def pairs(batch: Batch) -> Iterator[Pair]:
    """The pairs of a batch, course by course."""
    return ((identifier, key) for key in batch.courses for identifier in batch.identifiers)


def desired(batch: Batch, some: Iterable[Pair]) -> Desired:
    """What a batch wants of some of its pairs."""
    cohorts = batch.cohorts or [None] * len(batch.courses)
    cohort_in = dict(zip(batch.courses, cohorts, strict=True))
    found = Desired()
    for identifier, key in some:
        found.add(identifier, key, batch.action, cohort_in[key])
    return found


def outcome_of(action: Action, before: EnrollmentState, after: EnrollmentState) -> Outcome:
    """What became of a pair that stood at `before` and stands at `after`.

    ERROR where the platform answers without a flag, and yet not with what was asked.
    """
    if action is Action.ENROLL:
        if after.enrollment:
            return Outcome.ALREADY_ENROLLED if before.enrollment else Outcome.ENROLLED
        return Outcome.ALLOWED if after.allowed else Outcome.ERROR
    if after.enrollment or after.allowed:
        return Outcome.ERROR
    if before.enrollment:
        return Outcome.UNENROLLED
    return Outcome.WITHDRAWN if before.allowed else Outcome.NOT_ENROLLED


CERTAIN = 3
"""How often the platform must fail on a pair alone: one failure may be passing."""


class AnswerResults(NamedTuple):
    """What an answer tells: what became of pairs, and the pairs of which that is not known.

    `erroneous`: those that are flagged as errors, and may have been done all the same.
    `undone`: those that are flagged, and known not to be done: worth another try.
    """

    blocks: list[Block]
    doubtful: list[Pair]
    erroneous: list[Pair]
    undone: list[Pair]


def answered(attempt: Attempt, answer: BulkAnswer) -> AnswerResults:
    """What became of the pairs of a call that was answered."""
    told = AnswerResults([], [], [], [])
    batch = attempt.batch
    rolled_back = _is_rolled_back(answer)
    tries_left = attempt.errors + 1 < CERTAIN
    courses = _by_course(batch.courses, answer.courses)
    for course_id in batch.courses:
        course = courses.get(course_id)
        said = _by_identifier(batch.identifiers, course.results) if course else {}
        details: list[ResultDetail | None] = []
        last, detail = _UNMENTIONED, None
        for identifier in batch.identifiers:
            pair = said.get(identifier, _UNMENTIONED)
            # Most pairs fare as the one before: that is cheaper to see than to look up.
            if (
                pair.before != last.before
                or pair.after != last.after
                or pair.invalid_identifier != last.invalid_identifier
                or pair.error
                or last.error
            ):
                last = pair
                again = rolled_back or _is_erroneous(pair) or (pair.error and tries_left)
                detail = None if again else _detail(attempt, pair)
            if detail is None:
                if not pair.error:
                    left = told.doubtful
                else:
                    left = told.erroneous if _is_erroneous(pair) else told.undone
                left.append((identifier, course_id))
            details.append(detail)
        if block := Block.known(course_id, batch.action, batch.identifiers, details):
            told.blocks.append(block)
    return told


def _by_course(sent: Sequence[str], told: Mapping[str, CourseAnswer]) -> Mapping[str, CourseAnswer]:
    """What an answer says of each course, by the key that was sent.

    Keys that were not sent are taken for ours where they can mean but one: spelled otherwise,
    or the last that is left over on both sides.
    """
    missing = [key for key in sent if key not in told]
    if not missing:
        return told
    strays = set(told).difference(sent)
    names = _alike(missing, strays, lambda key: identity_key(unquote(key).replace(" ", "+")))
    missing = [key for key in missing if key not in names]
    left = strays.difference(names.values())
    if len(missing) == len(left) == 1:
        names[missing[0]] = left.pop()
    return {**told, **{ours: told[theirs] for ours, theirs in names.items()}}


def _by_identifier(sent: Sequence[str], results: Sequence[PairAnswer]) -> dict[str, PairAnswer]:
    """What an answer says of each identifier in a course, by the spelling that was sent.

    First by spelling, then by what is one identifier to the platform. What is left over goes
    by position, if as many results came as identifiers were sent, and none that can be told
    stands at another's place.
    """
    told = {pair.identifier: pair for pair in results}
    missing = [identifier for identifier in sent if identifier not in told]
    if not missing:
        return told
    names = _alike(missing, set(told).difference(sent), identity_key)
    if len(names) < len(missing) and len(results) == len(sent):
        place = {identity_key(identifier): number for number, identifier in enumerate(sent)}
        keys = [identity_key(pair.identifier) for pair in results]
        if all(place.get(key, number) == number for number, key in enumerate(keys)):
            return dict(zip(sent, results, strict=True))
    return {**told, **{ours: told[theirs] for ours, theirs in names.items()}}


def _alike(ours: Iterable[str], theirs: Iterable[str], key: Callable[[str], str]) -> dict[str, str]:
    """Which of theirs is which of ours by a key, where that is beyond doubt."""
    of_key: defaultdict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for name in ours:
        of_key[key(name)][0].append(name)
    for name in theirs:
        of_key[key(name)][1].append(name)
    return {mine[0]: others[0] for mine, others in of_key.values() if len(mine) == len(others) == 1}


def _is_erroneous(pair: PairAnswer) -> bool:
    """Whether the platform has failed on a pair without telling whether it was rolled back.

    Releases before 2026 do not tell: where only the mail failed, the learner is enrolled.
    """
    return pair.error and pair.success is None


def _is_rolled_back(answer: BulkAnswer) -> bool:
    """Whether a call may have been undone as a whole behind its answer.

    A database error at an identifier breaks the transaction, and the next query fails with a
    500; after the very last identifier, releases before 2026 make no further query.
    """
    results = [course.results for course in answer.courses.values() if course.results]
    return bool(results) and _is_erroneous(results[-1][-1])


def found(attempt: Attempt, some: Iterable[Pair]) -> list[Block]:
    """What became of pairs that the listing shows to be as a lost call was to leave them.

    The platform's `auto_enroll` is of those who wait for registration, which these do not.
    """
    enrolled = attempt.batch.action is Action.ENROLL
    detail = ResultDetail(
        Outcome.ENROLLED if enrolled else Outcome.UNENROLLED,
        after=EnrollmentState(user=True, enrollment=enrolled, allowed=False, auto_enroll=False),
        notified=None if attempt.email else False,
        # The look at the listing counts as one: it took more than the sending.
        attempts=attempt.attempts + 1,
    )
    by_course: dict[str, list[str]] = {}
    for identifier, course_id in some:
        by_course.setdefault(course_id, []).append(identifier)
    return [
        Block.alike(course_id, attempt.batch.action, identifiers, detail)
        for course_id, identifiers in by_course.items()
    ]


def rejected(attempt: Attempt, error: EnrollError | str) -> list[Block]:
    """What becomes of a call that the platform refuses: nothing was done, unless before."""
    if attempt.lost:
        return unconfirmed(attempt, error)
    return _all(attempt, Outcome.REJECTED, str(error), notified=attempt.notified_so_far)


def failed(attempt: Attempt, outcome: Outcome, error: EnrollError) -> list[Block]:
    """What becomes of pairs that were sent, and are not seen to be as they were to be."""
    return _all(attempt, outcome, str(error), notified=None if attempt.email else False)


def unconfirmed(attempt: Attempt, error: EnrollError | str) -> list[Block]:
    """What becomes of a call of which nobody can tell what it has done."""
    notified = None if attempt.email else False
    return _all(attempt, Outcome.UNCONFIRMED, str(error), notified=notified)


def given_up(attempt: Attempt, why: EnrollError) -> list[Block]:
    """What becomes of a call that is not sent, or not again, as the job has been stopped."""
    return rejected(attempt, why if attempt.lost else f"not sent: {why}")


def _all(attempt: Attempt, outcome: Outcome, error: str, *, notified: bool | None) -> list[Block]:
    batch = attempt.batch
    detail = ResultDetail(outcome, error=error, notified=notified, attempts=attempt.attempts)
    return [
        Block.alike(course_id, batch.action, batch.identifiers, detail)
        for course_id in batch.courses
    ]


_UNMENTIONED = PairAnswer("")


def _detail(attempt: Attempt, pair: PairAnswer) -> ResultDetail | None:
    """What the platform's word on a pair means for it; None where it says nothing."""
    if pair.after is None and not (pair.invalid_identifier or pair.error):
        return None
    action = attempt.batch.action
    before = state(pair.before) if pair.before else None
    after = state(pair.after) if pair.after else None
    outcome, error = _outcome(action, pair, before, after)
    mailed = False if _is_retired(action, pair.after) else _MAILED.get(outcome, True)
    if attempt.lost and outcome in _DONE_BEFORE:
        # The lost call may have done it, or someone long before: nobody knows.
        mailed = mailed if action is Action.ENROLL else None
        outcome, before = _DONE_BEFORE[outcome], None
    elif (
        attempt.lost and before is not None and before.allowed and outcome is not Outcome.WITHDRAWN
    ):
        before = None
    if mailed and not attempt.mails:
        mailed = None
    notified = mailed if attempt.email else False
    return ResultDetail(outcome, before, after, error, notified, attempt.attempts)


def _outcome(
    action: Action,
    pair: PairAnswer,
    before: EnrollmentState | None,
    after: EnrollmentState | None,
) -> tuple[Outcome, str | None]:
    if pair.invalid_identifier:
        words = "neither a user of the platform nor a plausible e-mail address"
        return Outcome.INVALID_IDENTIFIER, words
    if pair.error or before is None or after is None:
        why = ": ".join(filter(None, (pair.error_type, pair.error_message)))
        return Outcome.ERROR, f"the platform failed on this identifier ({why or _ITS_LOG})"
    if _is_retired(action, pair.after):
        return Outcome.ERROR, "the address is that of a retired account; nothing was done"
    outcome = outcome_of(action, before, after)
    if outcome is Outcome.ERROR:
        return outcome, f"the platform answers that the pair is not as asked: {after}"
    return outcome, None


def _is_retired(action: Action, after: StateAnswer | None) -> bool:
    """Whether an address is one of a retired account: enrolling it leaves all four flags false.

    Unenrolling leaves them so for whoever has waited for registration, and mails them.
    """
    return (
        action is Action.ENROLL
        and after is not None
        and not (after.user or after.enrollment or after.allowed or after.auto_enroll)
    )


_ITS_LOG = "its log says why"

_DONE_BEFORE = {
    Outcome.ALREADY_ENROLLED: Outcome.ENROLLED,
    Outcome.NOT_ENROLLED: Outcome.UNENROLLED,
}

# An invalid identifier is never mailed; unenrolling mails only whoever was enrolled or allowed
# (lms/djangoapps/instructor/enrollment.py). Where the platform failed, it may have mailed before.
_MAILED: dict[Outcome, bool | None] = {
    Outcome.INVALID_IDENTIFIER: False,
    Outcome.NOT_ENROLLED: False,
    Outcome.ERROR: None,
}
