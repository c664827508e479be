"""`async-enroll doctor`: what it finds, without touching anybody."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from async_enroll import RequestWindow
from async_enroll.sandbox import Platform
from tests.cli.command import C0, Ended, environment, run, signing_in
from tests.http.proxies import HOST, behind_tls, proxying
from tests.servers import answer, saying


def marks(ended: Ended) -> dict[str, str]:
    """The mark of each check, by its name."""
    lines = [line for line in ended.out.splitlines() if not line.startswith(" ")]
    return {line[2:15].strip(): line[0] for line in lines}


ALL_WELL = dict.fromkeys(
    [
        "URL",
        "window",
        "connection",
        "token",
        "staff",
        "bulk endpoint",
        "release",
        "listing",
        "throttle",
    ],
    "✓",
)


@pytest.fixture
async def silent(platform: Platform) -> AsyncIterator[Platform]:
    """A platform that must be left as it is."""
    yield platform
    assert platform.audit == []
    assert platform.outbox == []
    assert platform.enrollments == []


async def test_all_well(silent: Platform) -> None:
    ended = await run("doctor", env=environment(silent))
    assert (ended.status, ended.err) == (0, "")
    assert marks(ended) == ALL_WELL


async def test_a_course_that_is_there(silent: Platform) -> None:
    ended = await run("doctor", "--course-id", C0, env=environment(silent))
    assert ended.status == 0
    assert marks(ended) == {**ALL_WELL, "course": "✓"}


@pytest.mark.parametrize("course", ["course-v1:Org+None+2026", "no course key", "course-v1:F+1+1"])
async def test_a_course_that_is_not(silent: Platform, course: str) -> None:
    silent.add_course("course-v1:F+1+1", forbidden=True)
    ended = await run("doctor", "--course-id", course, env=environment(silent))
    assert ended.status == 3
    assert marks(ended) == {**ALL_WELL, "course": "✗"}
    assert "→ copy the key" in ended.out


@pytest.mark.parametrize(
    ("release", "path", "words"),
    [
        ("2020", "with and without a trailing slash", "behaves like Open edX of 2020, or older"),
        ("2022", "without a trailing slash", "behaves like Open edX of 2022 to mid-2025"),
        ("2026", "without a trailing slash", "behaves like Open edX of 2026, or newer"),
    ],
)
async def test_a_release(release: str, path: str, words: str) -> None:
    async with Platform(release=release, window=None) as platform:
        platform.add_course(C0)
        env = signing_in(platform)
        ended = await run("doctor", "--course-id", C0, env=env)
        assert not any([platform.audit, platform.outbox, platform.enrollments])
    assert marks(ended) == {**ALL_WELL, "course": "✓"}
    for told in (f"available, {path}", words, "accepted as JWT"):
        assert told in ended.out


async def test_a_wrong_token(silent: Platform) -> None:
    env = {**environment(silent), "ASYNC_ENROLL_TOKEN": "wrong-token"}
    ended = await run("doctor", env=env)
    assert ended.status == 3
    told = marks(ended)
    assert (told["token"], told["staff"], told["listing"]) == ("✗", "-", "-")
    assert "→ get a new token" in ended.out


async def test_all_well_with_a_client_id_and_secret(silent: Platform) -> None:
    ended = await run("doctor", env=signing_in(silent))
    assert (ended.status, ended.err) == (0, "")
    assert marks(ended) == ALL_WELL


async def test_a_wrong_secret(silent: Platform) -> None:
    ended = await run("doctor", env=signing_in(silent, "sesame"))
    assert ended.status == 3
    assert marks(ended) == {"URL": "✓", "window": "✓", "connection": "✓", "token": "✗"}
    assert "→ check the client ID and secret" in ended.out


async def test_a_token_without_permission(silent: Platform) -> None:
    env = {**environment(silent), "ASYNC_ENROLL_TOKEN": silent.add_token(staff=False)}
    ended = await run("doctor", env=env)
    assert ended.status == 3
    told = marks(ended)
    assert (told["token"], told["staff"], told["listing"]) == ("✓", "✗", "✗")


async def test_an_endpoint_switched_off() -> None:
    async with Platform(bulk_enrollment_view=False) as platform:
        ended = await run("doctor", env=environment(platform))
    assert ended.status == 3
    told = marks(ended)
    assert (told["token"], told["bulk endpoint"], told["listing"]) == ("✓", "✗", "✓")
    assert "ENABLE_BULK_ENROLLMENT_VIEW" in ended.out


async def test_plain_open_edx() -> None:
    async with Platform(listing=None) as platform:
        ended = await run("doctor", env=environment(platform))
    assert ended.status == 0
    assert marks(ended) == ALL_WELL
    assert "Open edX's enrollment list: no e-mail addresses" in ended.out


async def test_a_site_that_lists_nothing() -> None:
    async with Platform(listing=None, core_listing=False) as platform:
        ended = await run("doctor", env=environment(platform))
    assert ended.status == 3
    assert marks(ended) == {**ALL_WELL, "listing": "✗"}
    assert "→ check the URL; ask the site's operators to allow" in ended.out


async def test_a_full_window() -> None:
    async with Platform(window=RequestWindow(calls=2, seconds=60)) as platform:
        assert marks(await run("doctor", env=environment(platform))) == ALL_WELL
        ended = await run("doctor", env=environment(platform))
    assert ended.status == 0
    assert marks(ended) == {**ALL_WELL, "release": "-", "throttle": "-"}
    assert "throttled now: calls are retried after" in ended.out


async def test_nobody_listens(platform: Platform) -> None:
    env = {**environment(platform), "ASYNC_ENROLL_URL": "http://127.0.0.1:1"}
    ended = await run("doctor", env=env)
    assert ended.status == 3
    assert marks(ended) == {"URL": "✓", "window": "✓", "connection": "✗"}


def behind(proxy: str, platform: Platform, authority: Path) -> dict[str, str]:
    """An environment in which the platform has TLS, and is behind a proxy."""
    return {
        **environment(platform),
        "ASYNC_ENROLL_URL": f"https://{HOST}",
        "HTTPS_PROXY": proxy,
        "SSL_CERT_FILE": str(authority),
    }


@pytest.fixture
def authority(tmp_path: Path) -> tuple[trustme.CA, Path]:
    """A certificate authority that nobody knows, and a file with its certificate."""
    made, file = trustme.CA(), tmp_path / "authority.pem"
    made.cert_pem.write_to_path(str(file))
    return made, file


async def test_a_proxy_and_an_authority_of_one_s_own(
    silent: Platform, authority: tuple[trustme.CA, Path]
) -> None:
    async with behind_tls(silent.url, authority[0]) as url, proxying(url, "me:sesame") as proxy:
        named = proxy.url.replace("//", "//me:sesame@")
        ended = await run("doctor", env=behind(named, silent, authority[1]))
        assert (ended.status, ended.err) == (0, "")
        assert marks(ended) == {**ALL_WELL, "proxy": "✓", "certificates": "✓"}
        assert f"HTTPS_PROXY is set to {proxy.url}\n" in ended.out
        assert "sesame" not in ended.out

        ended = await run("doctor", env=behind(proxy.url, silent, authority[1]))
        assert ended.status == 3
        told = marks(ended)
        assert (told["proxy"], told["connection"]) == ("✓", "✗")
        assert "asks for a user and password" in ended.out
        assert "→ check the URL, HTTPS_PROXY, the network" in ended.out

        nothing = authority[1].with_name("none.pem")
        ended = await run("doctor", env=behind(named, silent, nothing))
        assert ended.status == 3
        told = marks(ended)
        assert (told["certificates"], told["connection"]) == ("✗", "✗")
        assert "shows no valid certificate" in ended.out


async def test_a_proxy_that_is_not_for_this_site(silent: Platform) -> None:
    env = {
        **environment(silent),
        "ASYNC_ENROLL_URL": f"https://{HOST}.invalid",
        "HTTPS_PROXY": "http://me:sesame@proxy:3128",
        "NO_PROXY": ".invalid",
    }
    ended = await run("doctor", env=env)
    assert ended.status == 3
    assert marks(ended) == {"URL": "✓", "window": "✓", "proxy": "-", "connection": "✗"}
    assert "sesame" not in ended.out


async def test_something_else_answers() -> None:
    page = answer("200 OK", b"<html><title>Welcome</title></html>", kind="text/html")
    async with saying(page) as url:
        env = {"ASYNC_ENROLL_URL": url, "ASYNC_ENROLL_TOKEN": "some-token"}
        ended = await run("doctor", env={**environment(), **env})
    assert ended.status == 3
    told = marks(ended)
    assert (told["bulk endpoint"], told["listing"]) == ("✗", "✗")


async def test_a_url_copied_from_a_browser(platform: Platform) -> None:
    url = f"https://{HOST}/courses/course-v1:Org+C1+2026/about"
    ended = await run("doctor", "--url", url, env=environment(platform))
    assert (ended.status, ended.out) == (2, "")
    assert f"did you mean https://{HOST}?" in ended.err


async def test_a_bad_url_is_a_bad_argument(platform: Platform) -> None:
    ended = await run("doctor", "--url", "example.org", env=environment(platform))
    assert (ended.status, ended.out) == (2, "")
    assert "is no site's URL" in ended.err


async def test_json(silent: Platform) -> None:
    ended = await run("doctor", "--json", env=environment(silent))
    checks = json.loads(ended.out)
    assert [check["name"] for check in checks] == list(ALL_WELL)
    assert {check["state"] for check in checks} == {"ok"}
