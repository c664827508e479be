"""A token shows up nowhere: not in a repr, a log, an exception, a report."""

import asyncio
import logging
import traceback
from pathlib import Path

import anyio
import pytest

from async_enroll import (
    BearerToken,
    EnrollError,
    EnrollmentClient,
    RequestWindow,
)
from async_enroll.sandbox import Platform
from tests.servers import answer, saying

TOKEN = "s3cr3t-t0k3n"  # what the test greps for
COURSE = "course-v1:Org+C0+2026"


def everything(error: BaseException | None) -> str:
    """All that an error shows of itself, and of every error it leads to."""
    text = ""
    while error is not None:
        text += f"{error!r} {error} {vars(error)} {traceback.format_exception(error)}"
        error = error.__cause__ or error.__context__
    return text


def test_reprs() -> None:
    client = EnrollmentClient("https://courses.example.org", TOKEN)
    told = [client, vars(client), BearerToken(TOKEN), *vars(client).values()]
    assert TOKEN not in "".join(f"{one!r}{one}" for one in told)


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


async def test_identifiers_are_not_logged_below_debug(
    caplog: pytest.LogCaptureFixture, platform: Platform, client: EnrollmentClient
) -> None:
    caplog.set_level(logging.INFO)
    await client.bulk_enroll(["jane@example.org", "not sendable"], [COURSE, "course-v1:No+No+No"])
    assert [one async for one in client.enrollments(username="jane")] == []
    assert "jane" not in caplog.text


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
async def test_exceptions(said: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shown = ""
    async with (
        saying(said) as url,
        EnrollmentClient(url, TOKEN, settle=0.02, patience=0.1) as client,
    ):
        try:
            shown += repr(await client.bulk_enroll(["jane"], [COURSE]))
        except EnrollError as error:
            shown += everything(error)
        with pytest.raises(EnrollError) as raised:
            await anext(client.enrollments())
        shown += everything(raised.value)
    assert TOKEN not in shown + caplog.text
