"""The file of a shared window: private, on this host alone, and never in the way."""

import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from async_enroll import RequestWindow
from async_enroll.pacing.shared.file import FileStore, default_path, network_file_system
from async_enroll.pacing.shared.log import Request
from async_enroll.pacing.shared.membership import Membership
from async_enroll.pacing.shared.store import StoreError


def request(*, leaves: bool = False) -> Request:
    return Membership(RequestWindow(), 1, 1.0).request(0.0, wants=not leaves, leaves=leaves)


def modes(folder: Path) -> dict[str, int]:
    """The mode of each file in a folder."""
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}


async def reason(path: Path | None) -> str:
    """Why a file cannot be used."""
    store = FileStore(path, "x")
    with pytest.raises(StoreError) as caught:
        await store.exchange(request())
    await store.aclose()
    return str(caught.value)


async def test_a_new_file_that_another_process_opens_too(tmp_path: Path) -> None:
    """SQLite does not wait for one that is about to write what this one wants to write."""
    path, store = tmp_path / "window.db", FileStore(tmp_path / "window.db", "x")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        path.chmod(0o600)
        other.execute("BEGIN IMMEDIATE")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.exchange, request())
            await anyio.sleep(0.1)
            other.execute("COMMIT")
    await store.aclose()


async def test_it_is_private(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "window.db", "x")
    umask = os.umask(0)
    try:
        assert (await store.exchange(request())).granted
    finally:
        os.umask(umask)
    kept = modes(tmp_path)
    await store.aclose()
    assert set(kept.values()) == {0o600}
    assert "window.db" in kept


async def test_by_default_it_is_in_the_run_time_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert default_path() == tmp_path / "async_enroll" / "window.db"
    store = FileStore(None, "x")
    assert (await store.exchange(request())).granted
    await store.aclose()
    assert default_path().parent.stat().st_mode & 0o777 == 0o700


async def test_without_a_run_time_folder_it_is_among_the_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "none"))
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    path = default_path()
    assert path.parent.parent == tmp_path
    path.parent.mkdir()
    path.parent.chmod(0o777)  # somebody else may have been there
    assert await reason(None) == f"{path}: not this user's own"
    path.parent.chmod(0o700)
    store = FileStore(None, "x")
    assert (await store.exchange(request())).granted
    await store.aclose()


async def test_what_is_not_ours_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "window.db"
    assert await reason(tmp_path / "none" / "window.db") == (
        f"{tmp_path}/none/window.db: No such file or directory"
    )
    path.write_text("a text, and none of SQLite's, whatever it is called, of some length")
    path.chmod(0o600)
    assert "not a database" in await reason(path)
    assert path.read_text().startswith("a text")
    path.chmod(0o666)
    assert "not this user's own" in await reason(path)
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    assert await reason(path) in {f"{path}: not a regular file", f"{path}: not this user's own"}
    assert not (tmp_path / "elsewhere").exists()


async def test_a_log_that_cannot_be_read_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "window.db"
    store = FileStore(path, "x")
    assert (await store.exchange(request())).granted
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE log SET state = 'nonsense'")
    connection.close()
    assert (await store.exchange(request())).count == 1
    await store.aclose()


async def test_logs_of_long_ago_are_deleted(tmp_path: Path) -> None:
    path = tmp_path / "window.db"
    for name in ("old", "new"):
        store = FileStore(path, name)
        await store.exchange(request(leaves=True))
        await store.aclose()
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE log SET seen = 0 WHERE name = 'old'")
        connection.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM log").fetchall() == [("new",)]


async def test_an_exchange_that_is_given_up_holds_nobody_up(tmp_path: Path) -> None:
    path = tmp_path / "window.db"
    store = FileStore(path, "x")
    await store.exchange(request())
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with anyio.move_on_after(0.05) as scope:
        await store.exchange(request())
    assert scope.cancelled_caught
    with pytest.raises(StoreError, match="locked"):
        await store.exchange(request())
    other.close()
    assert (await store.exchange(request())).granted
    await store.aclose()


MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/sdb1 /home/local\\040disk xfs rw 0 0
//server/share /srv/share cifs rw 0 0
me@host: /srv/far fuse.sshfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/window.db", None),
        ("/home/jane/window.db", "nfs4"),
        ("/home/local disk/window.db", None),
        ("/homely/window.db", None),
        ("/srv/share", "cifs"),
        ("/srv/far/a/b", "fuse.sshfs"),
    ],
)
def test_network_file_systems_are_told_by_their_type(
    path: str, kind: str | None, tmp_path: Path
) -> None:
    (tmp_path / "mounts").write_text(MOUNTS)
    assert network_file_system(Path(path), tmp_path / "mounts") == kind


def test_where_mounts_are_not_listed_nothing_is_known(tmp_path: Path) -> None:
    assert network_file_system(tmp_path, tmp_path / "mounts") is None


async def test_a_network_file_system_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("async_enroll.pacing.shared.file.network_file_system", lambda _: "nfs4")
    assert "a file system of type nfs4 is none of this host alone" in await reason(
        tmp_path / "window.db"
    )
    assert modes(tmp_path) == {}
