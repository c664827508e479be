"""How a command ends that has sent something, and one that has not."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import anyio
import pytest

from async_enroll import Action, ConfigurationError, EnrollError, RequestWindow
from async_enroll.cli.output.display import JobDisplay
from async_enroll.cli.output.ending import ExitStatus, ending
from async_enroll.cli.output.running import once_sent
from async_enroll.events import BatchAnswered, BatchSent, Event, JobStarted
from async_enroll.http.failures import FailureKind
from async_enroll.models import Batch
from async_enroll.sandbox import Platform
from tests.cli.command import C0, COMMAND, environment, roster_file, run

BATCH = Batch(Action.ENROLL, ("c1",), ("jane",))
STARTED = JobStarted(job=1, pairs=1)
SENT = BatchSent(job=1, planned=1, call=1, batch=BATCH, attempt=1, email=False)


def answered(kind: FailureKind | None) -> Event:
    return BatchAnswered(job=1, planned=1, call=1, batch=BATCH, seconds=0.1, failure=kind)


def ended(error: EnrollError, events: Iterable[Event]) -> ExitStatus:
    """How a job ends that this error stops after these events."""
    display = JobDisplay(RequestWindow(), quiet=True)

    def command() -> ExitStatus:
        with once_sent(display):
            for event in events:
                display.tell(event)
            raise error

    return ending(command)


@pytest.mark.parametrize("kind", [None, *FailureKind])
def test_what_was_sent_decides(
    kind: FailureKind | None, capsys: pytest.CaptureFixture[str]
) -> None:
    unsent = kind in (FailureKind.UNREACHABLE, FailureKind.NO_TOKEN)
    expected = ExitStatus.UNUSABLE if unsent else ExitStatus.STOPPED
    events: list[Event] = [STARTED, SENT, answered(kind)]
    assert ended(ConfigurationError("change the URL"), events) == expected
    assert capsys.readouterr().err == "error: change the URL\n"
    assert ended(EnrollError("it stopped"), events) == expected


@pytest.mark.parametrize("events", [[], [STARTED]])
def test_nothing_was_sent(events: list[Event]) -> None:
    assert ended(ConfigurationError("no URL"), events) == ExitStatus.UNUSABLE
    assert ended(EnrollError("no connection"), events) == ExitStatus.UNUSABLE


def test_a_call_that_is_cut_off_may_have_been_sent() -> None:
    assert ended(ConfigurationError("no URL"), [STARTED, SENT]) == ExitStatus.STOPPED


def test_calls_that_were_not_sent_undo_none_that_were() -> None:
    events = [answered(None), answered(FailureKind.UNREACHABLE)]
    assert ended(ConfigurationError("change the URL"), events) == ExitStatus.STOPPED


INTERRUPTED_WHILE_LOADING = """
import signal, sys

class Impatient:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Impatient())
from async_enroll.cli import main
main()
"""


@pytest.mark.parametrize("name", ["cyclopts", "async_enroll.client.client", "rich.table"])
def test_ctrl_c_while_the_command_is_loaded(name: str) -> None:
    program = [sys.executable, "-c", INTERRUPTED_WHILE_LOADING.format(name=name)]
    ended = subprocess.run(
        [*program, "diff", "r.csv"], capture_output=True, check=False, text=True, env=environment()
    )
    assert (ended.returncode, ended.stderr) == (ExitStatus.INTERRUPTED, "error: interrupted\n")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
async def test_standard_streams_that_are_closed(platform: Platform, closed: str) -> None:
    command = " ".join([*COMMAND, "doctor", closed])
    process = await anyio.run_process(["sh", "-c", command], check=False, env=environment(platform))
    assert process.returncode == ExitStatus.OK, process.stderr
    assert process.stderr == b""


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text there")
async def test_a_file_whose_name_is_no_text(platform: Platform, tmp_path: Path) -> None:
    platform.add_user("jane", "jane@example.org")
    roster = roster_file(tmp_path / "r\udcff.csv", f"jane@example.org,{C0}")
    env = environment(platform)
    for arguments in (
        ("plan", roster, "--json"),
        ("diff", roster, "--json"),
        ("diff", roster, "--output", tmp_path / "plan.json"),
        ("sync", "--plan", tmp_path / "plan.json", "--yes"),
        ("apply", roster, "--yes", "--json", "--journal", tmp_path / "j\udcff.db"),
        ("report", tmp_path / "j\udcff.db"),
    ):
        ended = await run(*arguments, env=env)
        assert ended.status in (ExitStatus.OK, ExitStatus.FAILED_PAIRS), ended.err
    roster_file(roster, f"nobody,{C0}")
    ended = await run("apply", roster, "--yes", env=env)
    assert (ended.status, r"async-enroll apply" in ended.out) == (ExitStatus.FAILED_PAIRS, True)
