"""The log of a command: `--log-file`, and `--verbose` on standard error.

Only our own logger is written: libraries may log headers, and so tokens.
"""

from __future__ import annotations

import logging
import os
import time
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path

from rich.text import Text

from async_enroll.cli.console import ERR, printable, say, warn
from async_enroll.errors import ConfigurationError

_LOG = logging.getLogger("async_enroll")


def start_logging(path: Path | None, *, verbose: bool) -> None:
    """Log to a file, if any, readable only by its owner, and on standard error if `verbose`.

    `verbose` includes DEBUG: a message per call, and identifiers in the platform's errors.

    Raises:
        ConfigurationError: the file cannot be opened.

    """
    if _LOG.level or (path is None and not verbose):
        return  # as wanted already, or not wanted
    _LOG.setLevel(logging.DEBUG if verbose else logging.INFO)
    if verbose:
        _LOG.addHandler(_Terminal())
    if path is not None:
        try:
            handler = _PrivateFile(path)
        except OSError as error:
            raise ConfigurationError(f"--log-file {path}: {error.strerror}") from None
        _LOG.addHandler(handler)


class _Formatter(logging.Formatter):
    """A time in UTC, the level and the message, with control characters as escapes."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802  # logging's name
        moment = datetime.fromtimestamp(record.created, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(map(printable, super().format(record).splitlines()))


class _PrivateFile(logging.FileHandler):
    def __init__(self, path: Path) -> None:
        self._failed = False
        super().__init__(path, "a", "utf-8", errors="backslashreplace")
        self.setFormatter(_Formatter())

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        return os.fdopen(descriptor, "a", encoding=self.encoding, errors=self.errors)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        # A full disk stops neither the job nor, with a message for each line, what it prints.
        if not self._failed:
            self._failed = True
            warn(f"--log-file {self.baseFilename}: cannot be written any more")


class _Terminal(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        moment = time.strftime("%H:%M:%S", time.localtime(record.created))
        say(ERR, Text(printable(f"{moment} {record.getMessage()}"), "dim"))
