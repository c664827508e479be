"""Sites in the configuration file."""

import json
from pathlib import Path

import pytest

from async_enroll.sandbox import Platform
from tests.cli.command import C0, environment, roster_file, run


class Config:
    """A user's configuration folder."""

    def __init__(self, home: Path) -> None:
        self.env = {**environment(), "XDG_CONFIG_HOME": str(home)}
        self.path = home / "async-enroll" / "config.toml"
        self.path.parent.mkdir()

    def write(self, *lines: str) -> None:
        self.path.write_text("\n".join([*lines, ""]))

    def secret(self, name: str, text: str, *, mode: int = 0o600) -> Path:
        path = self.path.with_name(name)
        path.write_text(text)
        path.chmod(mode)
        return path


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(tmp_path)


async def test_the_only_site_is_the_default(platform: Platform, config: Config) -> None:
    config.secret("school.token", platform.token)
    config.write("[site.school]", f'url = "{platform.url}"', 'token_file = "school.token"')
    for arguments in ((), ("--site", "school")):
        ended = await run("doctor", *arguments, "--json", env=config.env)
        assert ended.status == 0
        profile, url = json.loads(ended.out)[:2]
        assert profile["text"] == f"[site.school] of {config.path} is in use"
        assert url["text"].rstrip("/") == platform.url


async def test_a_site_is_named_where_there_are_several(platform: Platform, config: Config) -> None:
    client_id, secret = platform.add_application()
    config.secret("test.secret", secret)
    config.write(
        *("[site.school]", 'url = "https://courses.example.org"', 'token_file = "school.token"'),
        *("[site.test]", f'url = "{platform.url}"', f'client_id = "{client_id}"'),
        'client_secret_file = "test.secret"',
    )
    ended = await run("enrollments", env=config.env)
    assert ended.status == 2
    assert "or use --site school or --site test" in ended.err
    assert (await run("enrollments", "--site", "test", env=config.env)).status == 0
    ended = await run("enrollments", env={**config.env, "ASYNC_ENROLL_SITE": "test"})
    assert ended.status == 0
    ended = await run("enrollments", "--site", "tets", env=config.env)
    assert (ended.status, ended.out) == (2, "")
    assert f"--site tets: no [site.tets] in {config.path}; it has school, test" in ended.err
    ended = await run("doctor", "--site", "test", env=config.env)
    assert ended.status == 3
    assert "school.token: No such file or directory" in ended.out
    assert "→ correct it before you use --site school" in ended.out


async def test_environment_and_options_win(platform: Platform, config: Config) -> None:
    config.secret("school.token", "wrong-token")
    config.write(
        *("[site.school]", f'url = "{platform.url}"', 'token_file = "school.token"'),
        *("window_calls = 7", 'window_seconds = "2m"', "patience = 9"),
    )
    assert (await run("enrollments", env=config.env)).status == 3
    env = {**config.env, "ASYNC_ENROLL_TOKEN": platform.token}
    assert (await run("enrollments", env=env)).status == 0
    right = config.secret("right.token", platform.token)
    assert (await run("enrollments", "--token-file", right, env=config.env)).status == 0
    roster = roster_file(config.path.with_name("roster.csv"), f"learner0,{C0}")
    ended = await run("plan", roster, env=config.env)
    assert "7 calls in 120 s" in ended.out
    ended = await run("plan", roster, "--window-calls", "8", env=config.env)
    assert "8 calls in 120 s" in ended.out


async def test_a_token_never_goes_to_another_site(platform: Platform, config: Config) -> None:
    config.secret("school.token", "s3cret")
    config.write("[site.school]", 'url = "https://x.invalid"', 'token_file = "school.token"')
    # The only site is no default for a URL that is given.
    ended = await run("enrollments", "--url", platform.url, env=config.env)
    assert ended.status == 2
    assert "no credentials" in ended.err
    env = {**config.env, "ASYNC_ENROLL_URL": platform.url}
    ended = await run("enrollments", "--site", "school", env=env)
    assert ended.status == 2
    assert f"two sites: {platform.url} is given, and --site school is https://x.inv" in ended.err
    assert platform.requests == []


@pytest.mark.parametrize("mode", [0o640, 0o604])
async def test_a_secret_that_others_can_read_is_refused(
    platform: Platform, config: Config, mode: int
) -> None:
    token = config.secret("school.token", platform.token, mode=mode)
    config.write("[site.school]", f'url = "{platform.url}"', 'token_file = "school.token"')
    ended = await run("enrollments", env=config.env)
    assert (ended.status, ended.out) == (2, "")
    assert f"other users can read it; restrict it: chmod 600 {token}\n" in ended.err
    # What needs no site is not in the way.
    roster = roster_file(config.path.with_name("roster.csv"), f"learner0,{C0}")
    assert (await run("plan", roster, env=config.env)).status == 0


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["[site.school"], "not readable as TOML"),
        (["sites = 1"], "found sites; expected [site.NAME] only"),
        (["site = 1"], "expected each site as a table [site.NAME]"),
        (["[site]", "school = 1"], "expected each site as a table [site.NAME]"),
        (["[site.school]"], "[site.school]: has no url"),
        (["[site.school]", "url = 7"], "[site.school], url: expected text"),
        (["[site.school]", 'url = "https://x.org"', "timeout = []"], "timeout: expected text, a"),
        (["[site.school]", 'url = "https://x.org"', 'timeout = "2x"'], "timeout] 2x: expected sec"),
        (
            ["[site.school]", 'url = "https://x.org"', 'token = "s3cret"', "wndow_calls = 1"],
            "[site.school]: found token, wndow_calls; expected url, token_file, client_id, client_",
        ),
        (
            ["[site.school]", 'url = "https://x.org"', 'token_file = "a"', 'client_id = "b"'],
            "found token_file, client_id; expected either token_file, or client_id and client_se",
        ),
        (
            ["[site.school]", 'url = "https://x.org"', 'client_id = "b"'],
            "found client_id; expected either token_file, or client_id and client_secret_file",
        ),
        (["[site.school]", 'url = "https://x.org"', 'concurrency = "x"'], "concurrency"),
        (["[site.school]", 'url = "https://x.org"'], "or add token_file to"),
    ],
)
async def test_a_file_that_is_not_as_expected(config: Config, lines: list[str], words: str) -> None:
    config.write(*lines)
    roster = roster_file(config.path.with_name("roster.csv"), f"learner0,{C0}")
    ended = await run("plan", roster, "--preflight", env=config.env)
    assert (ended.status, ended.out) == (2, "")
    assert words in " ".join(ended.err.split())
    assert "s3cret" not in ended.err
    assert ("secrets stand in files of their own" in ended.err) == ("s3cret" in str(lines))
