"""Outcomes: turns the platform's answer to a call, or its failure, into results for its pairs.

Takes an attempt and its answer from `delivery.delivery`, and gives it blocks of results, along with
the pairs that need another call. Pure: no I/O.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple
from urllib.parse import unquote

from async_enroll.delivery.attempt import Attempt
from async_enroll.errors import EnrollError
from async_enroll.http.failures import Failure, FailureKind
from async_enroll.models import Action, Batch, EnrollmentState, Outcome, identity_key
from async_enroll.planning.desired import Desired
from async_enroll.platform.json import (
    AlikeAnswer,
    BulkAnswer,
    CourseAnswer,
    PairAnswer,
    StateAnswer,
    state,
)
from async_enroll.results import NO_SUCH_LEARNER, Block, ResultDetail

Pair = tuple[str, str]
"""An identifier and a course key."""


def pairs(batch: Batch) -> Iterator[Pair]:
    """Iterate over the pairs of a batch, course by course."""
    return ((identifier, key) for key in batch.courses for identifier in batch.identifiers)


def desired(batch: Batch, some: Iterable[Pair]) -> Desired:
    """Return what a batch asks for some of its pairs, for planning them anew."""
    cohorts = batch.cohorts or [None] * len(batch.courses)
    cohort_in = dict(zip(batch.courses, cohorts, strict=True))
    found = Desired()
    for identifier, key in some:
        found.add(identifier, key, batch.action, cohort_in[key], batch.auto_enroll)
    return found


def outcome_of(action: Action, before: EnrollmentState, after: EnrollmentState) -> Outcome:
    """Return the outcome of a pair by its state before and after the call.

    ERROR if the platform reports no error, yet the state is not what was asked for.
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
"""How often the platform must fail on a single pair or course: one failure may be transient."""


class AnswerResults(NamedTuple):
    """The results in an answer, and the pairs that have none yet.

    Attributes:
        blocks: Results of pairs whose outcome is known.
        doubtful: Pairs that the answer leaves out, or that may have been rolled back.
        erroneous: Pairs flagged as errors that may have been changed all the same.
        undone: Pairs flagged as errors, known to be rolled back, and worth another call.

    """

    blocks: list[Block]
    doubtful: list[Pair]
    erroneous: list[Pair]
    undone: list[Pair]


def answered(attempt: Attempt, answer: BulkAnswer) -> AnswerResults:
    """Sort the pairs of an answered call by what the answer says of them."""
    results = AnswerResults([], [], [], [])
    batch = attempt.batch
    rolled_back = _is_rolled_back(answer)
    tries_left = len(attempt.failures) + 1 < CERTAIN
    courses = _by_course(batch.courses, answer.courses)
    for course_id in batch.courses:
        details: list[ResultDetail | None] = []
        for said, pair, count in _runs(batch.identifiers, courses.get(course_id)):
            again = rolled_back or (pair.error and (tries_left or _is_erroneous(pair)))
            detail = None
            if not again:
                # The platform's own words may name the learner: not for the cache.
                make = _detail.__wrapped__ if pair.error_message else _detail
                detail = make(
                    said, batch.action, attempt.lost, attempt.email, attempt.mails, attempt.attempts
                )
            if detail is None:
                if not pair.error:
                    left = results.doubtful
                else:
                    left = results.erroneous if _is_erroneous(pair) else results.undone
                some = batch.identifiers[len(details) : len(details) + count]
                left += [(identifier, course_id) for identifier in some]
            details += [detail] * count
        if block := Block.known(
            course_id,
            batch.action,
            batch.identifiers,
            details,
            cohort=batch.cohort_in(course_id),
        ):
            results.blocks.append(block)
    return results


def _runs(
    sent: Sequence[str], course: CourseAnswer | None
) -> Iterator[tuple[_Said, PairAnswer, int]]:
    """Run-length encode what the answer for a course says of the identifiers sent, in order.

    Yields what is said, the first answer that says so, and the number of repeats in a row.
    """
    if course is None:
        yield _said(_UNMENTIONED), _UNMENTIONED, len(sent)
    elif isinstance(course, AlikeAnswer):
        yield _said(course.results[0]), course.results[0], len(sent)
    else:
        for said, run in groupby(_in_order(sent, course.results), _said):
            alike = list(run)
            yield said, alike[0], len(alike)


def _in_order(sent: Sequence[str], results: Sequence[PairAnswer]) -> Iterable[PairAnswer]:
    """Return what the answer says of each identifier, in the order in which they were sent."""
    # The platform's order and spelling are ours, but for odd spellings: comparing costs least.
    if [pair.identifier for pair in results] == list(sent):
        return results
    said = _by_identifier(sent, results)
    return [said.get(identifier, _UNMENTIONED) for identifier in sent]


_Said = tuple[Any, ...]
_said = attrgetter(*(name for name in PairAnswer.__struct_fields__ if name != "identifier"))
"""What an answer says of a pair: all but its identifier."""


def _by_course(
    sent: Sequence[str], answers: Mapping[str, CourseAnswer]
) -> Mapping[str, CourseAnswer]:
    """Return the answer for each course, by the key that was sent.

    A key that was not sent counts as one of ours where that is unambiguous: it is spelled
    differently, or it is the only one left over on both sides.
    """
    missing = [key for key in sent if key not in answers]
    if not missing:
        return answers
    strays = set(answers).difference(sent)
    names = _alike(missing, strays, lambda key: identity_key(unquote(key).replace(" ", "+")))
    missing = [key for key in missing if key not in names]
    left = strays.difference(names.values())
    if len(missing) == len(left) == 1:
        names[missing[0]] = left.pop()
    return {**answers, **{ours: answers[theirs] for ours, theirs in names.items()}}


def _by_identifier(sent: Sequence[str], results: Sequence[PairAnswer]) -> dict[str, PairAnswer]:
    """Return the answer for each identifier of a course, by the spelling that was sent.

    Matches by spelling, then by identity to the platform. If some are still unmatched, matches
    all by position, provided that there are as many results as identifiers, and that none of
    those recognized is at another's position.
    """
    answers = {pair.identifier: pair for pair in results}
    missing = [identifier for identifier in sent if identifier not in answers]
    if not missing:
        return answers
    names = _alike(missing, set(answers).difference(sent), identity_key)
    if len(names) < len(missing) and len(results) == len(sent):
        place = {identity_key(identifier): number for number, identifier in enumerate(sent)}
        keys = [identity_key(pair.identifier) for pair in results]
        if all(place.get(key, number) == number for number, key in enumerate(keys)):
            return dict(zip(sent, results, strict=True))
    return {**answers, **{ours: answers[theirs] for ours, theirs in names.items()}}


def _alike(ours: Iterable[str], theirs: Iterable[str], key: Callable[[str], str]) -> dict[str, str]:
    """Map our names to theirs with the same key, where the match is unambiguous."""
    of_key: defaultdict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for name in ours:
        of_key[key(name)][0].append(name)
    for name in theirs:
        of_key[key(name)][1].append(name)
    return {mine[0]: others[0] for mine, others in of_key.values() if len(mine) == len(others) == 1}


def _is_erroneous(pair: PairAnswer) -> bool:
    """Whether a pair is flagged as an error without saying whether it was rolled back.

    Releases before 2026 do not say: if only the mail failed, the learner is enrolled.
    """
    return pair.error and pair.success is None


def _is_rolled_back(answer: BulkAnswer) -> bool:
    """Whether the platform may have rolled back the whole call in spite of its answer.

    A database error at an identifier breaks the transaction, and the next query fails with a
    500; after the very last identifier, releases before 2026 make no further query.
    """
    for course in reversed(answer.courses.values()):
        if course.results:
            return _is_erroneous(course.results[-1])
    return False


def found(attempt: Attempt, some: Iterable[Pair]) -> list[Block]:
    """Return results for pairs of a lost call that the listing shows to be as asked.

    `auto_enroll` is False: on the platform it belongs to pending enrollments only.
    """
    enrolled = attempt.batch.action is Action.ENROLL
    detail = ResultDetail(
        Outcome.ENROLLED if enrolled else Outcome.UNENROLLED,
        after=EnrollmentState(user=True, enrollment=enrolled, allowed=False, auto_enroll=False),
        notified=attempt.notified_so_far,
        # The lookup counts as an attempt: the call alone did not settle the pair.
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
    """Return results for a refused call: REJECTED, or UNCONFIRMED if an earlier one was lost."""
    if attempt.lost:
        return unconfirmed(attempt, error)
    return failed(attempt, Outcome.REJECTED, error)


def rejected_culprit(attempt: Attempt, failure: Failure) -> list[Block]:
    """Return results for a refused call that bisecting has found to be at fault."""
    words = str(failure.error)
    if failure.kind is FailureKind.UNDONE:
        whom = "this learner" if len(attempt.batch.identifiers) == 1 else "a learner of this call"
        words = f"the platform fails on {whom}; its log says why ({words})"
    return rejected(attempt, words)


def unconfirmed(attempt: Attempt, error: EnrollError | str) -> list[Block]:
    """Return UNCONFIRMED results: nobody can tell what the call has changed."""
    return failed(attempt, Outcome.UNCONFIRMED, error)


def failed(attempt: Attempt, outcome: Outcome, error: EnrollError | str) -> list[Block]:
    """Return results of this outcome for all pairs of an attempt that is not sent again."""
    batch = attempt.batch
    notified, attempts = attempt.notified_so_far, attempt.attempts
    detail = ResultDetail(outcome, error=str(error), notified=notified, attempts=attempts)
    return [
        Block.alike(
            course_id,
            batch.action,
            batch.identifiers,
            detail,
            cohort=batch.cohort_in(course_id),
        )
        for course_id in batch.courses
    ]


def given_up(attempt: Attempt, why: EnrollError) -> list[Block]:
    """Return results for an attempt that is not sent, or not again, since the job stopped."""
    return rejected(attempt, why if attempt.lost else f"not sent: {why}")


_UNMENTIONED = PairAnswer("")


@lru_cache(1024)
def _detail(
    said: _Said, action: Action, lost: bool, email: bool, mails: bool, attempts: int
) -> ResultDetail | None:
    """Return the result of a pair by what the platform says; None where it says nothing of it.

    The other arguments are those of the attempt, after its call. Cached: the answers say few
    different things, and nothing takes as long as to make a result of one.
    """
    pair = PairAnswer("", *said)
    if pair.after is None and not (pair.invalid_identifier or pair.error):
        return None
    before = state(pair.before) if pair.before else None
    after = state(pair.after) if pair.after else None
    outcome, error = _outcome(action, pair, before, after)
    mailed = False if _is_retired(action, pair.after) else _MAILED.get(outcome, True)
    if lost and outcome in _DONE_BEFORE:
        # Either the lost call has changed it, or it was so before: nobody can tell.
        mailed = mailed if action is Action.ENROLL else None
        outcome, before = _DONE_BEFORE[outcome], None
    elif lost and before is not None and before.allowed and outcome is not Outcome.WITHDRAWN:
        before = None
    if mailed and not mails:
        mailed = None
    notified = mailed if email else False
    return ResultDetail(outcome, before, after, error, notified, attempts)


def _outcome(
    action: Action,
    pair: PairAnswer,
    before: EnrollmentState | None,
    after: EnrollmentState | None,
) -> tuple[Outcome, str | None]:
    if pair.invalid_identifier:
        return Outcome.INVALID_IDENTIFIER, NO_SUCH_LEARNER
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
    """Whether an address belongs to a retired account: enrolling it leaves all four flags false.

    Unenrolling a pending enrollment leaves them false as well, and does mail the learner.
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
