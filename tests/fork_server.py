"""Programs without the time it takes to start: forked from a process that has imported the client.

Most of the time of a short command goes into starting Python, the libraries, the client. Each is
a process of its own all the same, with its own status, and its own end of the interpreter. What
the package has beyond the client, each imports anew.
"""

import atexit
import gc
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from io import FileIO
from pathlib import Path
from runpy import run_module
from subprocess import PIPE, CompletedProcess, Popen

import anyio

IMPORTED = (
    "aiohttp",
    "async_enroll.client",
    "cyclopts.core",
    "cyclopts.help",
    "jinja2",
    "rich.console",
    "rich.progress",
    "rich.prompt",
    "rich.table",
    "sqlite3",
)
AT_THE_START = ("LANG", "LC_", "PYTHON", "SSL_")
"""Variables that Python or a library reads but once: when it starts, or is imported."""


class ForkServer:
    """Runs modules in the current directory, with any environment that `starts_alike`."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._alike = _read_at_the_start(env)
        self._requests, theirs = socket.socketpair()
        number = theirs.fileno()
        command = [sys.executable, "-W", "error", "-m", __name__, str(number)]
        root = Path(__file__).parents[1]
        with theirs:
            self._process = Popen(
                command, pass_fds=[number], stdin=PIPE, stdout=PIPE, env=env, cwd=root
            )
        atexit.register(self.close)

    def close(self) -> None:
        """End the server; what it has started runs on."""
        self._requests.close()
        self._process.communicate()

    def starts_alike(self, env: Mapping[str, str]) -> bool:
        """Whether a program that is forked reads all of this environment."""
        return _read_at_the_start(env) == self._alike

    async def run(
        self, module: str, arguments: Sequence[str], env: Mapping[str, str], stdin: bytes = b""
    ) -> CompletedProcess[bytes]:
        """Run a module as a program; kill it if cancelled. `stdin` must fit in a pipe."""
        assert len(stdin) <= 2**16
        (reading, writing), (out, to_out), (err, to_err) = (os.pipe() for _ in range(3))
        os.write(writing, stdin)
        os.close(writing)
        control, theirs = socket.socketpair()
        with control, FileIO(out) as out_of, FileIO(err) as err_of:
            with theirs:
                handed = theirs.fileno(), reading, to_out, to_err
                socket.send_fds(self._requests, [b"!"], handed)
            for descriptor in handed[1:]:
                os.close(descriptor)
            told = json.dumps([module, arguments, dict(env), str(Path.cwd())])
            control.sendall(told.encode() + b"\n")
            pid = await _number(control)
            try:
                printed = await _all_of(out_of, err_of)
                status = await _number(control)
            except BaseException:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                raise
        return CompletedProcess([module, *arguments], os.waitstatus_to_exitcode(status), *printed)


def _read_at_the_start(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(AT_THE_START)}


async def _number(control: socket.socket) -> int:
    digits = bytearray()
    while not digits.endswith(b"\n"):
        await anyio.wait_readable(control)
        digit = control.recv(1)
        assert digit, "the fork server has failed: see above"
        digits += digit
    return int(digits)


async def _all_of(*pipes: FileIO) -> list[bytes]:
    """What is written into pipes until they are closed."""
    found = [bytearray() for _ in pipes]

    async def read(pipe: FileIO, into: bytearray) -> None:
        while True:
            await anyio.wait_readable(pipe)
            if not (part := pipe.read(2**16)):
                return
            into += part

    async with anyio.create_task_group() as readers:
        for pipe, into in zip(pipes, found, strict=True):
            readers.start_soon(read, pipe, into)
    return [bytes(each) for each in found]


def serve(requests: socket.socket) -> str:
    """Fork a process for each request, and in it return the module; exit when none can come."""
    while True:
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        asked, descriptors, *_ = socket.recv_fds(requests, 1, 4)
        if not asked:
            sys.exit()
        if not os.fork():
            return mind(*descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def mind(control: int, *streams: int) -> str:
    """Fork the process that is to run, and in it return the module; tell how it has ended."""
    with socket.socket(fileno=control) as told:
        module, arguments, env, cwd = json.loads(told.makefile().readline())
        if pid := os.fork():
            for descriptor in streams:
                os.close(descriptor)
            told.sendall(b"%d\n" % pid)
            _, status = os.waitpid(pid, 0)
            told.sendall(b"%d\n" % status)
            os._exit(0)
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    os.chdir(cwd)
    sys.argv[1:] = arguments
    return str(module)


if __name__ == "__main__":
    for name in IMPORTED:
        import_module(name)
    gc.freeze()  # what all have in common
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        asked = serve(requests)
    run_module(asked, run_name="__main__", alter_sys=True)
