"""A real Redis on a free loopback port, for tests alone."""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

SERVER = shutil.which("redis-server")
needs_redis = pytest.mark.skipif(SERVER is None, reason="there is no redis-server here")


class RedisServer:
    """Starts on `start`, keeps its port, and forgets everything when it stops."""

    def __init__(self, *options: str) -> None:
        self._options = options
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url: str = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it answers."""
        assert SERVER is not None
        self._process = subprocess.Popen(
            [SERVER, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", *self._options],
            stdout=subprocess.DEVNULL,
            cwd="/",
        )
        for _ in range(500):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except OSError:
                time.sleep(0.01)
            else:
                return
        raise AssertionError("redis-server does not start")

    def stop(self) -> None:
        """Stop, if it runs."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def send_signal(self, number: signal.Signals) -> None:
        """Have it stand still, or go on."""
        assert self._process is not None
        self._process.send_signal(number)

    def client(self) -> redis.Redis:
        """A client for what a test does to the server itself."""
        return redis.Redis(port=self.port)


@contextmanager
def serving(*options: str) -> Iterator[RedisServer]:
    """A server that is up."""
    server = RedisServer(*options)
    server.start()
    try:
        yield server
    finally:
        server.stop()
