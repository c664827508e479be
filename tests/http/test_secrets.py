"""A token and a secret show up nowhere: not in a repr, a log, an exception, a report."""

import asyncio
import logging
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import anyio
import pytest

from async_enroll import (
    BearerToken,
    ClientCredentials,
    ConfigurationError,
    EnrollError,
    EnrollmentClient,
    RequestWindow,
    RosterEntry,
)
from async_enroll.events import Event, SharedWindowLost
from async_enroll.sandbox import Fault, Faults, Platform
from tests.redis_server import needs_redis, serving
from tests.servers import answer, saying, talking

TOKEN = "s3cr3t-t0k3n"  # what the test greps for
CREDENTIALS = ClientCredentials("some-id", TOKEN)
COURSE = "course-v1:Org+C0+2026"


def everything(error: BaseException | None) -> str:
    """All that an error shows of itself, and of every error it leads to."""
    text = ""
    while error is not None:
        text += f"{error!r} {error} {vars(error)} {traceback.format_exception(error)}"
        error = error.__cause__ or error.__context__
    return text


def variables(error: BaseException | None) -> str:
    """All local variables of our own frames that tools show with a traceback."""
    text = ""
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if frame.f_globals.get("__name__", "").startswith("async_enroll"):
                text += f"{frame.f_code.co_qualname}\n"
                for value in frame.f_locals.values():
                    with suppress(AttributeError):  # of objects that are only half made
                        text += repr(value)
        error = error.__cause__ or error.__context__
    return text


@pytest.mark.parametrize("auth", [TOKEN, BearerToken(TOKEN), CREDENTIALS])
def test_reprs(auth: str | BearerToken | ClientCredentials) -> None:
    client = EnrollmentClient("https://courses.example.org", auth)
    told = [client, vars(client), *vars(client).values()]
    told += [] if isinstance(auth, str) else [auth]
    assert TOKEN not in "".join(f"{one!r}{one}" for one in told)


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{TOKEN}@",
        f"redis://me:{TOKEN}@127.0.0.1:port/0",
        f"redis://:{TOKEN}/@127.0.0.1",
        f"redis://:{TOKEN[:3]}@{TOKEN}/@127.0.0.1",
        f"redis://:{TOKEN}#@127.0.0.1",
        f"redis://:{TOKEN}@127.0.0.1/0?timeout={TOKEN}",
        f"redis://127.0.0.1/0?password={TOKEN}&nonsense=1",
        f"rediss://:{TOKEN}@127.0.0.1?ssl_nonsense=1",
        f"rabbit://:{TOKEN}@127.0.0.1",
        f"file://:{TOKEN}@/tmp/window.db",
        TOKEN,
    ],
)
def test_a_password_in_an_unusable_url(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        EnrollmentClient("https://courses.example.org", "token", shared_window=url)
    assert TOKEN not in everything(caught.value)
    assert TOKEN not in variables(caught.value)


@needs_redis
@pytest.mark.parametrize("accepted", [True, False])
async def test_a_password_of_a_shared_window(
    accepted: bool, caplog: pytest.LogCaptureFixture, platform: Platform
) -> None:
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    events: list[Event] = []
    with serving("--requirepass", TOKEN if accepted else "another") as server:
        url = f"redis://:{TOKEN}@127.0.0.1:{server.port}/0"
        async with EnrollmentClient(
            platform.url, platform.token, shared_window=url, on_event=events.append
        ) as client:
            await client.bulk_enroll(["jane@example.org"], [COURSE])
            shown = f"{client!r}{vars(client)}{vars(client._shared_window)}"
    lost = [event for event in events if isinstance(event, SharedWindowLost)]
    assert len(lost) == (not accepted)
    assert TOKEN not in f"{shown}{events}{caplog.text}"


async def test_a_server_that_repeats_a_password(
    caplog: pytest.LogCaptureFixture, platform: Platform
) -> None:
    caplog.set_level(logging.DEBUG)
    events: list[Event] = []

    async def repeat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while words := (await reader.read(1000)).split():
            said = b" ".join(word for word in words if word[:1] not in b"*$")
            writer.write(b"-ERR unknown command, with args beginning with: %b\r\n" % said)

    async with talking(repeat) as url:
        shared_window = f"redis://:{TOKEN}@{url.removeprefix('http://')}/0"
        async with EnrollmentClient(
            platform.url, platform.token, shared_window=shared_window, on_event=events.append
        ) as client:
            await client.bulk_enroll(["jane@example.org"], [COURSE])
    (lost,) = [event for event in events if isinstance(event, SharedWindowLost)]
    assert "[password]" in lost.reason
    assert TOKEN not in f"{events}{caplog.text}"


async def test_a_working_client(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    async with Platform(token=TOKEN, window=RequestWindow(1, 0.5)) as platform:
        platform.add_course(COURSE)
        async with EnrollmentClient(platform.url, TOKEN) as client:
            for _ in range(2):
                report = await client.bulk_enroll(["jane@example.org"], [COURSE])
            assert [one async for one in client.enrollments()] == []
    report.write_csv(tmp_path / "report.csv")
    report.write_json(tmp_path / "report.json")
    shown = f"{report!r}{report}{report.to_dict()}{caplog.text}{capfd.readouterr()}"
    for name in ("report.csv", "report.json"):
        shown += await anyio.Path(tmp_path / name).read_text("utf-8")
    assert "async_enroll" in {entry.name for entry in caplog.records}
    assert TOKEN not in shown


async def test_a_client_that_signs_in(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    journal = anyio.Path(tmp_path / "job.db")
    faults = Faults.schedule({1: Fault.UNAVAILABLE_BEFORE})
    async with Platform(window=None, token_faults=faults) as platform:
        platform.add_course(COURSE)
        client_id, secret = platform.add_application()
        credentials = ClientCredentials(client_id, secret)
        async with EnrollmentClient(platform.url, credentials) as client:
            assert [one async for one in client.enrollments()] == []
            platform.revoke_tokens()
            roster = [RosterEntry("jane@example.org", COURSE)]
            report = await client.apply(roster, journal=str(journal))
            shown = f"{report!r}{report}{report.to_dict()}{caplog.text}"
            shown += f"{client!r}{vars(client)}{vars(client._transport)}"
        kept = [path async for path in journal.parent.iterdir()]
        shown += "".join([(await path.read_bytes()).decode("latin-1") for path in kept])
        hidden = {secret, *platform._tokens._tokens}
    assert "/oauth2/access_token: 200" in caplog.text
    assert len(hidden) == 3
    assert not [text for text in hidden if text in shown]


async def test_identifiers_are_not_logged_below_debug(
    caplog: pytest.LogCaptureFixture, platform: Platform, client: EnrollmentClient
) -> None:
    caplog.set_level(logging.INFO)
    await client.bulk_enroll(["jane@example.org", "not sendable"], [COURSE, "course-v1:No+No+No"])
    assert [one async for one in client.enrollments(username="jane")] == []
    assert "jane" not in caplog.text


@pytest.mark.parametrize("auth", [TOKEN, CREDENTIALS], ids=["token", "credentials"])
@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"220 smtp.example.org ESMTP\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n[",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
        answer("401 Unauthorized", b"{}"),
        answer("301 Moved", b"", "Location: https://new.example.org/"),
        answer("500 Server Error", b"<html>"),
        answer("200 OK", b"<html>"),
    ],
)
async def test_exceptions(
    said: bytes, auth: str | ClientCredentials, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    shown = ""
    async with (
        saying(said) as url,
        EnrollmentClient(url, auth, settle=0.02, patience=0.1) as client,
    ):
        try:
            shown += repr(await client.bulk_enroll(["jane"], [COURSE]))
        except EnrollError as error:
            shown += everything(error) + variables(error)
        with pytest.raises(EnrollError) as raised:
            await anext(client.enrollments())
        shown += everything(raised.value) + variables(raised.value)
    assert "Transport." in variables(raised.value) or said.startswith(b"HTTP/1.1 ")
    assert TOKEN not in shown + caplog.text


@pytest.mark.parametrize("auth", [TOKEN, CREDENTIALS], ids=["token", "credentials"])
async def test_a_client_that_is_not_open(auth: str | ClientCredentials) -> None:
    client = EnrollmentClient("http://127.0.0.1:1", auth)
    with pytest.raises(EnrollError, match="is not open") as raised:
        await anext(client.enrollments())
    shown = variables(raised.value)
    assert "Transport._exchange" in shown
    assert TOKEN not in shown


@pytest.mark.parametrize(
    "make",
    [
        lambda: EnrollmentClient("no url", TOKEN),
        lambda: EnrollmentClient("https://courses.example.org", f"Bearer {TOKEN}"),
        lambda: EnrollmentClient("https://courses.example.org", TOKEN.encode()),  # type: ignore[arg-type]
        lambda: EnrollmentClient("https://courses.example.org", TOKEN, concurrency=0),
        lambda: BearerToken(f"{TOKEN} {TOKEN}"),
        lambda: ClientCredentials("", TOKEN),
        lambda: ClientCredentials("id", f"{TOKEN}\0"),
        lambda: ClientCredentials(TOKEN, ""),
        lambda: ClientCredentials("id", "secret", TOKEN),  # type: ignore[arg-type]
        lambda: ClientCredentials("id", TOKEN, skew=-1),
    ],
)
def test_arguments_that_cannot_work(make: Callable[[], object]) -> None:
    with pytest.raises(ConfigurationError) as raised:
        make()
    shown = everything(raised.value) + variables(raised.value)
    assert "__init__" in shown
    assert TOKEN not in shown


async def test_a_header_that_cannot_be_sent() -> None:
    class Source:
        async def authorization(self) -> str:
            return f"Bearer {TOKEN}\r\n"

        async def renew(self) -> bool:
            return False

    async with EnrollmentClient("http://127.0.0.1:1", Source()) as client:
        with pytest.raises(ConfigurationError) as raised:
            await client.bulk_enroll(["jane"], [COURSE])
    assert TOKEN not in everything(raised.value) + variables(raised.value)


@pytest.mark.parametrize(
    "said",
    [
        answer("400 Bad Request", b'{"error": "s3cr3t-t0k3n is wrong"}'),
        answer("404 Not Found", b"<title>s3cr3t-t0k3n</title>", kind="text/html"),
        answer("503 Service Unavailable", b"<title>s3cr3t-t0k3n</title>", kind="text/html"),
        answer("200 OK", b'{"access_token": ["s3cr3t-t0k3n"]}'),
        answer("200 OK", b'{"access_token": "s3cr3t-t0k3n", "expires_in": "soon"}'),
        answer("200 OK", b'{"access_token": "s3cr3t-t0k3n", "token_type": "mac"}'),
        answer("200 OK", b'{"access_token": "s3cr3t-t0k3n"'),
    ],
)
async def test_a_site_that_repeats_the_secret(
    said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with saying(said) as url, EnrollmentClient(url, CREDENTIALS, patience=0.1) as client:
        with pytest.raises(EnrollError) as raised:
            await client.bulk_enroll(["jane"], [COURSE])
    assert TOKEN not in everything(raised.value) + caplog.text
