"""Pages to a file, a page at a time, so that memory does not grow with the rows.

Conventions of the text formats: UTF-8, one header (CSV) of logical names, null is an empty field (CSV) or
null (NDJSON), true and false, digits of decimals as the service sent them, timestamps in UTC ending in Z
except columns without a time zone.
"""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import msgspec

from airflow_provider_dynamics.formats.arrow import BatchBuilder, extra_fields, need
from airflow_provider_dynamics.formats.fields import Field, FormatError, file_fields
from airflow_provider_dynamics.formats.storage import Path, file_format_of, place, replacing
from airflow_provider_dynamics.formats.values import text_of

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse.tables import Table

COMPRESSION = "snappy"  # what Azure Data Factory and Synapse take; zstd would be two thirds of the size
DICTIONARY_BYTES = (
    64 * 1024
)  # a column with more distinct values than that is faster and smaller written plainly
GROUP_ROWS = 50_000
GROUP_BYTES = 32 * 1024 * 1024


class Writer(Protocol):
    """What `writer` yields: an open file that takes pages."""

    rows: int
    """How many rows were written so far."""

    def write(self, page: Any, extra: Mapping[str, Any] | None = None) -> None:
        """Append a Page, or rows as dicts; `extra` fills the extra columns of all of them."""


class _Format(Writer, Protocol):
    def close(self) -> None: ...


@contextlib.contextmanager
def writer(
    path: Path,
    file_format: str | None,
    table: Table,
    select: Sequence[str] = (),
    *,
    if_exists: str = "replace",
    extra: Mapping[str, str] | None = None,
) -> Iterator[Writer]:
    """Yield a writer of a file with `select` of `table`; the file stands under `path` only if the block ends well.

    :param path: str, pathlib.Path or ObjectStoragePath
    :param file_format: "parquet", "ndjson" or "csv"; None tells it by the suffix
    :param table: the table the rows come from; its metadata gives the types
    :param select: columns by logical name; empty means all
    :param if_exists: "replace", or "fail", which is checked before anything is written
    :param extra: further columns, name to kind, that `write` fills (a change file's `operation`)
    :raises FormatError: for a bad argument, a file in the way, or a value that its column cannot hold
    """
    fields, more = file_fields(table, select), extra_fields(extra)
    if taken := {f.name for f in fields} & {f.name for f in more}:
        raise FormatError(
            f"table {table.logical_name} has a column {min(taken)!r} of its own: rename the extra"
        )
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


class _ParquetFile:
    """Pages gathered into row groups of a size that readers like, each written as soon as it is full."""

    def __init__(self, file: BinaryIO, fields: Sequence[Field], extra: Sequence[Field]) -> None:
        self._pa = need("pyarrow", "parquet", "Parquet")
        parquet = need("pyarrow.parquet", "parquet", "Parquet")
        self.rows = 0
        self._builder = BatchBuilder(fields, extra)
        self._waiting: list[Any] = []
        self._file = parquet.ParquetWriter(
            file,
            self._builder.schema,
            compression=COMPRESSION,
            dictionary_pagesize_limit=DICTIONARY_BYTES,
        )

    def write(self, page: Any, extra: Mapping[str, Any] | None = None) -> None:
        batch = self._builder.batch(page, extra)
        self.rows += batch.num_rows
        self._waiting.append(batch)
        if (
            sum(b.num_rows for b in self._waiting) >= GROUP_ROWS
            or sum(b.nbytes for b in self._waiting) >= GROUP_BYTES
        ):
            self._write_group()

    def _write_group(self) -> None:
        if any(batch.num_rows for batch in self._waiting):
            self._file.write_table(self._pa.Table.from_batches(self._waiting, self._builder.schema))
        self._waiting.clear()
        self._pa.default_memory_pool().release_unused()  # a worker has other tasks: Arrow would keep it for itself

    def close(self) -> None:
        try:
            self._write_group()
        finally:
            self._file.close()


class _NdjsonFile:
    """One JSON object a line, every column present."""

    def __init__(self, file: BinaryIO, fields: Sequence[Field], extra: Sequence[Field]) -> None:
        self.rows = 0
        self._file = file
        self._extra = extra
        self._columns = [(field.name, field.wire_name, _JSON_VALUES.get(field.kind)) for field in fields]
        self._encoder = msgspec.json.Encoder(decimal_format="number")

    def write(self, page: Any, extra: Mapping[str, Any] | None = None) -> None:
        constants = {field.name: (extra or {}).get(field.name) for field in self._extra}
        lines = [self._line(row) | constants for row in _rows(page)]
        self._file.write(self._encoder.encode_lines(lines))
        self.rows += len(lines)

    def _line(self, row: Mapping[str, Any]) -> dict[str, Any]:
        line = {}
        for name, wire_name, convert in self._columns:
            value = row.get(wire_name, row.get(name))
            line[name] = value if convert is None or value is None else convert(value)
        return line

    def close(self) -> None:
        self._file.flush()


class _CsvFile:
    """A header line, then a line a row."""

    def __init__(self, file: BinaryIO, fields: Sequence[Field], extra: Sequence[Field]) -> None:
        self.rows = 0
        self._extra = extra
        self._columns = [(field.name, field.wire_name, _CSV_VALUES.get(field.kind)) for field in fields]
        self._file = file
        self._text = io.StringIO(newline="")
        self._csv = csv.writer(self._text)  # ends lines as RFC 4180 says
        self._csv.writerow([field.name for field in (*fields, *extra)])
        self._flush()

    def write(self, page: Any, extra: Mapping[str, Any] | None = None) -> None:
        constants = [(extra or {}).get(field.name) for field in self._extra]
        lines = [self._line(row) + constants for row in _rows(page)]
        self._csv.writerows(lines)
        self._flush()
        self.rows += len(lines)

    def _line(self, row: Mapping[str, Any]) -> list[Any]:
        line = []
        for name, wire_name, convert in self._columns:
            value = row.get(wire_name, row.get(name))
            line.append(value if convert is None or value is None else convert(value))
        return line

    def _flush(self) -> None:
        self._file.write(self._text.getvalue().encode())
        self._text.seek(0)
        self._text.truncate()

    def close(self) -> None:
        self._file.flush()


_FORMATS: Mapping[str, Callable[[BinaryIO, Sequence[Field], Sequence[Field]], _Format]] = {
    "parquet": _ParquetFile,
    "ndjson": _NdjsonFile,
    "csv": _CsvFile,
}


def _rows(page: Any) -> Iterable[Mapping[str, Any]]:
    rows: Iterable[Mapping[str, Any]] = getattr(page, "rows", page)
    return rows


def _without_zone(value: str) -> str:
    return value.removesuffix("Z")


def _csv_boolean(value: bool) -> str:
    return "true" if value else "false"


def _csv_decimal(value: Any) -> str:
    return format(value, "f") if isinstance(value, Decimal) else str(value)


_JSON_VALUES: Mapping[str, Callable[[Any], Any]] = {"timestamp": _without_zone}
_CSV_VALUES: Mapping[str, Callable[[Any], Any]] = {
    "string": text_of,
    "timestamp": _without_zone,
    "bool": _csv_boolean,
    "decimal": _csv_decimal,
}
