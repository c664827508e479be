"""What stands in front of a site and answers in its place: firewalls, logins, gateways."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count

import msgspec
import pytest

from async_enroll import (
    AuthenticationError,
    BatchLimits,
    ConfigurationError,
    EnrollmentClient,
    EnrollmentReport,
    Outcome,
    PermissionDenied,
    PlatformError,
    RequestWindow,
    TransportError,
)
from tests.servers import answer, talking, whole_request

COURSE = "course-v1:Org+C0+2026"
LEARNERS = [f"new{number}@example.org" for number in range(40)]
REJECTED = b"<html><title>Request Rejected</title></html>"
PAGES = {
    "403": answer("403 Forbidden", REJECTED, kind="text/html"),
    "406": answer("406 Not Acceptable", REJECTED, kind="text/html"),
    "404": answer("404 Not Found", REJECTED, kind="text/html"),
    "200": answer("200 OK", REJECTED, kind="text/html"),
    "302": answer("302 Found", b"", "Location: https://id.example.org/login", kind="text/html"),
}
Says = Callable[[bytes, int], bytes | None]
"""What is said to a body, the n-th that has come; None: what the platform says."""


class Site:
    """Waits for everybody's registration; `mails` counts how often each was mailed."""

    def __init__(self, says: Says) -> None:
        self._says = says
        self._number = count()
        self.calls = 0
        self.waiting: set[str] = set()
        self.mails: dict[str, int] = {}

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        async with talking(self._conversation) as url:
            yield url

    async def _conversation(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while True:
            head, body = await whole_request(reader)
            if head.startswith(b"GET"):
                said = answer("404 Not Found", b"<html></html>", kind="text/html")
            else:
                self.calls += 1
                said = self._says(body, next(self._number)) or self._done(msgspec.json.decode(body))
            writer.write(said)
            await writer.drain()

    def _done(self, call: dict[str, object]) -> bytes:
        results = []
        for who in str(call["identifiers"]).split(","):
            if who == "preflight@":
                results.append({"identifier": who, "invalidIdentifier": True})
                continue
            states = []
            for waits in (who in self.waiting, True):
                states.append({"user": False, "enrollment": False, "allowed": waits})
                states[-1]["auto_enroll"] = True
            results.append({"identifier": who, "before": states[0], "after": states[1]})
            self.waiting.add(who)
            if call["email_students"]:
                self.mails[who] = self.mails.get(who, 0) + 1
        courses = {COURSE: {"results": results}}
        return answer("200 OK", msgspec.json.encode({"courses": courses}))


def client_of(url: str, **settings: object) -> EnrollmentClient:
    return EnrollmentClient(
        url,
        "token",
        **{  # type: ignore[arg-type]  # any of them
            "window": RequestWindow(1000, 0.2),
            "settle": 0.2,
            "patience": 3.0,
            "batch": BatchLimits(identifiers=10),
            **settings,
        },
    )


async def enroll(site: Site, **settings: object) -> EnrollmentReport:
    async with site.serving() as url, client_of(url, **settings) as client:
        return await client.bulk_enroll(LEARNERS, [COURSE], email_students=True)


@pytest.mark.parametrize("kind", PAGES)
async def test_a_page_that_stays_with_one_learner_is_narrowed_down_and_named(kind: str) -> None:
    culprit = LEARNERS[17]
    site = Site(lambda body, _: PAGES[kind] if culprit.encode() in body else None)
    report = await enroll(site)
    (failure,) = report.failures
    assert failure.identifier == culprit
    assert site.waiting == set(LEARNERS) - {culprit}
    assert max(site.mails.values()) == 1
    expected = Outcome.UNCONFIRMED if kind == "200" else Outcome.REJECTED
    assert failure.outcome is expected
    words = {
        "302": "the site asks for a login",
        "404": "no such endpoint: status 404, a page titled 'Request Rejected'",
    }
    rejects = "a firewall in front of the site rejects this call ('Request Rejected')"
    assert words.get(kind, rejects) in (failure.error or "")
    # Whether nothing was done is known of all pages but one with status 200.
    others = {one.notified for one in report.results if one.identifier != culprit}
    assert others == ({None, True} if kind == "200" else {True})
    assert site.calls < 40


@pytest.mark.parametrize("kind", PAGES)
async def test_a_page_that_meets_all_calls_for_a_while_is_waited_out(kind: str) -> None:
    site = Site(lambda _, number: PAGES[kind] if 3 <= number < 12 else None)
    report = await enroll(site)
    assert report.ok
    assert site.waiting == set(LEARNERS)
    assert max(site.mails.values(), default=0) <= 1
    if kind != "200":
        assert set(site.mails) == set(LEARNERS)
        assert {one.notified for one in report.results} == {True}


@pytest.mark.parametrize(
    ("kind", "words"),
    [("403", "a firewall in front of the site"), ("302", "the site asks for a login")],
)
async def test_a_page_that_stays_stops_the_job_and_is_named(kind: str, words: str) -> None:
    site = Site(lambda _, number: PAGES[kind] if number >= 3 else None)
    with pytest.raises(TransportError, match=words) as raised:
        await enroll(site, concurrency=1, patience=0.5)
    report = raised.value.report
    assert report is not None
    assert report.counts[Outcome.ALLOWED] == 20
    assert report.counts[Outcome.REJECTED] == 20
    assert {one.notified for one in report.failures} == {False}


@pytest.mark.parametrize(
    ("kind", "error"),
    [("403", PlatformError), ("404", PlatformError), ("200", PlatformError)],
)
async def test_a_page_from_the_start_stops_the_job_at_once(
    kind: str, error: type[PlatformError]
) -> None:
    site = Site(lambda _, __: PAGES[kind])
    with pytest.raises(error, match="Request Rejected"):
        await enroll(site)
    assert site.calls <= 2


async def test_a_redirect_from_the_start_is_a_matter_of_the_url() -> None:
    site = Site(lambda _, __: PAGES["302"])
    with pytest.raises(ConfigurationError, match="asks for a login"):
        await enroll(site)


async def test_a_gateways_404_in_json_is_named_from_the_start_and_withstood_later() -> None:
    gateway = answer("404 Not Found", b'{"message": "no Route matched with those values"}')
    with pytest.raises(PlatformError, match="no such endpoint: message: no Route matched"):
        await enroll(Site(lambda _, __: gateway))
    site = Site(lambda _, number: gateway if number in (3, 5) else None)
    report = await enroll(site)
    assert report.ok
    assert max(site.mails.values()) == 1


async def test_a_gateways_403_in_json_is_that_calls_own_affair() -> None:
    gateway = answer("403 Forbidden", b'{"message": "Forbidden"}')
    with pytest.raises(PermissionDenied, match=r"gateway in front of the site.*Forbidden"):
        await enroll(Site(lambda _, __: gateway))
    culprit = LEARNERS[17]
    report = await enroll(Site(lambda body, _: gateway if culprit.encode() in body else None))
    assert [one.identifier for one in report.failures] == [culprit]
    assert {one.notified for one in report if one.outcome.ok} == {True}


@pytest.mark.parametrize(("strays", "stops"), [(1, False), (3, True)])
async def test_a_stray_401_does_not_stop_a_job(strays: int, stops: bool) -> None:
    expired = answer("401 Unauthorized", b'{"detail": "Expired."}')
    site = Site(lambda _, number: expired if 2 <= number < 2 + strays else None)
    if stops:
        with pytest.raises(AuthenticationError, match="Expired"):
            await enroll(site, concurrency=1)
    else:
        report = await enroll(site, concurrency=1)
        assert {one.notified for one in report.results} == {True}


async def test_a_site_that_finds_everything_too_large_is_not_asked_about_each() -> None:
    too_large = answer("413 Too Large", REJECTED, kind="text/html")
    site = Site(lambda body, _: None if b"preflight@" in body else too_large)
    identifiers = [f"new{number}@example.org" for number in range(2000)]
    async with site.serving() as url, client_of(url, batch=BatchLimits()) as client:
        report = await client.bulk_enroll(identifiers, [COURSE])
    assert report.counts == {Outcome.REJECTED: 2000}
    assert site.calls < 400


async def test_a_call_of_unknown_fate_stays_so_where_the_site_then_asks_to_wait_for_a_day() -> None:
    def says(body: bytes, _: int) -> bytes | None:
        if LEARNERS[0].encode() not in body:
            return None
        client._throttle.hold(86_400)  # as a 429 to any other call would
        return PAGES["200"]

    site = Site(says)
    async with site.serving() as url, client_of(url, concurrency=1) as client:
        with pytest.raises(TransportError, match="asks to wait for 86,400 s") as raised:
            await client.bulk_enroll(LEARNERS[:10], [COURSE], email_students=True)
    report = raised.value.report
    assert report
    assert {one.outcome for one in report.results} == {Outcome.UNCONFIRMED}
    assert {one.notified for one in report.results} == {None}
