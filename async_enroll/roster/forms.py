"""Opens a file, decompresses it, and recognizes its format by its first bytes.

Gives an open file and its `Form` to `roster.reading`. A file that is not a roster is refused, and
the message names what it is.
"""

from __future__ import annotations

import gzip
import os
import re
import sys
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

_PIECE = 1 << 20
_LARGEST = 4 << 30
"""In bytes: the largest size of a decompressed file."""


class Form(Enum):
    """The format of a file."""

    TEXT = "text"
    PARQUET = "Parquet"
    WORKBOOK = "Excel"


_SAVE = "save the table as .xlsx or CSV"
_NAMED = {
    b"%PDF": "a PDF file; expected a table",
    b"{\\rtf": f"an RTF document; {_SAVE}",
    b"BZh": "a file compressed by bzip2; unpack it first",
    b"\xfd7zXZ": "a file compressed by xz; unpack it first",
    b"(\xb5/\xfd": "a file compressed by Zstandard; unpack it first",
    b"7z\xbc\xaf": "a 7-Zip archive; unpack it first",
    b"Rar!": "a RAR archive; unpack it first",
    b"SQLite format 3": "an SQLite database; expected a table",
    b"\x89PNG": "a picture; expected a table",
    b"\xff\xd8\xff": "a picture; expected a table",
}
_OLE = b"\xd0\xcf\x11\xe0"
_GZIP = b"\x1f\x8b"
_MARKUP = re.compile(
    r"\s*<(?:!doctype|!--|html|head|body|table|tr|meta|style|div|\?xml|(?:\w+:)?workbook)\b",
    re.IGNORECASE,
)


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a file, seekable and decompressed; ``-`` is standard input.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it cannot be decompressed.

    """
    if os.fspath(path) == "-":
        with _spooled(sys.stdin.buffer) as file, _unpacked(file) as plain:
            yield plain
        return
    with Path(path).open("rb") as file:
        if file.seekable():
            with _unpacked(file) as plain:
                yield plain
        else:  # a pipe, such as the shell's <(…)
            with _spooled(file) as spool, _unpacked(spool) as plain:
                yield plain


@contextmanager
def _unpacked(file: IO[bytes]) -> Iterator[IO[bytes]]:
    start = file.read(len(_GZIP))
    file.seek(0)
    if start != _GZIP:
        yield file
        return
    try:
        packed = gzip.GzipFile(fileobj=file)
        with _spooled(packed) as plain:
            yield plain
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"not readable as gzip: {error}") from None


@contextmanager
def _spooled(file: IO[bytes] | gzip.GzipFile) -> Iterator[IO[bytes]]:
    with _spool() as spool:
        while piece := file.read(_PIECE):
            spool.write(piece)
            if spool.tell() > _LARGEST:
                raise ValueError(f"holds more than {_LARGEST >> 30} GiB; expected a roster")
        spool.seek(0)
        yield spool


def _spool() -> IO[bytes]:
    try:
        return TemporaryFile()
    except OSError:  # no directory for temporary files can be written
        return BytesIO()


def form_of(file: IO[bytes]) -> Form:
    """Return the format of a file, and leave it at its beginning.

    Raises:
        ValueError: if it is not a roster; the message says what it is.

    """
    start = file.read(16)
    file.seek(0)
    if not start:
        raise ValueError("empty; expected a header and rows")
    for mark, words in _NAMED.items():
        if start.startswith(mark):
            raise ValueError(f"found {words}")
    if start.startswith(_OLE):
        raise ValueError(f"found {_old_office(file)}")
    if start.startswith(b"PAR1"):
        return Form.PARQUET
    if start.startswith(b"PK\x03\x04"):
        return _zipped(file)
    return Form.TEXT


def _zipped(file: IO[bytes]) -> Form:
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            words = _in_archive(archive, names)
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"not readable as Excel: {error}") from None
    file.seek(0)
    if words:
        raise ValueError(f"found {words}")
    return Form.WORKBOOK


def _in_archive(archive: zipfile.ZipFile, names: list[str]) -> str:
    """What an archive is, in words; nothing where it is a workbook."""
    lower = [name.lower() for name in names]
    if any(name.endswith("workbook.xml") for name in lower):
        return ""
    if any(name.endswith("workbook.bin") for name in lower):
        return "a binary workbook (.xlsb); save it as .xlsx"
    if any(name.startswith("word/") for name in lower):
        return f"a Word document (.docx); {_SAVE}"
    if any(name.startswith("ppt/") for name in lower):
        return f"a PowerPoint presentation (.pptx); {_SAVE}"
    if any(name.startswith("index/") or name == "index.zip" for name in lower):
        return "a file of Apple's (.numbers or .pages); export it as .xlsx or CSV"
    if "mimetype" in names and b"opendocument" in archive.read("mimetype")[:200]:
        return "an OpenDocument file (.ods or .odt); save it as .xlsx or CSV"
    return "a zip archive; unpack it, and name the roster in it"


def _old_office(file: IO[bytes]) -> str:
    """Name a file in Office's old container format, which also holds workbooks with a password."""
    marks = {
        "EncryptedPackage": "a workbook with a password; save it without one",
        "WordDocument": f"a Word document (.doc); {_SAVE}",
        "PowerPoint Document": f"a PowerPoint presentation (.ppt); {_SAVE}",
    }
    # The names of its parts stand in its directory, in UTF-16, anywhere in the file.
    before = b""
    while piece := file.read(_PIECE):
        for name, words in marks.items():
            if name.encode("utf-16-le") in before + piece:
                return words
        before = piece[-64:]
    return "an Excel file of the old kind (.xls); save it as .xlsx or CSV"


def markup_in(text: str) -> str:
    """Name a text that is markup instead of a table; empty if it may be a table."""
    if not _MARKUP.match(text):
        return ""
    if "urn:schemas-microsoft-com:office:spreadsheet" in text:
        return "an XML workbook (Excel 2003), whatever it is called; save it as .xlsx or CSV"
    if re.match(r"\s*<\?xml", text) and not re.search(r"<(?:html|table)\b", text, re.IGNORECASE):
        return "an XML file, whatever it is called; save the table as .xlsx or CSV"
    return "an HTML page, whatever it is called; open it in a spreadsheet, and save it as .xlsx"
