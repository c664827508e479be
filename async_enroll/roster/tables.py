"""Rows of Parquet and Excel files, by libraries that come with an extra."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

from async_enroll.errors import ConfigurationError
from async_enroll.roster.text import Row, text_of

_BATCH = 10_000


def parquet_rows(file: IO[bytes], source: str) -> Iterator[Row]:
    """The rows of a Parquet file, batch by batch; the first is the header.

    Raises:
        ConfigurationError: where pyarrow is not installed.
        ValueError: where the file cannot be read.

    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise _missing(source) from None
    try:
        parquet = pyarrow.parquet.ParquetFile(file)
        header = tuple(parquet.schema_arrow.names)
        yield 0, header, header
        line = 0
        for batch in parquet.iter_batches(_BATCH):
            columns: list[list[Any]] = [column.to_pylist() for column in batch.columns]
            for cells in zip(*columns, strict=True):
                line += 1
                yield line, header, [text_of(cell) for cell in cells]
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"not readable as Parquet: {error}") from None


def excel_rows(file: IO[bytes], source: str) -> Iterator[Row]:
    """The rows of an Excel file's first sheet that are not blank; the first is the header.

    Raises:
        ConfigurationError: where python-calamine is not installed.
        ValueError: where the file cannot be read.

    """
    try:
        import python_calamine as calamine
    except ImportError:
        raise _missing(source) from None
    try:
        sheet = calamine.CalamineWorkbook.from_filelike(file).get_sheet_by_index(0)
        first = (sheet.start or (0, 0))[0] + 1
        header: tuple[str, ...] = ()
        for line, row in enumerate(sheet.iter_rows(), first):
            cells = [text_of(cell) for cell in row]
            if not any(cells):
                continue
            header = header or tuple(cells)
            yield line, header, cells
    except (calamine.CalamineError, IndexError, OSError) as error:
        raise ValueError(f"not readable as Excel: {error}") from None


def _missing(source: str) -> ConfigurationError:
    return ConfigurationError(
        f'{source}: Parquet and Excel need an extra: pip install "async_enroll[files]"'
    )
