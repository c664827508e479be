"""What is asked before a view is: in the framework's order, and counted as it counts."""

import pytest

from async_enroll.models import RequestWindow
from tests.sandbox.raw import BULK, C1, small_platform, speaking_to

CORE = "/api/enrollment/v1/enrollments"
ME = "/api/user/v1/me"
BAD_HEADER = "Invalid Authorization header."


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("*/*", 400),
        ("application/json", 400),
        ("text/html, application/*;q=0.5", 400),
        ("application/json; indent=4", 400),
        ("text/html", 406),
        ("application/xml", 406),
        ("", 406),
    ],
)
async def test_accept_comes_first(accept: str, status: int) -> None:
    async with small_platform() as platform, speaking_to(platform) as raw:
        headers = {"Accept": accept}
        assert (await raw.request("POST", BULK, headers=headers)).status == status
        if status == 406:
            nobody = raw.using(None)
            assert (await nobody.request("POST", BULK, headers=headers)).status == 406


async def test_what_is_counted_in_the_window() -> None:
    window = RequestWindow(calls=3, seconds=60)
    async with small_platform(window=window) as platform, speaking_to(platform) as raw:
        for _ in range(3):
            assert (await raw.using("wrong").bulk("Jane", C1)).status == 401
            refused = await raw.request("POST", BULK, headers={"Accept": "text/html"})
            assert refused.status == 406
        assert (await raw.request("OPTIONS", BULK)).status == 200
        assert (await raw.request("GET", BULK)).status == 405
        assert (
            await raw.request("POST", BULK, headers={"Content-Type": "text/plain"})
        ).status == 400
        assert (await raw.request("OPTIONS", BULK)).status == 429


@pytest.mark.parametrize(
    ("path", "method", "allowed"),
    [
        (BULK, "HEAD", "POST, OPTIONS"),
        (CORE, "POST", "GET, HEAD, OPTIONS"),
        (ME, "DELETE", "GET, HEAD, OPTIONS"),
    ],
)
async def test_other_methods(path: str, method: str, allowed: str) -> None:
    async with small_platform() as platform, speaking_to(platform) as raw:
        answer = await raw.request(method, path)
        assert (answer.status, answer.headers["Allow"]) == (405, allowed)
        assert answer.headers["Content-Type"] == "application/json"


async def test_head_goes_where_get_does() -> None:
    async with small_platform() as platform, speaking_to(platform) as raw:
        answer = await raw.request("HEAD", CORE)
        assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize(
    ("authorization", "content"),
    [
        ("", {"detail": "Authentication credentials were not provided."}),
        ("JWT", {"detail": f"{BAD_HEADER} No credentials provided."}),
        ("JWT a b", {"detail": f"{BAD_HEADER} Credentials string should not contain spaces."}),
        ("JWT a", {"detail": "Error decoding token."}),
        ("Token a", {"detail": "Authentication credentials were not provided."}),
    ],
)
async def test_tokens_that_are_none(authorization: str, content: dict[str, str]) -> None:
    async with small_platform() as platform, speaking_to(platform) as raw:
        headers = {"Authorization": authorization}
        answer = await raw.using(None).request("GET", ME, headers=headers)
        assert (answer.status, answer.json) == (401, content)
        assert answer.headers["WWW-Authenticate"] == 'JWT realm="api"'
