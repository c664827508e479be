"""Reads rows of Parquet files for `roster.reading`, with pyarrow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

from async_enroll.errors import ConfigurationError
from async_enroll.roster.cells import text_of
from async_enroll.roster.header import Row

_BATCH = 10_000


def parquet_rows(file: IO[bytes], source: str) -> Iterator[Row]:
    """Yield the rows of a Parquet file, batch by batch; the first is the header.

    Raises:
        ConfigurationError: if pyarrow is not installed.
        ValueError: if the file cannot be read.

    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise missing(source) from None
    try:
        parquet = pyarrow.parquet.ParquetFile(file)
        yield 0, tuple(parquet.schema_arrow.names)
        line = 0
        for batch in parquet.iter_batches(_BATCH):
            columns: list[list[Any]] = [column.to_pylist() for column in batch.columns]
            for cells in zip(*columns, strict=True):
                line += 1
                yield line, [text_of(cell) for cell in cells]
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"not readable as Parquet: {error}") from None


def missing(source: str) -> ConfigurationError:
    """Return the error for a missing extra."""
    return ConfigurationError(
        f'{source}: Parquet and Excel need an extra: pip install "async_enroll[files]"'
    )
