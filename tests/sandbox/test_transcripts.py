"""The sandbox against the transcripts of Open edX's code of four dates."""

import re
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import ClientSession
from attrs import frozen
from yarl import URL

from async_enroll.sandbox import RELEASES, Platform
from tests.sandbox.transcripts import answer_of, cases, effect, effects, world

DIFFERENCES: Mapping[tuple[str, str], str] = {
    ("real path, with a slash", "moocit"): "MOOCit's reference has the slash",
    ("real path, without a slash", "moocit"): "and nothing else",
}
"""What differs on purpose: (case, release), and why. MOOCit is held against 2022."""

CASES = cases()
BARE = "api/bulk_enroll/v1/bulk_enroll"
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")


def target(case: Mapping[str, Any], release: str) -> str:
    """Where a request goes: bulk calls to the path that the release routes."""
    path: str = case["request"]["path"]
    if path.rstrip("/") == BARE and not case["case"].startswith("real path"):
        return RELEASES[release].paths[0]
    return f"/{path}"


def headers(request: Mapping[str, Any]) -> dict[str, str]:
    found = {"Authorization": "Bearer staff-token", **request.get("headers", {})}
    if request.get("content_type"):
        found["Content-Type"] = request["content_type"]
    return {name: value for name, value in found.items() if value}


def body(request: Mapping[str, Any]) -> bytes | None:
    r"""The body's bytes; ``\xff`` stands for that byte."""
    text = request.get("body")
    if text is None:
        return None
    return b"\xff".join(part.encode() for part in text.split("\\xff"))


async def send(
    session: ClientSession, platform: Platform, case: Mapping[str, Any]
) -> dict[str, Any]:
    """A request's answer and effect, as the transcripts put them."""
    before = effects(platform)
    request = case["request"]
    url = URL(platform.url + target(case, platform.release.name), encoded=True)
    async with session.request(
        request["method"], url, headers=headers(request), data=body(request)
    ) as response:
        data = await response.read()
    media_type = response.headers.get("Content-Type", "").partition(";")[0]
    content: Any = data.decode()
    if media_type == "text/html":
        content = "<page>"
    elif data:
        content = msgspec.json.decode(data)
    if request["method"] == "OPTIONS":
        content = {"keys": sorted(content)}
    return {
        "status": response.status,
        "type": media_type,
        "headers": {
            name: response.headers[name]
            for name in ("Allow", "WWW-Authenticate")
            if name in response.headers
        },
        "body": content,
        "effect": effect(before, effects(platform)),
    }


@frozen
class Preparation:
    """Has the world be as a request found it.

    The recorded world had been put in order before each request: how, is read from what the
    answer tells of the state before, and from what is gone since.
    """

    session: ClientSession
    platform: Platform

    async def make(self, answer: Mapping[str, Any]) -> None:
        """Prepare for the request that was so answered."""
        content = answer["body"] if answer["status"] == HTTPStatus.OK else {}
        change = answer["effect"]
        gone = change.get("gone", {})
        for username, course_id, active in gone.get("rows", ()):
            self.enrolled(username, course_id)
            if not active:
                await self.bulk(username, course_id, action="unenroll")
        for email, course_id, auto_enroll in gone.get("allowed", ()):
            self.allowed(email, course_id, auto_enroll=auto_enroll)
        for learner, course_id, cohort in gone.get("cohorts", []) + gone.get("precohorts", []):
            await self.bulk(learner, course_id, cohorts=cohort)
        for course_id, course in content.get("courses", {}).items():
            for result in course.get("results", ()):
                if "before" in result:
                    await self.unchanged(change, course_id, result)
        if "results" in content:
            self.listed()

    async def unchanged(
        self, change: Mapping[str, Any], course_id: str, result: Mapping[str, Any]
    ) -> None:
        """Prepare what a result tells of before, where the request did not do it itself."""
        before, identifier = result["before"], result["identifier"]
        name = identifier.partition("@")[0].lower()

        def touched(*kinds: str) -> bool:
            rows = [row for kind in kinds for row in change.get(kind, ())]
            rows += [row for kind in kinds for row in change.get("gone", {}).get(kind, ())]
            return any(row[0] in {name, identifier.lower()} for row in rows)

        if before["enrollment"] and not touched("rows"):
            self.enrolled(name, course_id)
        if before["allowed"] and not touched("allowed"):
            if before["user"] and name == "late":
                self.late()
            self.allowed(identifier, course_id, auto_enroll=before["auto_enroll"])
        if before.get("cohort") and not touched("cohorts"):
            await self.bulk(identifier, course_id, cohorts=before["cohort"])

    def late(self) -> None:
        """Register who was allowed before. The recorded world did so without enrolling them."""
        with suppress(ValueError):
            self.platform.add_user("late", "late@example.org")

    def listed(self) -> None:
        """Enroll those of whom the list cases found all or some."""
        for course_id in ("course-v1:Org+C1+2026", "course-v1:Org+C2+2026"):
            for username in ("learner01", "learner02", "Zoë"):
                self.enrolled(username, course_id)

    def enrolled(self, username: str, course_id: str) -> None:
        if username == "late":
            self.late()
        self.platform.enroll(username, course_id)

    def allowed(self, email: str, course_id: str, *, auto_enroll: bool) -> None:
        self.platform.allow(email, course_id, auto_enroll=auto_enroll)

    async def bulk(self, identifier: str, course_id: str, **fields: str) -> None:
        content = {"action": "enroll", "identifiers": identifier, "courses": course_id, **fields}
        path = self.platform.release.paths[0]
        sent = {"Authorization": "Bearer staff-token", "Content-Type": "application/json"}
        async with self.session.post(
            self.platform.url + path, json=content, headers=sent
        ) as response:
            assert response.status == 200


@pytest.mark.parametrize("release", RELEASES)
async def test_answers_and_does_what_open_edx_did(release: str) -> None:
    differing = {}
    timeout = aiohttp.ClientTimeout(total=10)
    skipped = ["Content-Type", "Accept"]
    async with ClientSession(timeout=timeout, skip_auto_headers=skipped) as session:
        for case in CASES:
            expected = answer_of(case, "2022" if release == "moocit" else release)
            if expected is None:
                continue
            async with world(release) as platform:
                if case["case"] == "list after that":
                    # The one case that goes on where the one before it ended.
                    await send(session, platform, CASES[CASES.index(case) - 1])
                else:
                    await Preparation(session, platform).make(expected)
                found = await send(session, platform, case)
            if differences := compared(expected, found):
                differing[case["case"]] = differences
    told = {case for case, where in DIFFERENCES if where == release}
    assert differing.keys() == told, msgspec.json.format(
        msgspec.json.encode({case: what for case, what in differing.items() if case not in told})
    ).decode()


def compared(expected: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """What differs, as was expected and as it was found.

    Vary is left out: a site's proxies have their say in it.
    """
    expected = dict(expected, headers=dict(expected.get("headers", found["headers"])))
    expected["headers"].pop("Vary", None)
    return {
        name: (usual(expected[name]), usual(found[name]))
        for name in ("status", "type", "headers", "body", "effect")
        if usual(expected[name]) != usual(found[name])
    }


def usual(content: Any) -> Any:
    """Content with moments, ports, task ids and cursors made alike."""
    text = msgspec.json.encode(content).decode()
    text = MOMENT.sub("MOMENT", text)
    text = re.sub(r"http://127\.0\.0\.1:\d+", "SITE", text)
    text = re.sub(r"cursor=[^&\"]+", "cursor=CURSOR", text)
    text = re.sub(r'"task_id":"[-0-9a-f]{36}"', '"task_id":"TASK"', text)
    return msgspec.json.decode(text)
