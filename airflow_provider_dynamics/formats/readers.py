"""A file's rows, one at a time, as values that Dataverse takes.

The names of the columns are known before the first row, so that they can be checked before anything is
written. A value that its column cannot hold spoils its row and not the file.
"""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import msgspec

from airflow_provider_dynamics.formats.arrow import need
from airflow_provider_dynamics.formats.fields import FormatError, file_field
from airflow_provider_dynamics.formats.storage import Path, Place, file_format_of, place
from airflow_provider_dynamics.formats.values import is_missing, wire_converter

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse.tables import Table

BATCH_ROWS = 5_000
LONGEST_TEXT = 16 * 1024 * 1024
"""Characters in one CSV field: a memo column holds a million, csv's own limit is 131,072."""

RawRow: TypeAlias = "Mapping[str, Any] | str"
"""A row as its file has it, or the sentence that says why it is none."""


@dataclass(frozen=True)
class FileRow:
    """One row of a file.

    :param number: its place in the file, from 1, header not counted
    :param row: its values by table column, ready for Dataverse; where `error` is set, as the file has them
    :param error: why the row cannot be sent, or None
    :param column: the table column at fault, where one is
    """

    number: int
    row: dict[str, Any]
    error: str | None = None
    column: str | None = None


class Reader:
    """An open file: `columns` are the names it uses, iterating gives its rows once."""

    def __init__(self, columns: Iterable[str], rows: Iterable[RawRow], target: _Target) -> None:
        self.columns = tuple(columns)
        self._rows = rows
        self._target = target

    def __iter__(self) -> Iterator[FileRow]:
        for number, raw in enumerate(self._rows, 1):
            yield self._target.file_row(number, raw)


class _Target:
    """What the file's columns mean to the table."""

    def __init__(self, table: Table, columns: Mapping[str, str]) -> None:
        self._table = table
        self._renamed = columns
        self._ways: dict[str, tuple[str, Callable[[Any], Any]]] = {}

    def file_row(self, number: int, raw: RawRow) -> FileRow:
        if isinstance(raw, str):
            return FileRow(number, {}, raw)
        row: dict[str, Any] = {}
        for name, value in raw.items():
            column, convert = self._ways.get(name) or self._way(name)
            try:
                row[column] = convert(value)
            except ValueError as error:
                return FileRow(number, _plain(raw), f"column {name}: {error}", column)
        return FileRow(number, row)

    def _way(self, name: str) -> tuple[str, Callable[[Any], Any]]:
        """Return the table's name for a column of the file and how its values get there, once a column."""
        column = self._renamed.get(name, name)
        found = self._table.columns.get(column)
        self._ways[name] = column, wire_converter(file_field(found)) if found else _plain_value
        return self._ways[name]


@contextlib.contextmanager
def reader(
    path: Path, file_format: str | None, table: Table, columns: Mapping[str, str] | None = None
) -> Iterator[Reader]:
    """Yield a reader of the file at `path`, its values typed by `table`.

    Names that are no column of the table are kept as they are: check `Reader.columns` first.

    :param path: str, pathlib.Path or ObjectStoragePath
    :param file_format: "parquet", "ndjson" or "csv"; None tells it by the suffix
    :param table: the table the rows are meant for
    :param columns: the file's names to the table's, where they differ
    :raises FormatError: if there is no such file, or it is not what its format says
    """
    source = place(path)
    open_rows = _FORMATS[file_format_of(path, file_format)]
    with contextlib.ExitStack() as closing:
        names, rows = open_rows(source, closing)
        yield Reader(names, rows, _Target(table, columns or {}))


def _open(source: Place, closing: contextlib.ExitStack) -> BinaryIO:
    try:
        return closing.enter_context(source.open("rb"))
    except FileNotFoundError as error:
        raise FormatError(f"{source.label} does not exist") from error
    except IsADirectoryError as error:
        raise FormatError(f"{source.label} is a folder: name one file") from error


# --- Parquet ---


def _parquet(source: Place, closing: contextlib.ExitStack) -> tuple[list[str], Iterator[RawRow]]:
    pa = need("pyarrow", "parquet", "Parquet")
    parquet = need("pyarrow.parquet", "parquet", "Parquet")
    raw = _open(source, closing)
    try:
        file = closing.enter_context(parquet.ParquetFile(raw))
    except pa.ArrowInvalid as error:
        raise FormatError(f"{source.label} is not a Parquet file: {_first_line(error)}") from error
    return file.schema_arrow.names, _parquet_rows(pa, file, source)


def _parquet_rows(pa: Any, file: Any, source: Place) -> Iterator[RawRow]:
    try:
        for batch in file.iter_batches(batch_size=BATCH_ROWS):
            yield from _microseconds(pa, batch).to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        raise FormatError(f"{source.label} is damaged: {_first_line(error)}") from error


def _microseconds(pa: Any, batch: Any) -> Any:
    """Cut timestamps to microseconds: Python holds no finer ones, and pandas' own have nanoseconds."""
    fine = {i: f for i, f in enumerate(batch.schema) if pa.types.is_timestamp(f.type) and f.type.unit == "ns"}
    arrays = [
        array.cast(pa.timestamp("us", fine[i].type.tz), safe=False) if i in fine else array
        for i, array in enumerate(batch.columns)
    ]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


# --- NDJSON ---


def _ndjson(source: Place, closing: contextlib.ExitStack) -> tuple[list[str], Iterator[RawRow]]:
    # read twice: any line may bring a name that no earlier one has
    names: dict[str, None] = {}
    lines = objects = 0
    with contextlib.ExitStack() as first_pass:
        for raw in _ndjson_rows(_open(source, first_pass)):
            lines += 1
            if not isinstance(raw, str):
                objects += 1
                names.update(dict.fromkeys(raw))
    if lines and not objects:
        raise FormatError(f"{source.label} is not NDJSON: no line of it is a JSON object")
    return list(names), _ndjson_rows(_open(source, closing))


def _ndjson_rows(file: BinaryIO) -> Iterator[RawRow]:
    decoder = msgspec.json.Decoder(float_hook=Decimal)
    for number, line in enumerate(file):
        text = line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line
        if not text.strip():
            continue
        try:
            row = decoder.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            yield f"not JSON: {error}"
        else:
            yield row if isinstance(row, dict) else "not a JSON object"


# --- CSV ---


def _csv(source: Place, closing: contextlib.ExitStack) -> tuple[list[str], Iterator[RawRow]]:
    csv.field_size_limit(LONGEST_TEXT)
    text = io.TextIOWrapper(_open(source, closing), encoding="utf-8-sig", newline="")
    closing.callback(text.close)
    lines = _csv_lines(csv.reader(text), source)
    header = [name.strip() for name in next(lines, [])]
    if not header or "" in header:
        raise FormatError(f"{source.label} is not CSV with a header: its first line must name every column")
    if twice := next((name for name in header if header.count(name) > 1), None):
        raise FormatError(f"{source.label} names the column {twice!r} twice in its header")
    return header, (_csv_row(header, line) for line in lines if line)


def _csv_lines(lines: Iterator[list[str]], source: Place) -> Iterator[list[str]]:
    try:
        yield from lines
    except UnicodeDecodeError as error:
        raise FormatError(f"{source.label} is not UTF-8 text: save it as UTF-8") from error
    except csv.Error as error:
        raise FormatError(f"{source.label} is not CSV: {error}") from error


def _csv_row(header: list[str], line: list[str]) -> RawRow:
    if len(line) != len(header):
        return f"{len(line)} values, and the header names {len(header)} columns"
    return dict(zip(header, line, strict=True))


_FORMATS: Mapping[str, Callable[[Place, contextlib.ExitStack], tuple[list[str], Iterator[RawRow]]]] = {
    "parquet": _parquet,
    "ndjson": _ndjson,
    "csv": _csv,
}


def _plain(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain_value(value) for name, value in raw.items()}


def _plain_value(value: Any) -> Any:
    """Return a value JSON can hold: numbers, text and lists as they are, the rest as text."""
    if isinstance(value, list):
        return [_plain_value(item) for item in value]
    if isinstance(value, dict):
        return _plain(value)
    if value is None or isinstance(value, (str, int, Decimal)):
        return value
    if isinstance(value, float):
        return None if is_missing(value) else value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
