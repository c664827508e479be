"""The real command, run as a program."""

import os
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import anyio
from attrs import frozen

from async_enroll.sandbox import Platform
from tests.fork_server import ForkServer

C0, C1, C2 = (f"course-v1:Org+C{number}+2026" for number in range(3))

# A warning that is no error here would be a line on the user's terminal.
PROGRAM = "async_enroll.cli"
COMMAND = (sys.executable, "-W", "error", "-m", PROGRAM)


@frozen
class Ended:
    """How a command has ended."""

    status: int
    out: str
    err: str


def environment(platform: Platform | None = None) -> dict[str, str]:
    """An environment without settings of ours but those for `platform`."""
    ours = ("ASYNC_ENROLL_", "FORCE_COLOR", "NO_COLOR", "COLUMNS", "SSL_CERT_FILE", "HTTP", "NO_P")
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(ours)}
    kept["XDG_CONFIG_HOME"] = "/nonexistent"  # whoever runs the tests may have profiles
    if platform is None:
        return kept
    return {**kept, "ASYNC_ENROLL_URL": platform.url, "ASYNC_ENROLL_TOKEN": platform.token}


@cache
def fork_server() -> ForkServer:
    """That of this test process."""
    return ForkServer(environment())


async def run(*arguments: str | Path, env: Mapping[str, str], stdin: bytes = b"") -> Ended:
    """Run the command to its end. Whatever happens, no token and no traceback is printed."""
    words = [*map(str, arguments)]
    if fork_server().starts_alike(env):
        process = await fork_server().run(PROGRAM, words, env, stdin)
    else:
        process = await anyio.run_process([*COMMAND, *words], input=stdin, env=env, check=False)
    ended = Ended(process.returncode, process.stdout.decode(), process.stderr.decode())
    printed = ended.out + ended.err
    assert "Traceback" not in printed
    for name in ("ASYNC_ENROLL_TOKEN", "ASYNC_ENROLL_CLIENT_SECRET"):
        assert not env.get(name) or env[name] not in printed
    return ended


def signing_in(platform: Platform, secret: str | None = None) -> dict[str, str]:
    """An environment with a client id and secret instead of a token; the right one unless given."""
    client_id, right = platform.add_application()
    return {
        **environment(),
        "ASYNC_ENROLL_URL": platform.url,
        "ASYNC_ENROLL_CLIENT_ID": client_id,
        "ASYNC_ENROLL_CLIENT_SECRET": right if secret is None else secret,
    }


def roster_file(path: Path, *rows: str, header: str = "identifier,course_id") -> Path:
    """A roster, one row for each string."""
    path.write_text("\n".join([header, *rows, ""]))
    return path


def names_in(directory: Path) -> list[str]:
    """What a directory holds."""
    return sorted(path.name for path in directory.iterdir())
