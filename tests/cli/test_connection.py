"""Which site and which token: from options and the environment."""

import ssl
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from async_enroll import ConfigurationError
from async_enroll.cli.options.connection import Connection
from async_enroll.sandbox import Platform
from tests.cli.command import environment, run
from tests.http.proxies import behind_tls


async def test_no_site(platform: Platform) -> None:
    env = environment(platform)
    del env["ASYNC_ENROLL_URL"]
    ended = await run("enrollments", env=env)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == "error: no site URL: set ASYNC_ENROLL_URL or use --url\n"


async def test_no_token(platform: Platform) -> None:
    env = {**environment(platform), "ASYNC_ENROLL_TOKEN": ""}
    ended = await run("enrollments", env=env)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == (
        "error: no credentials: set ASYNC_ENROLL_TOKEN or use --token-file, "
        "or set ASYNC_ENROLL_CLIENT_ID and ASYNC_ENROLL_CLIENT_SECRET\n"
    )


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://example.org", "is no site's URL"),
        ("https://me:secret@example.org", "holds a user or password"),
        ("http://example.org", "plain http"),
    ],
)
async def test_an_unusable_url(platform: Platform, url: str, words: str) -> None:
    ended = await run("enrollments", "--url", url, env=environment(platform))
    assert ended.status == 2
    assert words in ended.err
    assert "secret" not in ended.err


async def test_plain_http_where_it_is_meant(platform: Platform) -> None:
    # No such host: what counts is that it is tried at all.
    url = "http://async-enroll.invalid"
    ended = await run("enrollments", "--url", url, "--allow-http", env=environment(platform))
    assert ended.status == 3


async def test_the_token_file_wins(platform: Platform, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text(f"{platform.token}\n")
    env = {**environment(platform), "ASYNC_ENROLL_TOKEN": "wrong-token"}
    ended = await run("enrollments", "--token-file", file, env=env)
    assert (ended.status, ended.err) == (0, "")


async def test_a_token_file_that_others_can_read(platform: Platform, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(platform.token)
    file.chmod(0o644)
    ended = await run("enrollments", "--token-file", file, env=environment(platform))
    assert ended.status == 0
    assert ended.err.startswith(f"warning: {file} can be read by other users")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"\xff\xfe", "not a text file"),
        (b"Bearer sesame", "the token holds white space"),
        (b"", "the token is empty"),
    ],
)
async def test_an_unusable_token_file(
    platform: Platform, tmp_path: Path, content: bytes | None, words: str
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.touch(mode=0o600)
        file.write_bytes(content)
    ended = await run("enrollments", "--token-file", file, env=environment(platform))
    assert ended.status == 2
    assert words in ended.err
    assert "sesame" not in ended.err


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("TOKEN CLIENT_ID CLIENT_SECRET", "both a token and client credentials are set: unset"),
        ("CLIENT_ID", "client ID without a secret: set ASYNC_ENROLL_CLIENT_SECRET or"),
        ("CLIENT_SECRET", "client secret without an ID"),
        ("CLIENT_SECRET_FILE", "client secret without an ID"),
        ("CLIENT_ID CLIENT_SECRET CLIENT_SECRET_FILE", "two client secrets: unset"),
        ("CLIENT_ID CLIENT_SECRET_FILE", "client secret file sesame: No such file"),
    ],
)
def test_what_cannot_be_meant(monkeypatch: pytest.MonkeyPatch, given: str, words: str) -> None:
    for name in given.split():
        monkeypatch.setenv(f"ASYNC_ENROLL_{name}", "sesame")
    with pytest.raises(ConfigurationError, match=words):
        Connection(url="https://courses.example.org").transport()


def test_a_secret_in_a_file_that_others_can_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "secret"
    file.write_text("sesame\n")
    file.chmod(0o644)
    monkeypatch.setenv("ASYNC_ENROLL_CLIENT_ID", "id")
    monkeypatch.setenv("ASYNC_ENROLL_CLIENT_SECRET_FILE", str(file))
    Connection(url="https://courses.example.org").transport()
    assert capsys.readouterr().err.startswith(f"warning: {file} can be read by other users")


def test_the_token_file_wins_over_a_client_id(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("TOKEN", "CLIENT_ID"):
        monkeypatch.setenv(f"ASYNC_ENROLL_{name}", "sesame")
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text("token")
    Connection(url="https://courses.example.org", token_file=file).transport()


def pem(path: Path, *parts: trustme.Blob | bytes) -> Path:
    """A file, of its owner alone."""
    path.touch(mode=0o600)
    path.write_bytes(b"".join(part if isinstance(part, bytes) else part.bytes() for part in parts))
    return path


async def test_a_client_certificate(platform: Platform, tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    issued = authority.issue_cert("me@example.org")
    file = pem(tmp_path / "me.pem", issued.private_key_and_cert_chain_pem)
    async with behind_tls(platform.url, authority, context) as url:
        env = {
            **environment(platform),
            "ASYNC_ENROLL_URL": url.replace("127.0.0.1", "localhost"),
            "SSL_CERT_FILE": str(pem(tmp_path / "authority.pem", authority.cert_pem)),
        }
        ended = await run("enrollments", "--client-cert", file, env=env)
        assert (ended.status, ended.err) == (0, "")
        ended = await run("enrollments", env=env)
        assert ended.status == 3


@pytest.mark.parametrize("kind", ["absent", "a folder", "no key", "a passphrase", "no PEM"])
def test_an_unusable_client_certificate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    issued = trustme.CA().issue_cert("me@example.org")
    file = tmp_path / "me.pem"
    match kind:
        case "a folder":
            file.mkdir()
        case "no key":
            pem(file, issued.cert_chain_pems[0])
        case "no PEM":
            pem(file, b"sesame")
        case "a passphrase":
            key = load_pem_private_key(issued.private_key_pem.bytes(), None)
            encrypted = key.private_bytes(
                Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"sesame")
            )
            pem(file, encrypted, issued.cert_chain_pems[0])
    monkeypatch.setenv("ASYNC_ENROLL_TOKEN", "sesame")
    with pytest.raises(ConfigurationError, match=f"client certificate {file}: ") as raised:
        Connection(url="https://courses.example.org", client_cert=file).transport()
    assert "PEM lib" not in str(raised.value)


def test_a_client_certificate_that_others_can_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    issued = trustme.CA().issue_cert("me@example.org")
    file = pem(tmp_path / "me.pem", issued.private_key_and_cert_chain_pem)
    file.chmod(0o644)
    monkeypatch.setenv("ASYNC_ENROLL_TOKEN", "sesame")
    Connection(url="https://courses.example.org", client_cert=file).transport()
    assert capsys.readouterr().err.startswith(f"warning: {file} can be read by other users")
