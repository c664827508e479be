"""The name of a shared window: one for those whose calls the platform counts together."""

import anyio
import pytest
from yarl import URL

from async_enroll import BearerToken, ClientCredentials
from async_enroll.client.window_name import window_name
from async_enroll.http.tokens import Auth, SignIn
from async_enroll.http.transport import Transport
from async_enroll.sandbox import Platform
from tests.servers import answer, saying


class Rotating:
    """A source of tokens of an application's own."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def authorization(self) -> str:
        return f"Bearer {self._token}"

    async def renew(self) -> bool:
        return False


async def name(url: str, auth: Auth | SignIn) -> str:
    async with Transport(URL(url), auth, timeout=2, session=None) as transport:
        return await window_name(transport, auth)


async def test_it_is_that_of_the_user_whatever_the_token(platform: Platform) -> None:
    client_id, secret = platform.add_application()
    token, another = (platform.add_token(staff=True, username="bot") for _ in range(2))
    names = {
        await name(platform.url, BearerToken(token)),
        await name(f"{platform.url}/", BearerToken(another)),
        await name(platform.url, Rotating(another)),
    }
    assert len(names) == 1
    assert await name(platform.url, BearerToken(platform.add_token(staff=True))) not in names
    assert await name(platform.url, ClientCredentials(client_id, secret))


@pytest.mark.parametrize(
    "said",
    [
        answer("404 Not Found", b"<html>", kind="text/html"),
        answer("302 Found", b"", "Location: /login"),
        answer("200 OK", b'{"name": "jane"}'),
        answer("200 OK", b"<html>"),
        answer("429 Too Many Requests", b"{}", "Retry-After: 3600"),
        b"",
    ],
)
async def test_it_is_that_of_the_token_where_the_site_does_not_tell(said: bytes) -> None:
    async with saying(said) as url:
        ours = await name(url, BearerToken("one"))
        assert await name(url, BearerToken("one")) == ours
        assert len({ours, await name(url, BearerToken("two"))}) == 2
        assert await name(url, Rotating("one")) == await name(url, Rotating("one"))
        assert await name(url, Rotating("one")) != await name(url, Rotating("two"))


async def test_it_is_that_of_the_client_id_where_there_is_no_token() -> None:
    async with saying(answer("500 Server Error", b"<html>")) as url:
        ours = await name(url, ClientCredentials("id", "secret"))
        assert await name(url, ClientCredentials("id", "new secret")) == ours
        assert await name(url, ClientCredentials("another", "secret")) != ours


async def test_two_sites_have_two_names() -> None:
    async with saying(b"") as url, saying(b"") as other:
        assert await name(url, BearerToken("one")) != await name(other, BearerToken("one"))


async def test_a_site_that_is_silent_is_not_waited_for_long() -> None:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        with anyio.fail_after(5):
            assert await name(f"http://127.0.0.1:{port}", BearerToken("one"))
