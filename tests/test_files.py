"""Where reports go: into files of their own, through links, and into what can only be written."""

import codecs
import csv
import io
import os
import pty
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import openpyxl
import pytest

from async_enroll import Action, EnrollmentReport, EnrollmentResult, Outcome
from async_enroll.files import is_stream, private_file
from async_enroll.reports.export import FORMS, write
from async_enroll.reports.report import ReportBuilder
from tests.blocks import block_of

RESULT = EnrollmentResult("jane", "c1", Action.ENROLL, Outcome.ENROLLED)


@pytest.fixture
def report() -> EnrollmentReport:
    builder = ReportBuilder(auto_enroll=True, email_students=False)
    builder.add([block_of(RESULT)])
    return builder.report()


@contextmanager
def read_from(path: Path) -> Iterator[Callable[[], bytes]]:
    """Read a pipe to its end in a thread; calling what is given waits for that."""
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()), daemon=True)
    reader.start()

    def everything() -> bytes:
        reader.join(timeout=10)
        return b"".join(read)

    yield everything


@pytest.mark.parametrize("form", ["csv", "json", "html"])
def test_a_report_into_a_pipe(tmp_path: Path, report: EnrollmentReport, form: str) -> None:
    pipe, file = tmp_path / "pipe", tmp_path / "file"
    os.mkfifo(pipe)
    getattr(report, f"write_{form}")(file)
    with read_from(pipe) as everything:
        getattr(report, f"write_{form}")(pipe)
        assert everything()[:100] == file.read_bytes().removeprefix(codecs.BOM_UTF8)[:100]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert sorted(tmp_path.iterdir()) == [file, pipe]


@pytest.mark.parametrize("suffix", FORMS)
def test_every_form_goes_into_a_pipe(tmp_path: Path, suffix: str) -> None:
    pipe, file = tmp_path / f"pipe{suffix}", tmp_path / f"file{suffix}"
    os.mkfifo(pipe)
    write(file, [RESULT])
    with read_from(pipe) as everything:
        write(pipe, [RESULT])
        # A workbook has the time in it; a pipe's reader knows its encoding.
        if suffix == ".xlsx":
            assert openpyxl.load_workbook(io.BytesIO(everything())).active["A2"].value == "jane"
        else:
            assert everything() == file.read_bytes().removeprefix(codecs.BOM_UTF8)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_report_to_a_terminal(report: EnrollmentReport) -> None:
    ours, theirs = pty.openpty()
    device = Path(os.ttyname(theirs))
    try:
        report.write_csv(device)
        said = os.read(ours, 10_000)
        while said.count(b"\n") < 2:  # a terminal hands on line by line
            said += os.read(ours, 10_000)
        assert b"jane,c1,enroll" in said
        assert stat.S_ISCHR(device.stat().st_mode)
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_device_is_one_afterwards(tmp_path: Path, report: EnrollmentReport) -> None:
    null = tmp_path / "null"
    try:
        os.mknod(null, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    except (AttributeError, PermissionError):
        pytest.skip("only root makes devices")
    report.write_html(null)
    assert stat.S_ISCHR(null.stat().st_mode)
    assert list(tmp_path.iterdir()) == [null]


@pytest.mark.parametrize("named", ["/dev/fd/{}", "/proc/self/fd/{}", "link"])
def test_an_open_file_is_written_on(tmp_path: Path, named: str, report: EnrollmentReport) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("before\n")
    with file.open("r+b") as opened:
        opened.seek(0, os.SEEK_END)
        link.symlink_to(f"/dev/fd/{opened.fileno()}")
        number = file.stat().st_ino
        report.write_csv(link if named == "link" else named.format(opened.fileno()))
        os.write(opened.fileno(), b"after\n")
    first, *rows, last = file.read_text().splitlines()
    assert (first, last) == ("before", "after")
    assert [row["identifier"] for row in csv.DictReader(io.StringIO("\n".join(rows)))] == ["jane"]
    assert file.stat().st_ino == number


def test_what_a_link_leads_to_is_replaced_and_the_link_stays(
    tmp_path: Path, report: EnrollmentReport
) -> None:
    folder, link = tmp_path / "folder", tmp_path / "link.csv"
    folder.mkdir()
    target = folder / "target.csv"
    target.write_text("as before")
    link.symlink_to("folder/target.csv")
    with pytest.raises(RuntimeError), private_file(link):
        raise RuntimeError
    assert target.read_text() == "as before"
    report.write_csv(link)
    assert link.is_symlink()
    assert "jane" in target.read_text()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert list(folder.iterdir()) == [target]


def test_a_link_to_nothing_makes_nothing(tmp_path: Path, report: EnrollmentReport) -> None:
    link = tmp_path / "link.csv"
    link.symlink_to("elsewhere.csv")
    with pytest.raises(FileNotFoundError):
        report.write_csv(link)
    assert list(tmp_path.iterdir()) == [link]


def test_links_in_a_circle(tmp_path: Path, report: EnrollmentReport) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.symlink_to(other)
    other.symlink_to(one)
    assert not is_stream(one)
    with pytest.raises(OSError, match="symbolic links"):
        report.write_csv(one)


@pytest.mark.parametrize("name", ["file", "3", "none/file"])
def test_plain_files_are_no_streams(tmp_path: Path, name: str) -> None:
    assert not is_stream(tmp_path / name)
    assert not is_stream(tmp_path)


def test_the_error_names_the_file_that_was_asked_for(
    tmp_path: Path, report: EnrollmentReport
) -> None:
    path = tmp_path / "missing" / "report.csv"
    with pytest.raises(FileNotFoundError) as caught:
        report.write_csv(path)
    assert caught.value.filename == str(path)
