"""The shared log in an SQLite file, for the processes of one host. All of it runs in threads.

What is lost with the host is not missed: the file need not be durable, only whole. So SQLite's
write-ahead log, which survives any process, is not flushed to the disk at each exchange.
"""

from __future__ import annotations

import os
import re
import sqlite3
import stat
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from anyio import to_thread
from attrs import define, field

from async_enroll.pacing.shared.log import Reply, Request, loaded, stored
from async_enroll.pacing.shared.store import StoreError

_BUSY = 0.5
"""Seconds to wait for other processes; each takes a millisecond."""

_KEPT = 86_400.0
"""Seconds after which a log that nobody has used is deleted."""

_NETWORK = re.compile(
    r"9p|afs|beegfs|ceph|cifs|davfs|gfs2|glusterfs|gpfs|lustre|nfs4?|ocfs2|smb[23]|smbfs|virtiofs"
    r"|fuse\.(ceph|davfs2|gcsfuse|glusterfs|s3fs|sshfs)"
)
"""File systems whose locks, or shared memory, do not reach every process that sees the file."""

_OCTAL = {f"\\{ord(char):03o}": char for char in " \t\n\\"}

_SCHEMA = """
CREATE TABLE IF NOT EXISTS log (name TEXT PRIMARY KEY, seen REAL NOT NULL, state BLOB NOT NULL)
"""


def default_path() -> Path:
    """The file in the user's own run-time folder, which the system empties when it starts.

    As the XDG Base Directory Specification says; without such a folder, in one of the user's own
    among the temporary files, which `FileStore` creates.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir():
        return Path(runtime, "async_enroll", "window.db")
    owner = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "")
    return Path(tempfile.gettempdir(), f"async_enroll-{owner}", "window.db")


def network_file_system(path: Path, mounts: Path = Path("/proc/mounts")) -> str | None:
    """The type of the network file system that `path` is on; None if it is not on one.

    `mounts` lists what is mounted, as on Linux. Where there is no such file, nothing is known.
    """
    try:
        lines = mounts.read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    resolved, found, length = path.resolve(), "", -1
    for line in lines:
        _, point, kind, *_ = line.split(" ")
        for octal, char in _OCTAL.items():
            point = point.replace(octal, char)
        if resolved.is_relative_to(point) and len(point) >= length:  # a later one covers
            found, length = kind, len(point)
    return found if _NETWORK.fullmatch(found) else None


class FileStore:
    """Keeps the log of a name in a file of mode 0600, which it creates. `path` None: the default.

    Times are those of the host's monotonic clock, which all its processes share; one that starts
    anew with the host is like one that is set back. `clock` replaces it.
    """

    def __init__(
        self, path: Path | None, name: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path, self._name, self._clock = path, name, clock
        self._file: File | None = None

    async def exchange(self, request: Request) -> Reply:
        """Apply a request in one transaction; raises StoreError if it is not possible."""
        if self._file is None:
            path, is_default = self._path or default_path(), self._path is None
            self._file = File(path, is_default, self._name, self._clock)
        file = self._file
        try:
            return await to_thread.run_sync(file.exchange, request, abandon_on_cancel=True)
        except BaseException:
            self._file = None
            file.close()
            raise

    async def aclose(self) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is not None:
            await to_thread.run_sync(file.close)


@define
class File:
    """The open file: closed at once, or by the thread that still works on it."""

    path: Path
    is_default: bool
    name: str
    clock: Callable[[], float]
    _connection: sqlite3.Connection | None = None
    _busy: bool = False
    _closed: bool = False
    _lock: threading.Lock = field(factory=threading.Lock)

    def exchange(self, request: Request) -> Reply:
        """Apply a request; raises StoreError."""
        with self._lock:
            self._busy = True
        try:
            if self._connection is None:
                self._connection = self._open()
            return self._apply(self._connection, request)
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {error}") from None
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror}") from None
        finally:
            with self._lock:
                self._busy = False
            if self._closed:
                self.close()

    def close(self) -> None:
        """Close the file, now or once the work on it has ended."""
        with self._lock:
            self._closed = True
            if self._connection is not None and not self._busy:
                self._connection.close()
                self._connection = None

    def _open(self) -> sqlite3.Connection:
        self._create()
        connection = sqlite3.connect(
            self.path, timeout=_BUSY, isolation_level=None, check_same_thread=False
        )
        try:
            _write_ahead(connection)
            connection.execute("PRAGMA synchronous = NORMAL")  # only when it grows long
            connection.execute(_SCHEMA)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _create(self) -> None:
        """Create the file, if there is none; raises OSError if it is none of our own."""
        folder = self.path.parent
        if self.is_default:
            folder.mkdir(mode=0o700, exist_ok=True)
            _check_owned(folder.lstat())  # anybody may have planted it among temporary files
        if kind := network_file_system(folder):
            raise OSError(0, f"a file system of type {kind} is none of this host alone")
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            # Not opened: closing it again would take SQLite's locks away from this process.
            found = self.path.lstat()
            _check_owned(found)
            if not stat.S_ISREG(found.st_mode):
                raise OSError(0, "not a regular file") from None

    def _apply(self, connection: sqlite3.Connection, request: Request) -> Reply:
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            row = connection.execute("SELECT state FROM log WHERE name = ?", (self.name,))
            (state,) = row.fetchone() or (None,)
            clock, log = self.clock(), loaded(state)
            reply = log.exchange(request, clock)
            connection.execute(
                "INSERT OR REPLACE INTO log VALUES (?, ?, ?)",
                (self.name, time.time(), stored(log)),
            )
            if request.leaves:
                connection.execute("DELETE FROM log WHERE seen < ?", (time.time() - _KEPT,))
            return reply


def _write_ahead(connection: sqlite3.Connection) -> None:
    # Two that open a new file at once are in each other's way, and SQLite waits for neither.
    until = time.monotonic() + _BUSY
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.005)
        else:
            return


def _check_owned(found: os.stat_result) -> None:
    if hasattr(os, "getuid") and (found.st_uid != os.getuid() or found.st_mode & 0o022):
        raise OSError(0, "not this user's own")
