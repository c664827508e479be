"""The platform spoken to without any of the client's modules."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
from aiohttp import ClientSession
from attrs import frozen
from yarl import URL

from async_enroll.sandbox import Platform

C1 = "course-v1:Org+One+2026"
C2 = "course-v1:Org+Two+2026"
MISSING = "course-v1:Org+Missing+2026"

BULK = "/api/bulk_enroll/v1/bulk_enroll/"
LISTING = "/api/so2/v1/enrollments"
HEADERS = {"Access-Control-Request-Headers": "authorization", "Content-Type": "application/json"}


@frozen
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        assert self.headers["Content-Type"] == "application/json"
        return msgspec.json.decode(self.body)

    @property
    def is_page(self) -> bool:
        return self.headers["Content-Type"].startswith("text/html") and b"<html>" in self.body


@frozen
class Raw:
    """A caller with the platform's token, unless given another or none.

    `path` is where it finds the bulk endpoint.
    """

    session: ClientSession
    url: str
    token: str | None
    path: str = BULK

    @property
    def headers(self) -> dict[str, str]:
        token = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        return {**HEADERS, **token}

    async def request(self, method: str, target: str, **options: Any) -> Answer:
        """Send `target`, a path and query, exactly as it is written."""
        headers = {**self.headers, **options.pop("headers", {})}
        url = URL(self.url + target, encoded=True)
        async with self.session.request(method, url, headers=headers, **options) as response:
            return Answer(response.status, response.headers, await response.read())

    async def bulk(self, identifiers: Any, courses: Any, **fields: Any) -> Answer:
        """A bulk call: to enroll, and without mail, unless `fields` say otherwise."""
        content = {
            "action": "enroll",
            "auto_enroll": True,
            "email_students": False,
            "identifiers": identifiers,
            "courses": courses,
            **fields,
        }
        return await self.post(content)

    async def post(self, content: Any) -> Answer:
        return await self.request("POST", self.path, data=msgspec.json.encode(content))

    async def results(self, identifiers: str, course: str, **fields: Any) -> list[dict[str, Any]]:
        """The results of a bulk call in one course, which has to succeed."""
        answer = await self.bulk(identifiers, course, **fields)
        assert answer.status == 200, answer
        results: list[dict[str, Any]] = answer.json["courses"][course]["results"]
        return results

    def using(self, token: str | None) -> "Raw":
        return Raw(self.session, self.url, token, self.path)


@asynccontextmanager
async def speaking_to(platform: Platform) -> AsyncIterator[Raw]:
    async with ClientSession(skip_auto_headers=["Content-Type"]) as session:
        yield Raw(session, platform.url, platform.token, platform.release.paths[0])


def small_platform(**options: Any) -> Platform:
    """Jane and Joe, nowhere enrolled, and two courses, the first with cohorts."""
    platform = Platform(**options)
    platform.add_user("Jane", "Jane@example.org")
    platform.add_user("joe", "joe@example.org")
    platform.add_course(C1, cohorts=["A", "B"])
    platform.add_course(C2)
    return platform


async def until_mailed(platform: Platform, count: int) -> None:
    """Return when so many mails have left."""
    with anyio.fail_after(2):
        while len(platform.outbox) < count:
            await anyio.sleep(0.005)


def state(*names: str, **cohort: str | None) -> dict[str, Any]:
    """A state that is true of what is named only; with ``cohort=`` where the call names any."""
    every = ("user", "enrollment", "allowed", "auto_enroll")
    return {**{name: name in names for name in every}, **cohort}
