"""The token endpoint, and what its tokens are good for."""

from base64 import b64encode
from typing import Any

import anyio
import pytest

from async_enroll.sandbox import Fault, Faults, Platform
from tests.sandbox.raw import C1, LISTING, Answer, Raw, small_platform, speaking_to

TOKEN = "/oauth2/access_token"


async def ask(raw: Raw, credentials: tuple[str, str] | None = None, **form: Any) -> Answer:
    """Ask for a token, without another one, as the platform's clients do."""
    form = {"grant_type": "client_credentials", "token_type": "jwt", **form}
    if credentials:
        form |= {"client_id": credentials[0], "client_secret": credentials[1]}
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return await raw.using(None).request("POST", TOKEN, data=form, headers=headers)


async def listing(raw: Raw, authorization: str) -> int:
    headers = {"Authorization": authorization}
    return (await raw.using(None).request("GET", LISTING, headers=headers)).status


async def test_a_jwt_is_sent_as_one(platform: Platform, raw: Raw) -> None:
    answer = await ask(raw, platform.add_application())
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
    assert answer.json["token_type"] == "JWT"
    assert answer.json["expires_in"] == 3600
    token = answer.json["access_token"]
    assert await listing(raw, f"JWT {token}") == 200
    assert await listing(raw, f"Bearer {token}") == 401
    assert await listing(raw, f"JWT {platform.token}") == 401


@pytest.mark.parametrize("token_type", ["bearer", "", "unheard-of"])
async def test_all_else_is_a_bearer_token(platform: Platform, raw: Raw, token_type: str) -> None:
    answer = await ask(raw, platform.add_application(), token_type=token_type)
    assert answer.json["token_type"] == "Bearer"
    token = answer.json["access_token"]
    assert await listing(raw, f"Bearer {token}") == 200
    assert await listing(raw, f"JWT {token}") == 401


async def test_the_client_may_stand_in_the_header(platform: Platform, raw: Raw) -> None:
    client_id, secret = platform.add_application()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    form = {"grant_type": "client_credentials", "token_type": "jwt"}
    for password, status in ((secret, 200), ("wrong", 401)):
        headers["Authorization"] = f"Basic {b64encode(f'{client_id}:{password}'.encode()).decode()}"
        answer = await raw.using(None).request("POST", TOKEN, data=form, headers=headers)
        assert answer.status == status
    headers["Authorization"] = "Basic no-base64"
    answer = await raw.using(None).request("POST", TOKEN, data=form, headers=headers)
    assert answer.status == 401


async def test_refusals(platform: Platform, raw: Raw) -> None:
    client_id, secret = platform.add_application()
    for credentials in (("wrong", secret), (client_id, "wrong"), (client_id, "")):
        answer = await ask(raw, credentials)
        assert (answer.status, answer.json) == (401, {"error": "invalid_client"})
        assert "invalid_client" in answer.headers["WWW-Authenticate"]
    answer = await ask(raw, (client_id, secret), grant_type="password")
    assert (answer.status, answer.json) == (400, {"error": "unsupported_grant_type"})
    answer = await raw.request("POST", TOKEN, data=b'{"grant_type": "client_credentials"}')
    assert (answer.status, answer.json) == (400, {"error": "unsupported_grant_type"})
    assert (await raw.request("GET", TOKEN)).status == 405


async def test_a_token_ends() -> None:
    async with small_platform(token_lifetime=0.1) as platform, speaking_to(platform) as raw:
        token = (await ask(raw, platform.add_application())).json["access_token"]
        assert await listing(raw, f"JWT {token}") == 200
        await anyio.sleep(0.1)
        assert await listing(raw, f"JWT {token}") == 401
        assert await listing(raw, f"Bearer {platform.token}") == 200


async def test_tokens_are_revoked(platform: Platform, raw: Raw) -> None:
    application = platform.add_application()
    token = (await ask(raw, application)).json["access_token"]
    platform.revoke_tokens()
    assert await listing(raw, f"JWT {token}") == 401
    assert await listing(raw, f"Bearer {platform.token}") == 200
    token = (await ask(raw, application)).json["access_token"]
    assert await listing(raw, f"JWT {token}") == 200


async def test_an_application_is_somebody(platform: Platform, raw: Raw) -> None:
    token = (await ask(raw, platform.add_application(staff=False))).json["access_token"]
    assert await listing(raw, f"JWT {token}") == 403


async def test_requests_for_tokens_go_wrong_as_told() -> None:
    faults = Faults.schedule({0: Fault.UNAVAILABLE_BEFORE})
    async with small_platform(token_faults=faults) as platform, speaking_to(platform) as raw:
        application = platform.add_application()
        assert (await ask(raw, application)).status == 503
        assert (await ask(raw, application)).status == 200
        assert (await raw.bulk("Jane", C1)).status == 200
    assert [request.path for request in platform.requests].count(TOKEN) == 2
