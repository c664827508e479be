"""Proxies of the environment, over real sockets: what they see, and what they never see."""

import ssl
import warnings
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import trustme
from yarl import URL

from async_enroll import (
    ClientCredentials,
    ConfigurationError,
    EnrollError,
    EnrollmentClient,
    TransportError,
)
from async_enroll.http.proxy import Proxy
from async_enroll.sandbox import Platform
from tests.http.proxies import HOST, Seen, behind_tls, proxying
from tests.servers import answer, saying
from tests.sessions import takes_sessions

COURSE = "course-v1:Org+C0+2026"


@pytest.fixture(autouse=True)
def without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
async def proxy(platform: Platform) -> AsyncIterator[Seen]:
    """A proxy to the platform, for a host that no resolver knows."""
    async with proxying(platform.url) as seen:
        yield seen


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def use(client: EnrollmentClient) -> None:
    report = await client.bulk_enroll(["learner1"], [COURSE])
    assert report.ok
    assert [record.username async for record in client.enrollments()] == ["learner1"]


async def test_plain_http(platform: Platform, proxy: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    site = f"http://{HOST}"
    async with EnrollmentClient(site, platform.token, allow_http=True) as client:
        await use(client)
    assert {head.split(b"/", 3)[2] for head in proxy.heads} == {HOST.encode()}
    assert proxy.header("Proxy-Authorization") == {None}


async def test_tls_through_a_tunnel(
    platform: Platform,
    authority: trustme.CA,
    context: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with behind_tls(platform.url, authority) as url, proxying(url) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.removeprefix("http://"))
        auth = ClientCredentials(*platform.add_application())
        async with EnrollmentClient(f"https://{HOST}", auth, ssl_context=context) as client:
            await use(client)
    assert {head.split(b" ")[0] for head in proxy.heads} == {b"CONNECT"}
    assert proxy.header("Authorization") == {None}


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_with_a_password(
    platform: Platform,
    authority: trustme.CA,
    context: ssl.SSLContext,
    scheme: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with behind_tls(platform.url, authority) as url:
        target = url if scheme == "https" else platform.url
        async with proxying(target, "jane:hunter 2") as proxy:
            named = proxy.url.replace("//", "//jane:hunter%202@")
            monkeypatch.setenv(f"{scheme.upper()}_PROXY", named)
            async with EnrollmentClient(
                f"{scheme}://{HOST}", platform.token, ssl_context=context, allow_http=True
            ) as client:
                await use(client)
            name = proxy.url.removeprefix("http://")
            monkeypatch.setenv(f"{scheme.upper()}_PROXY", proxy.url.replace("//", "//jane:oops@"))
            async with EnrollmentClient(
                f"{scheme}://{HOST}", platform.token, ssl_context=context, allow_http=True
            ) as client:
                with pytest.raises(ConfigurationError, match=f"proxy {name} asks for") as raised:
                    await client.bulk_enroll(["learner2"], [COURSE])
                with pytest.raises(ConfigurationError, match=f"proxy {name} asks for"):
                    await anext(client.enrollments())
    assert raised.value.report is not None
    assert "oops" not in str(raised.value)


async def test_a_proxy_that_cannot_reach_the_site(monkeypatch: pytest.MonkeyPatch) -> None:
    async with proxying("http://127.0.0.1:1", refusal="502 Bad Gateway") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        async with EnrollmentClient(f"https://{HOST}", "token") as client:
            words = rf"the proxy 127.* does not lead to https://{HOST}: 502 Bad Gateway"
            with pytest.raises(TransportError, match=words) as raised:
                await anext(client.enrollments())
    assert not raised.value.sent


@pytest.mark.parametrize(
    ("named", "words"),
    [
        (
            "http://me:hunter2@nowhere.invalid:3128",
            "the proxy nowhere.invalid has no address; HTTPS_PROXY is set to "
            "http://nowhere.invalid:3128",
        ),
        ("http://me:hunter2@127.0.0.1:1", "no connection to the proxy 127.0.0.1:1: "),
    ],
)
async def test_no_proxy_where_one_is_named(
    named: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", named)
    async with EnrollmentClient(f"https://{HOST}", "token") as client:
        with pytest.raises(TransportError) as raised:
            await anext(client.enrollments())
    assert words in str(raised.value)
    assert "hunter2" not in str(raised.value)
    assert not raised.value.sent


async def test_a_site_that_no_proxy_exempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:hunter2@proxy.example.org")
    monkeypatch.setenv("NO_PROXY", ".invalid")
    async with EnrollmentClient("https://nowhere.invalid", "token") as client:
        with pytest.raises(TransportError) as raised:
            await anext(client.enrollments())
    assert str(raised.value) == (
        "nowhere.invalid has no address; check the URL; HTTPS_PROXY is set to "
        "http://proxy.example.org, and NO_PROXY exempts this host"
    )


async def test_an_environment_that_is_not_trusted(
    platform: Platform, proxy: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    site = "http://nowhere.invalid"
    async with EnrollmentClient(site, platform.token, trust_env=False, allow_http=True) as client:
        with pytest.raises(TransportError, match="has no address; check the URL"):
            await anext(client.enrollments())
    async with EnrollmentClient(platform.url, platform.token) as client:  # loopback
        await use(client)
    assert not proxy.heads


@pytest.mark.parametrize(
    "named", ["socks5://me:hunter2@proxy", "http://", "http://me:hunter2@proxy:99999", "::"]
)
def test_what_is_no_proxy(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", named)
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY names no proxy") as raised:
        EnrollmentClient(f"https://{HOST}", "token")
    assert "hunter2" not in str(raised.value)
    EnrollmentClient(f"https://{HOST}", "token", trust_env=False)


@pytest.mark.parametrize(
    ("exempt", "skipped"),
    [
        ("", False),
        ("*", True),
        ("example.org", True),
        (".example.org", True),
        ("other.org, courses.example.org", True),
        ("courses.example.org:443", True),
        ("courses.example.org:8443", False),
        ("ourses.example.org", False),
    ],
)
def test_no_proxy(exempt: str, skipped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://me:hunter2@proxy")
    monkeypatch.setenv("no_proxy", exempt)
    proxy = Proxy.for_site(URL(f"https://{HOST}"))
    assert proxy is not None
    assert proxy.skipped == skipped
    assert proxy.name == "proxy:80"
    assert "hunter2" not in f"{proxy}{proxy!r}"


@pytest.mark.parametrize("own_session", [True, pytest.param(False, marks=takes_sessions)])
@pytest.mark.parametrize("kind", ["token", "credentials"])
async def test_netrc_is_for_others(
    platform: Platform,
    own_session: bool,
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "netrc"
    file.touch(mode=0o600)
    file.write_text("machine 127.0.0.1 login mallory password hunter2\n")
    monkeypatch.setenv("NETRC", str(file))
    async with proxying(platform.url) as front:
        auth = platform.token if kind == "token" else ClientCredentials(*platform.add_application())
        async with aiohttp.ClientSession(trust_env=True) as theirs:
            session = None if own_session else theirs
            async with EnrollmentClient(front.url, auth, session=session) as client:
                await use(client)
    for value in front.header("Authorization"):
        assert value is None or value.split(b" ")[0] in (b"Bearer", b"JWT")


@takes_sessions
async def test_credentials_of_a_session_do_not_win(platform: Platform) -> None:
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of newer aiohttp
        session = aiohttp.ClientSession(auth=aiohttp.BasicAuth("mallory", "hunter2"))
    async with session:
        async with EnrollmentClient(platform.url, platform.token, session=session) as client:
            await use(client)


@takes_sessions
async def test_a_proxy_of_a_session_s_own_that_asks_for_a_password() -> None:
    page = answer("407 Proxy Authentication Required", b"<html>", kind="text/html")
    async with saying(page) as url, aiohttp.ClientSession() as session:
        async with EnrollmentClient(url, "token", session=session) as client:
            with pytest.raises(EnrollError, match="the proxy asks for a user and password"):
                await anext(client.enrollments())
