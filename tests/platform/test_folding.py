"""Answers in which all learners have the same result, read without parsing each."""

import json
import tracemalloc
from collections.abc import Sequence
from itertools import chain
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from async_enroll import UnexpectedResponse
from async_enroll.delivery.attempt import Attempt
from async_enroll.delivery.outcomes import answered
from async_enroll.models import Action, Batch
from async_enroll.platform.folding import EVERYONE, folded
from async_enroll.platform.json import AlikeAnswer, bulk_answer

STATE = {"user": True, "enrollment": False, "allowed": False, "auto_enroll": True}
ENROLLED = {"before": STATE, "after": {**STATE, "enrollment": True}}
ALREADY = {"before": {**STATE, "enrollment": True}, "after": {**STATE, "enrollment": True}}
FAILED: dict[str, Any] = {"error": True}
INVALID: dict[str, Any] = {"invalidIdentifier": True}
WHO = ["jane@example.org", "joe", "ann", "zoë", 'a"b', "back\\slash"]


def result(identifier: str, said: dict[str, Any]) -> dict[str, Any]:
    return {"identifier": identifier, **said}


def body_of(courses: dict[str, list[dict[str, Any]]], **form: Any) -> bytes:
    results = {key: {"action": "enroll", "results": some} for key, some in courses.items()}
    return json.dumps({"action": "enroll", "courses": results}, **form).encode()


COMPACT: dict[str, Any] = {"separators": (",", ":"), "ensure_ascii": False}
FORMS = [COMPACT, {"ensure_ascii": False}, {"indent": 1, "ensure_ascii": False}, {}]


@pytest.mark.parametrize("form", FORMS[:3])
@pytest.mark.parametrize("said", [ENROLLED, FAILED, INVALID])
def test_all_alike_in_every_course(form: dict[str, Any], said: dict[str, Any]) -> None:
    body = body_of({key: [result(who, said) for who in WHO] for key in ("c1", "c2")}, **form)
    courses = bulk_answer(body, WHO).courses
    assert list(courses) == ["c1", "c2"]
    assert all(isinstance(course, AlikeAnswer) for course in courses.values())
    assert len(folded(body, WHO)[0]) < len(body)


@pytest.mark.parametrize(
    "results",
    [
        [result(who, ENROLLED if who != "ann" else ALREADY) for who in WHO],
        [result(who, ALREADY if who == WHO[0] else ENROLLED) for who in WHO],
        [result(who, ALREADY if who == WHO[-1] else ENROLLED) for who in WHO],
        [result(who, ENROLLED) for who in WHO[:-1]],
        [result(who, ENROLLED) for who in reversed(WHO)],
        [result(who, ENROLLED) for who in [*WHO, "stranger"]],
        [result(who, ENROLLED) for who in ["stranger", *WHO]],
        [result(who, ENROLLED) for who in [*WHO, *WHO]],
        [result(who, ENROLLED) for who in [*WHO[:2], "ANN", *WHO[3:]]],
        [],
    ],
)
def test_what_is_not_alike_is_read_one_by_one(results: list[dict[str, Any]]) -> None:
    courses = bulk_answer(body_of({"c1": results}, **COMPACT), WHO).courses
    assert not isinstance(courses["c1"], AlikeAnswer)
    assert [pair.identifier for pair in courses["c1"].results] == [
        one["identifier"] for one in results
    ]


def test_results_that_only_look_like_it() -> None:
    """The text is that of results, but elsewhere; the results are those of three others."""
    alike = [result(who, ENROLLED) for who in WHO]
    others = [result(EVERYONE, ENROLLED) for _ in range(3)]
    more = {"c1": {"results": others}, "c2": {"results": alike, "results of others": alike}}
    body = json.dumps({"courses": more}, **COMPACT).encode()
    courses = bulk_answer(body, WHO).courses
    assert not any(isinstance(course, AlikeAnswer) for course in courses.values())
    assert [len(course.results) for course in courses.values()] == [3, len(WHO)]


def test_no_text_is_made_that_is_longer_than_the_answer() -> None:
    """The second learner is far from the first: what is between them is no repeated text."""
    who = [*(f"learner{number}" for number in range(1_000)), "last"]
    sent = [who[0], who[-1], *who[1:-1]]
    body = body_of({"c1": [result(one, ENROLLED) for one in who]}, **COMPACT)
    tracemalloc.start()
    assert folded(body, sent) == (body, 0)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 10 * len(body)


@pytest.mark.parametrize("broken", [0, 1, len(WHO) - 1])
@pytest.mark.parametrize("user", ["yes", 1])
def test_what_is_malformed_is_named_by_its_path(broken: int, user: object) -> None:
    results = [result(who, ENROLLED) for who in WHO]
    results[broken] = result(WHO[broken], {"before": {**STATE, "user": user}, "after": STATE})
    with pytest.raises(UnexpectedResponse) as raised:
        bulk_answer(body_of({"c1": results}, **COMPACT), WHO)
    assert raised.value.path == f"courses['c1'].results[{broken}].before.user"


def test_what_is_malformed_everywhere_is_named_by_its_first_path() -> None:
    said = {"before": {**STATE, "user": "yes"}, "after": STATE}
    with pytest.raises(UnexpectedResponse, match="Expected `bool`") as raised:
        bulk_answer(body_of({"c1": [result(who, said) for who in WHO]}, **COMPACT), WHO)
    assert raised.value.path == "courses['c1'].results[0].before.user"


@pytest.mark.parametrize("rest", [b"", b'"x": ' + 200_000 * b"[" + 200_000 * b"]" + b"}"])
def test_what_is_no_json_is_refused_as_ever(rest: bytes) -> None:
    whole = body_of({"c1": [result(who, ENROLLED) for who in WHO]}, **COMPACT)
    body = whole.removesuffix(b"}") + b"," + rest
    assert folded(body, WHO)[1] == 1
    with pytest.raises(UnexpectedResponse, match="not JSON"):
        bulk_answer(body, WHO)


WORDS = st.text(min_size=1, max_size=6).filter(lambda text: "," not in text and text.isprintable())
TOLD = st.sampled_from([ENROLLED, ENROLLED, ENROLLED, ALREADY, FAILED, INVALID, {}])


@st.composite
def answers(draw: st.DrawFn) -> tuple[list[str], bytes]:
    """Identifiers, and an answer that says mostly the same of them, in some form of JSON."""
    sent = draw(st.lists(WORDS, min_size=1, max_size=7, unique=True))
    courses = {}
    for key in draw(st.sampled_from([["c1"], ["c1", "c2"]])):
        said = draw(TOLD)
        who = sent if draw(st.integers(0, 3)) else draw(st.permutations([*sent, draw(WORDS)]))
        some = [result(one, said) for one in who]
        if not draw(st.integers(0, 3)):
            at = draw(st.integers(0, len(some) - 1))
            some[at] = result(some[at]["identifier"], draw(TOLD))
        courses[key] = some
    return sent, body_of(courses, **draw(st.sampled_from(FORMS)))


@given(answers())
@example((["enroll", "action", "results"], body_of({"c1": [], "c2": []}, **COMPACT)))
@example((["a", "a\\", "b"], body_of({"c1": [result(who, ENROLLED) for who in ("a", "a\\", "b")]})))
def test_the_results_are_those_of_parsing_each(made: tuple[Sequence[str], bytes]) -> None:
    sent, body = made
    attempt = Attempt(Batch(Action.ENROLL, ("c1", "c2"), tuple(sent)), email=True, attempts=1)
    quick, slow = (answered(attempt, bulk_answer(body, known)) for known in (sent, ()))
    assert list(chain.from_iterable(quick.blocks)) == list(chain.from_iterable(slow.blocks))
    assert quick[1:] == slow[1:]
