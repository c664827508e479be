"""Streams a sheet's XML for what python-calamine does not report: hidden rows, errors, formats.

Gives notes on rows to `roster.workbook`. Source: ECMA-376, part 1, 18.3 (worksheets) and 18.8
(styles).
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Iterator
from typing import IO
from xml.parsers import expat

from attrs import define, field

from async_enroll.roster.cells import Unreadable

_PIECE = 1 << 16
_TRUE = ("1", "true")

# Built-in formats, which have no code in the file, that show a number by its digits.
_BUILT_IN = {0: "General", 1: "0", 3: "#,##0", 37: "#,##0", 38: "#,##0", 49: "@"}
_PLAIN = re.compile(r"(?:general|@|[#,]*0?)", re.IGNORECASE)
_PADDED = re.compile(r"0{2,}")
_DECORATION = re.compile(r"\[(?:[a-z]+|\$-[0-9a-f]+)\]|_.|\*.", re.IGNORECASE)


@define
class Row:
    """Notes on a row; columns are counted from 0.

    `cells` holds cells that cannot be read, `formats` the codes of number formats that do not
    show the plain digits of a number.
    """

    line: int
    hidden: bool
    cells: dict[int, Unreadable] = field(factory=dict)
    formats: dict[int, str] = field(factory=dict)

    def number(self, column: int, value: float) -> Unreadable | None:
        """Return why a number in this column cannot be read, or None."""
        code = self.formats.get(column)
        if code is None:
            return None
        digits = f"{value:.15g}"
        if not _PADDED.fullmatch(code):
            words = f"found the number {digits} in the format {code!r}"
        elif (shown := digits.zfill(len(code))) == digits:
            return None
        else:
            words = f"found the number {digits}, which the sheet shows as {shown!r}"
        return Unreadable(f"{words}; store what is meant as text", digits)


def rows_of(file: IO[bytes], sheet: str) -> Iterator[Row]:
    """Yield notes on rows of a sheet, from top to bottom; rows without notes are left out.

    Raises:
        ValueError: if the workbook is malformed.

    """
    try:
        with zipfile.ZipFile(file) as archive:
            parts = _Parts(archive)
            with archive.open(parts.sheet(sheet)) as part:
                yield from _Sheet(parts.formats()).rows(part)
    except (KeyError, zipfile.BadZipFile, expat.ExpatError, OSError, RuntimeError) as error:
        raise ValueError(f"not readable as Excel: {error}") from None


class _Parts:
    """Locates the parts of a workbook in its archive."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        found = _related(archive, "")
        self._book = next((path for kind, path in found.values() if kind == "officeDocument"), "")
        self._related = _related(archive, self._book)

    def sheet(self, name: str) -> str:
        """Return the path of a sheet's part."""
        for element, attributes in _elements(self._archive, self._book):
            if element == "sheet" and attributes.get("name") == name:
                number = next(value for key, value in attributes.items() if key.endswith(":id"))
                return self._related[number][1]
        raise ValueError(f"not readable as Excel: nothing says where the sheet {name!r} is")

    def formats(self) -> dict[str, str]:
        """Return the number format of each style that does not show plain digits."""
        path = next((path for kind, path in self._related.values() if kind == "styles"), None)
        codes: dict[int, str] = {}
        styles: list[int] = []
        inside = False
        for element, attributes in _elements(self._archive, path) if path else ():
            if element == "numFmt":
                codes[int(attributes["numFmtId"])] = attributes["formatCode"]
            elif element in ("cellXfs", "cellStyleXfs", "dxfs", "cellStyles"):
                inside = element == "cellXfs"
            elif element == "xf" and inside:
                styles.append(int(attributes.get("numFmtId", 0)))
        known = {number: _shape(code) for number, code in {**_BUILT_IN, **codes}.items()}
        shapes = [known.get(number, f"number {number}") for number in styles]
        return {str(at): shape for at, shape in enumerate(shapes) if not _PLAIN.fullmatch(shape)}


def _shape(code: str) -> str:
    """Return the section of a format for positive numbers, without decoration."""
    return _DECORATION.sub("", code.partition(";")[0]).strip()


def _related(archive: zipfile.ZipFile, part: str) -> dict[str, tuple[str, str]]:
    """Return the relationships of a part by id: the last word of the type, and the path."""
    folder, name = posixpath.split(part)
    path = posixpath.join(folder, "_rels", f"{name}.rels")
    return {
        attributes["Id"]: (
            posixpath.basename(attributes["Type"]),
            posixpath.normpath(posixpath.join("/", folder, attributes["Target"])).lstrip("/"),
        )
        for element, attributes in _elements(archive, path)
        if element == "Relationship"
    }


def _elements(archive: zipfile.ZipFile, path: str) -> list[tuple[str, dict[str, str]]]:
    """Return all elements of a small part, by their names without prefixes."""
    found: list[tuple[str, dict[str, str]]] = []
    parser = _parser()
    parser.StartElementHandler = lambda name, attributes: found.append((_local(name), attributes))
    parser.Parse(archive.read(path), True)
    return found


def _parser() -> expat.XMLParserType:
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse  # workbooks need none, and some are bombs
    return parser


def _refuse(*_: object) -> None:
    raise ValueError("not readable as Excel: found a document type in its XML")


def _local(name: str) -> str:
    return name.rpartition(":")[2]


class _Sheet:
    """Parses the cells of a sheet."""

    def __init__(self, formats: dict[str, str]) -> None:
        self._formats = formats
        self._found: list[Row] = []
        self._row = Row(0, hidden=False)
        self._column = -1
        self._type = ""
        self._style = ""
        self._formula = False
        self._value: list[str] | None = None

    def rows(self, part: IO[bytes]) -> Iterator[Row]:
        parser = _parser()
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        while piece := part.read(_PIECE):
            parser.Parse(piece)
            yield from self._found
            self._found.clear()
        parser.Parse(b"", True)
        yield from self._found

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        name = _local(name)
        if name == "c":
            place = attributes.get("r")
            self._column = self._column + 1 if place is None else _column(place)
            self._type = attributes.get("t", "n")
            self._style = attributes.get("s", "")
            self._formula = False
            self._value = None
        elif name == "v":
            self._value = []
        elif name == "f":
            self._formula = True
        elif name == "row":
            line = int(attributes.get("r", self._row.line + 1))
            hidden = attributes.get("hidden") in _TRUE or float(attributes.get("ht", 1)) == 0
            self._row = Row(line, hidden)
            self._column = -1

    def _text(self, text: str) -> None:
        if self._value is not None:
            self._value.append(text)

    def _end(self, name: str) -> None:
        name = _local(name)
        if name == "c":
            if self._type == "e" or self._formula:
                self._look("".join(self._value or ()))
            if self._type == "n" and self._style in self._formats:
                self._row.formats[self._column] = self._formats[self._style]
            self._value = None
        elif name == "row":
            row = self._row
            if row.hidden or row.cells or row.formats:
                self._found.append(row)

    def _look(self, value: str) -> None:
        if self._type == "e":
            words = f"found the error {value or '#N/A'}, expected a value"
            self._row.cells[self._column] = Unreadable(words, value)
        elif not value and not (self._type == "str" and self._value is not None):
            self._row.cells[self._column] = Unreadable(
                "found a formula without a stored value: open the file in a spreadsheet, and save "
                "it there, or paste the values"
            )


def _column(place: str) -> int:
    """Return the column of a cell reference, from 0: B7 gives 1."""
    number = 0
    for letter in place:
        if letter.isalpha():
            number = number * 26 + ord(letter.upper()) - 64
    return number - 1
