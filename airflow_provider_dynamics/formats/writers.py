"""Pages to a file, a page at a time, so that memory does not grow with the rows.

A page is prepared first, which costs the time and may happen in any thread, and appended then, one after the
other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

import msgspec

from airflow_provider_dynamics.formats.arrow import BatchBuilder, extra_fields, need
from airflow_provider_dynamics.formats.fields import Field, check_names
from airflow_provider_dynamics.formats.storage import Path, file_format_of, place, replacing
from airflow_provider_dynamics.formats.texts import csv_converter, csv_lines, json_converter
from airflow_provider_dynamics.formats.values import row_converter

COMPRESSION = "snappy"  # what Azure Data Factory and Synapse take; zstd would be two thirds of the size
DICTIONARY_BYTES = (
    64 * 1024
)  # a column with more distinct values than that is faster and smaller written plainly
GROUP_ROWS = 50_000
GROUP_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True)
class Prepared:
    """A page as its file will hold it, made by `Writer.prepare`: `content` is a RecordBatch or a stretch of bytes."""

    rows: int
    content: Any


class Writer(Protocol):
    """What `writer` yields: an open file that takes pages."""

    rows: int
    """How many rows were written so far."""

    def prepare(self, page: Any, extra: Mapping[str, Any] | None = None) -> Prepared:
        """Turn a Page, or rows as dicts, into what the file holds: the costly half, for any thread.

        `extra` fills the extra columns of all rows.

        :raises FormatError: for a value that its column cannot hold
        """

    def append(self, prepared: Prepared) -> None:
        """Append what `prepare` made, from one thread at a time."""

    def write(self, page: Any, extra: Mapping[str, Any] | None = None) -> None:
        """Prepare and append at once."""


class Format(Writer, Protocol):
    """A writer whose end its caller says."""

    def close(self) -> None:
        """Write what is still held back; the file stays open."""


@contextlib.contextmanager
def writer(
    path: Path,
    file_format: str | None,
    fields: Sequence[Field],
    *,
    if_exists: str = "replace",
    extra: Mapping[str, str] | None = None,
) -> Iterator[Writer]:
    """Yield a writer of a file with `fields`; the file stands under `path` only if the block ends well.

    :param path: str, pathlib.Path or ObjectStoragePath
    :param file_format: "parquet", "ndjson" or "csv"; None tells it by the suffix
    :param fields: the columns, from `file_fields` or `result_fields`
    :param if_exists: "replace", or "fail", which is checked before anything is written
    :param extra: further columns, name to kind, that `write` fills (a change file's `operation`)
    :raises FormatError: for a bad argument, a file in the way, or a value that its column cannot hold
    """
    more = extra_fields(extra)
    check_names((*fields, *more))
    make = _FORMATS[file_format_of(path, file_format)]
    if make is _ParquetFile:
        need("pyarrow", "parquet", "Parquet")
    with replacing(place(path), if_exists) as file:
        written = make(file, fields, more)
        try:
            yield written
        except BaseException:
            with contextlib.suppress(Exception):
                written.close()
            raise
        written.close()


def content(file: BinaryIO, file_format: str, fields: Sequence[Field]) -> Format:
    """Return a writer into an open file that its caller closes, after the writer's own `close`.

    :raises FormatError: pyarrow, which Parquet needs, is not installed
    """
    return _FORMATS[file_format](file, fields, ())


class _File:
    """What all formats share."""

    def __init__(self, file: BinaryIO) -> None:
        self.rows = 0
        self._file = file

    def prepare(self, page: Any, extra: Mapping[str, Any] | None = None) -> Prepared:
        raise NotImplementedError

    def append(self, prepared: Prepared) -> None:
        self._file.write(prepared.content)
        self.rows += prepared.rows

    def write(self, page: Any, extra: Mapping[str, Any] | None = None) -> None:
        self.append(self.prepare(page, extra))

    def close(self) -> None:
        self._file.flush()


class _ParquetFile(_File):
    """Pages gathered into row groups of a size that readers like, each written as soon as it is full."""

    def __init__(self, file: BinaryIO, fields: Sequence[Field], extra: Sequence[Field]) -> None:
        super().__init__(file)
        self._pa = need("pyarrow", "parquet", "Parquet")
        parquet = need("pyarrow.parquet", "parquet", "Parquet")
        self._builder = BatchBuilder(fields, extra)
        self._waiting: list[Any] = []
        self._waiting_bytes = 0
        self._written = 0  # rows
        self._parquet = parquet.ParquetWriter(
            file,
            self._builder.schema,
            compression=COMPRESSION,
            dictionary_pagesize_limit=DICTIONARY_BYTES,
        )

    def prepare(self, page: Any, extra: Mapping[str, Any] | None = None) -> Prepared:
        batch = self._builder.batch(page, extra)
        return Prepared(batch.num_rows, batch)

    def append(self, prepared: Prepared) -> None:
        if not prepared.rows:
            return
        self.rows += prepared.rows
        self._waiting.append(prepared.content)
        self._waiting_bytes += prepared.content.nbytes
        if self.rows - self._written >= GROUP_ROWS or self._waiting_bytes >= GROUP_BYTES:
            self._write_group()

    def _write_group(self) -> None:
        if self._waiting:
            self._parquet.write_table(self._pa.Table.from_batches(self._waiting, self._builder.schema))
        self._waiting.clear()
        self._waiting_bytes, self._written = 0, self.rows
        self._pa.default_memory_pool().release_unused()  # a worker has other tasks: Arrow would keep it for itself

    def close(self) -> None:
        try:
            self._write_group()
        finally:
            self._parquet.close()


class _NdjsonFile(_File):
    """One JSON object a line, every column present."""

    def __init__(self, file: BinaryIO, fields: Sequence[Field], extra: Sequence[Field]) -> None:
        super().__init__(file)
        self._extra = extra
        self._convert = row_converter(fields, json_converter)
        self._encoder = msgspec.json.Encoder(decimal_format="number")

    def prepare(self, page: Any, extra: Mapping[str, Any] | None = None) -> Prepared:
        constants = {field.name: (extra or {}).get(field.name) for field in self._extra}
        lines = [self._convert(row) | constants for row in _rows(page)]
        return Prepared(len(lines), self._encoder.encode_lines(lines))


class _CsvFile(_File):
    """A header line, then a line a row."""

    def __init__(self, file: BinaryIO, fields: Sequence[Field], extra: Sequence[Field]) -> None:
        super().__init__(file)
        self._extra = extra
        self._convert = row_converter(fields, csv_converter)
        file.write(csv_lines([[field.name for field in (*fields, *extra)]]))

    def prepare(self, page: Any, extra: Mapping[str, Any] | None = None) -> Prepared:
        constants = [(extra or {}).get(field.name) for field in self._extra]
        lines = [[*self._convert(row).values(), *constants] for row in _rows(page)]
        return Prepared(len(lines), csv_lines(lines))


_FORMATS: Mapping[str, Callable[[BinaryIO, Sequence[Field], Sequence[Field]], Format]] = {
    "parquet": _ParquetFile,
    "ndjson": _NdjsonFile,
    "csv": _CsvFile,
}


def _rows(page: Any) -> Iterable[Mapping[str, Any]]:
    rows: Iterable[Mapping[str, Any]] = getattr(page, "rows", page)
    return rows
