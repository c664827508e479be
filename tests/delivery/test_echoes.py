"""Answers that spell learners in their own way, and learners asked for in several spellings."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from unicodedata import normalize

import pytest

from async_enroll import Action, EnrollmentClient, Outcome, RosterEntry, RosterError
from async_enroll.journal import digest_of
from async_enroll.models import NOBODY
from async_enroll.planning.desired import Desired
from async_enroll.sandbox import Platform
from tests.servers import answer, talking, whole_request

C = "course-v1:Org+C1+2026"
OUT = {"user": True, "enrollment": False, "allowed": False, "auto_enroll": True}
Spell = Callable[[str], str]


def as_sent(text: str) -> str:
    return text


@asynccontextmanager
async def echoing(identifier: Spell, key: Spell) -> AsyncIterator[tuple[str, list[list[str]]]]:
    """A site that enrolls everybody and spells in its own way; its URL, and who was sent."""
    calls: list[list[str]] = []

    def result(who: str) -> dict[str, object]:
        if who == NOBODY:
            return {"identifier": who, "invalidIdentifier": True}
        return {"identifier": identifier(who), "before": OUT, "after": {**OUT, "enrollment": True}}

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            _, body = await whole_request(reader)
            call = json.loads(body)
            who = call["identifiers"].split(",")
            if who != [NOBODY]:
                calls.append(who)
            courses = {
                key(course): {"results": list(map(result, who))}
                for course in call["courses"].split(",")
            }
            writer.write(answer("200 OK", json.dumps({"courses": courses}).encode()))

    async with talking(conversation) as url:
        yield url, calls


@pytest.mark.parametrize(
    ("identifier", "key"),
    [
        (str.lower, as_sent),
        (lambda who: normalize("NFD", who), as_sent),
        (lambda who: who[:5], as_sent),
        (lambda who: "hidden", as_sent),
        (as_sent, str.lower),
        (as_sent, lambda course: course.replace("+", "%2B")),
        (as_sent, lambda course: course.replace("+", " ")),
    ],
    ids=["lower case", "normal form", "trimmed", "hidden", "key", "quoted key", "key with spaces"],
)
async def test_one_call_is_enough_however_the_site_spells(identifier: Spell, key: Spell) -> None:
    who = ["Jane@Example.org", "jöhn@example.org", "JIM"]
    async with echoing(identifier, key) as (url, calls):
        async with EnrollmentClient(url, "token", settle=0.1) as client:
            report = await client.bulk_enroll(who, [C, C.lower() + "x"], email_students=True)
    assert [
        (one.identifier, one.outcome, one.notified, one.attempts) for one in report.results[:3]
    ] == [(name, Outcome.ENROLLED, True, 1) for name in who]
    assert len(report.results) == 6
    assert calls == [who]


async def test_a_learner_in_several_spellings_is_mailed_once(
    platform: Platform, client: EnrollmentClient
) -> None:
    names = ["Learner1@Example.org", "learner1@example.org", "LEARNER1@EXAMPLE.ORG"]
    course = "course-v1:Org+C0+2026"
    direct = await client.bulk_enroll(names, [course], email_students=True)
    entries = [RosterEntry(name, "course-v1:Org+C1+2026") for name in names]
    applied = await client.apply(entries, email_students=True)
    for report in (direct, applied):
        (result,) = report.results
        assert (result.identifier, result.outcome) == (names[0], Outcome.ENROLLED)
    assert len(platform.outbox) == 2


async def test_in_and_out_in_two_spellings_is_a_contradiction(
    platform: Platform, client: EnrollmentClient
) -> None:
    entries = [
        RosterEntry("New@Example.org", C),
        RosterEntry("new@example.org", C, Action.UNENROLL),
    ]
    with pytest.raises(RosterError, match=r"'new@.*', also spelled 'New@.*"):
        await client.apply(entries)
    assert not platform.requests


async def test_sharp_s_is_no_double_s(platform: Platform, client: EnrollmentClient) -> None:
    platform.add_user("straße", "one@example.org")
    platform.add_user("strasse", "other@example.org")
    course = "course-v1:Org+C1+2026"
    report = await client.bulk_enroll(["straße", "strasse"], [course])
    assert report.counts == {Outcome.ENROLLED: 2}


def test_a_roster_is_the_same_to_its_journal_however_it_is_spelled() -> None:
    def digest(*identifiers: str) -> str:
        desired = Desired()
        for identifier in identifiers:
            desired.add(identifier, C, Action.ENROLL)
        return digest_of(desired)

    assert digest("Jane@Example.org", "jöe") == digest("jane@example.org", "JO\u0308E")
    assert digest("straße") != digest("strasse")
