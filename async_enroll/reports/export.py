"""Export results as CSV, JSON, JSON Lines or Parquet, or as a roster.

Takes results from any iterable and writes them in one pass, in constant memory.
UTF-8 cannot encode lone surrogates, which an identifier may contain. They are written as
backslash escapes, so that one such pair does not cost a report of millions.
"""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

import msgspec
from attrs import evolve

from async_enroll.errors import ConfigurationError
from async_enroll.files import private_binary_file, private_file, safe_cell
from async_enroll.models import EnrollmentResult, EnrollmentState, Outcome
from async_enroll.platform.json import result_object
from async_enroll.results import UNNOTIFIED, moment

FORMS = (".csv", ".json", ".jsonl", ".parquet", ".xlsx")
"""The file name suffixes that `write` supports."""

_COLUMNS = (
    "identifier",
    "course_id",
    "action",
    "outcome",
    "ok",
    "error",
    "notified",
    "attempts",
    "line",
    "cohort",
    "before",
    "after",
    "time",
)
_ROSTER_COLUMNS = ("identifier", "course_id", "action", "cohort", "error", "line")
ROSTER_FORMS = (".csv", ".xlsx")
"""The suffixes that a roster can be written with."""
_LINES = 1000
_ROW_GROUP = 50_000
_SHEET_ROWS = 1_048_576
_LONGEST_CELL = 32_767
"""In characters. Source: Excel specifications and limits, as for the rows of a sheet."""

_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")

_Row = tuple[str | int, ...]


def write(
    path: str | os.PathLike[str], results: Iterable[EnrollmentResult], *, pending: int = 0
) -> None:
    """Write `results` to a file, in the format that its suffix names, one of `FORMS`. Blocks.

    The file has mode 0600 and replaces `path` once it is complete. If anything fails,
    including the iteration, `path` is unchanged. `pending` is the number of pairs without
    a result yet; only JSON includes it.

    Raises:
        ConfigurationError: `check` rejects the suffix.
        OSError: The file cannot be written.

    """
    suffix = Path(path).suffix
    check(suffix)
    if suffix in (".parquet", ".xlsx"):
        with private_binary_file(path) as binary:
            if suffix == ".parquet":
                write_parquet(results, binary)
            else:
                _write_sheets(_COLUMNS, map(_row, results), binary)
        return
    if suffix == ".csv":
        with private_file(path, newline="", marked=True) as file:
            write_csv(results, file)
        return
    with private_file(path, newline="") as file:
        if suffix == ".json":
            file.writelines(json_pieces(results, pending=pending))
        else:
            write_jsonl(results, file)


def check(suffix: str) -> None:
    """Check that `write` supports a suffix. Call it before a job starts, not after.

    Raises:
        ConfigurationError: `suffix` is not one of `FORMS`, or needs a package that is missing.

    """
    if suffix not in FORMS:
        raise ConfigurationError(
            f"expected a file name ending in {' or '.join(FORMS)}, found {suffix!r}"
        )
    if suffix == ".parquet":
        _pyarrow()
    elif suffix == ".xlsx":
        _openpyxl()


def write_csv(results: Iterable[EnrollmentResult], file: IO[str]) -> None:
    """Write a header and one row per pair. Open `file` with ``newline=""``.

    A cell that a spreadsheet would evaluate as a formula is prefixed with an apostrophe.
    These columns can be empty: `error` and `cohort` if there is none, and what is unknown of
    `notified`, `line` (in the roster), `before` and `after` (``enrolled``, ``allowed`` or
    ``none``) and `time` (ISO 8601, UTC).
    """
    rows = csv.writer(file)
    rows.writerow(_COLUMNS)
    rows.writerows(map(_row, results))


def _row(result: EnrollmentResult) -> _Row:
    return (
        _cell(result.identifier),
        _cell(result.course_id),
        result.action.value,
        result.outcome.value,
        "true" if result.outcome.ok else "false",
        _cell(result.error) if result.error else "",
        "" if result.notified is None else "true" if result.notified else "false",
        result.attempts,
        result.line or "",
        _cell(result.cohort or ""),
        _state(result.before) or "",
        _state(result.after) or "",
        moment(result.at) if result.at else "",
    )


def _state(state: EnrollmentState | None) -> str | None:
    if state is None:
        return None
    return "enrolled" if state.enrollment else "allowed" if state.allowed else "none"


def write_roster(results: Iterable[EnrollmentResult], file: IO[str]) -> None:
    """Write results as a roster to correct and apply again, in CSV as by `write_csv`.

    The column `error` says what to correct, or that the learner may not have been notified;
    `line` is the pair's former line. Reading a roster ignores both.
    """
    cells = csv.writer(file)
    cells.writerow(_ROSTER_COLUMNS)
    cells.writerows(map(_roster_row, results))


def write_roster_file(path: str | os.PathLike[str], results: Iterable[EnrollmentResult]) -> None:
    """`write_roster` to a file in the form that its suffix names, CSV or one of `ROSTER_FORMS`.

    Blocks. Raises as `write`.
    """
    if Path(path).suffix == ".xlsx":
        with private_binary_file(path) as binary:
            _write_sheets(_ROSTER_COLUMNS, map(_roster_row, results), binary)
        return
    with private_file(path, newline="", marked=True) as file:
        write_roster(results, file)


def _roster_row(result: EnrollmentResult) -> _Row:
    return (
        _cell(result.identifier),
        _cell(result.course_id),
        result.action.value,
        _cell(result.cohort or ""),
        _cell(f"{result.outcome.value}: {result.error or UNNOTIFIED}"),
        result.line or "",
    )


def _write_sheets(columns: _Row, rows: Iterable[_Row], file: IO[bytes]) -> None:
    """A workbook: one sheet, and more where that is full, each with a header. All text is text."""
    openpyxl = _openpyxl()
    book = openpyxl.Workbook(write_only=True)
    left = iter(rows)
    try:
        while (some := islice(left, _SHEET_ROWS - 1)) and (
            (first := next(some, None)) or not book.worksheets
        ):
            sheet = book.create_sheet(f"Sheet{len(book.worksheets) + 1}")
            for row in chain([columns], [first] if first else [], some):
                sheet.append([_sheet_cell(sheet, value) for value in row])
        book.save(file)
    except BaseException:
        for sheet in book.worksheets:
            sheet.close()
        raise


def _sheet_cell(sheet: Any, value: str | int) -> Any:
    if isinstance(value, int) or not value:
        return value or None
    from openpyxl.cell import WriteOnlyCell

    cell = WriteOnlyCell(sheet, _NOT_IN_XML.sub(_written_out, value)[:_LONGEST_CELL])
    cell.data_type = "s"  # whatever it looks like: an error, say
    return cell


def _written_out(found: re.Match[str]) -> str:
    return f"\\x{ord(found[0]):02x}"


def write_jsonl(results: Iterable[EnrollmentResult], file: IO[str]) -> None:
    """Write one JSON object per line, each a complete result."""
    lines = map(_json, results)
    while piece := b"\n".join(islice(lines, _LINES)):
        file.write(f"{piece.decode()}\n")


def json_pieces(results: Iterable[EnrollmentResult], *, pending: int = 0) -> Iterator[str]:
    """Yield one JSON object piece by piece: `results`, `counts`, `ok`, `pending`.

    The totals follow the results, so that one pass is enough. `counts` is by outcome.
    `pending` is the number of pairs without a result yet. `ok` is true if every pair
    succeeded and none is pending.
    """
    counts: Counter[Outcome] = Counter()
    separator = '{"results": [\n'
    for result in results:
        counts[result.outcome] += 1
        yield f"{separator}{_json(result).decode()}"
        separator = ",\n"
    totals = {
        "counts": {outcome.value: count for outcome, count in counts.items()},
        "ok": pending == 0 and all(outcome.ok for outcome in counts),
        "pending": pending,
    }
    yield "" if counts else separator
    yield f"\n], {msgspec.json.encode(totals).decode()[1:]}\n"


def write_parquet(results: Iterable[EnrollmentResult], file: IO[bytes]) -> None:
    """Write the columns of `write_csv`, typed. No cell is prefixed.

    Raises:
        ConfigurationError: pyarrow is not installed.

    """
    pyarrow = _pyarrow()
    repeating = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
    schema = pyarrow.schema(
        [
            pyarrow.field("identifier", pyarrow.string(), nullable=False),
            pyarrow.field("course_id", repeating, nullable=False),
            pyarrow.field("action", repeating, nullable=False),
            pyarrow.field("outcome", repeating, nullable=False),
            pyarrow.field("ok", pyarrow.bool_(), nullable=False),
            pyarrow.field("error", pyarrow.string()),
            pyarrow.field("notified", pyarrow.bool_()),
            pyarrow.field("attempts", pyarrow.int16(), nullable=False),
            pyarrow.field("line", pyarrow.uint32()),
            pyarrow.field("cohort", repeating),
            pyarrow.field("before", repeating),
            pyarrow.field("after", repeating),
            pyarrow.field("time", pyarrow.timestamp("ms", tz="UTC")),
        ]
    )
    left = iter(results)
    with pyarrow.parquet.ParquetWriter(file, schema, compression="zstd") as rows:
        while group := list(islice(left, _ROW_GROUP)):
            rows.write_batch(pyarrow.record_batch(_columns(group), schema=schema))


def _columns(group: list[EnrollmentResult]) -> list[list[Any]]:
    return [
        [_encodable(result.identifier) for result in group],
        [_encodable(result.course_id) for result in group],
        [result.action.value for result in group],
        [result.outcome.value for result in group],
        [result.outcome.ok for result in group],
        [result.error and _encodable(result.error) for result in group],
        [result.notified for result in group],
        [result.attempts for result in group],
        [result.line for result in group],
        [result.cohort and _encodable(result.cohort) for result in group],
        [_state(result.before) for result in group],
        [_state(result.after) for result in group],
        [None if result.at is None else int(1000 * result.at) for result in group],
    ]


def _pyarrow() -> Any:
    # pyarrow is large and only one format needs it: an extra, imported on use.
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ConfigurationError(
            'Parquet needs pyarrow: pip install "async_enroll[files]"'
        ) from None
    return pyarrow


def _openpyxl() -> Any:
    try:
        import openpyxl
    except ImportError:
        raise ConfigurationError(
            'Excel needs openpyxl: pip install "async_enroll[files]"'
        ) from None
    return openpyxl


def _json(result: EnrollmentResult) -> bytes:
    try:
        return msgspec.json.encode(result_object(result))
    except UnicodeEncodeError:
        escaped = evolve(
            result,
            identifier=_encodable(result.identifier),
            course_id=_encodable(result.course_id),
            error=result.error and _encodable(result.error),
            cohort=result.cohort and _encodable(result.cohort),
        )
        return msgspec.json.encode(result_object(escaped))


def _cell(text: str) -> str:
    return safe_cell(_encodable(text).replace("\0", "\\x00"))  # with NUL, nobody could read it


def _encodable(text: str) -> str:
    """`text`, with lone surrogates as backslash escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
