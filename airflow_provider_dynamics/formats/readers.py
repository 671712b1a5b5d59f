"""A file's rows as the file has them, some at a time, and nothing decided about what they mean.

The names of the columns are known before the first row, so that they can be checked before anything is
written. A line that is no row spoils itself and not the file.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import msgspec

from airflow_provider_dynamics.formats.arrow import need
from airflow_provider_dynamics.formats.fields import FormatError
from airflow_provider_dynamics.formats.incoming import python_values

if TYPE_CHECKING:
    from airflow_provider_dynamics.formats.storage import Place

__all__ = ["ArrowRow", "Pick", "RawFile", "RawRow", "raw_file"]

READ_ROWS = 5_000
"""Rows that Parquet decodes together."""
LOCAL_BUFFER, REMOTE_BUFFER = 1024 * 1024, 8 * 1024 * 1024
"""Bytes read ahead of each Parquet column: without a bound, all of a row group, which may be all of the file."""
LONGEST_TEXT = 16 * 1024 * 1024
"""Characters in one CSV field: a memo column holds a million, csv's own limit is 131,072."""

_WRONG_BYTE = re.compile("[\udc80-\udcff]")
"""What Python makes of a byte that is not UTF-8, where it is told to go on."""

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")

RawRow: TypeAlias = "Mapping[str, Any] | str"
"""A row as its file has it, or the sentence that says why it is none."""
Pick: TypeAlias = "Callable[[dict[str, Any]], RawRow | None]"
"""What to take of an NDJSON line; None to pass over it."""


class RawFile:
    """An open file: `columns` are the names it uses, found when they are asked for; `batches` gives its rows once."""

    def __init__(
        self, columns: Callable[[], Iterable[str]], batches: Callable[[int], Iterator[Sequence[RawRow]]]
    ) -> None:
        self._columns = columns
        self.batches = batches

    @property
    def columns(self) -> tuple[str, ...]:
        """The names that the file uses.

        :raises FormatError: it is not what its format says
        """
        return tuple(self._columns())


class ArrowRow(Mapping[str, Any]):
    """One row of an Arrow batch; its values are looked up when they are asked for, which most never are."""

    __slots__ = ("batch", "place")

    def __init__(self, batch: Any, place: int) -> None:
        self.batch = batch
        self.place = place

    def __getitem__(self, name: str) -> Any:
        column = self.batch.schema.get_field_index(name)
        if column < 0:
            raise KeyError(name)
        return python_values(self.batch.column(column).slice(self.place, 1))[0]

    def __iter__(self) -> Iterator[str]:
        return iter(self.batch.schema.names)

    def __len__(self) -> int:
        return len(self.batch.schema.names)


@contextlib.contextmanager
def raw_file(source: Place, file_format: str, pick: Pick | None = None) -> Iterator[RawFile]:
    """Yield the file at `source`, open.

    :param file_format: "parquet", "ndjson" or "csv"
    :param pick: what to take of each object of an NDJSON file
    :raises FormatError: if there is no such file, or it is not what its format says
    """
    with contextlib.ExitStack() as closing:
        if file_format == "ndjson":
            yield _ndjson(source, closing, pick)
        else:
            yield {"parquet": _parquet, "csv": _csv}[file_format](source, closing)


def _open(source: Place, closing: contextlib.ExitStack) -> BinaryIO:
    try:
        return closing.enter_context(source.open("rb"))
    except FileNotFoundError as error:
        raise FormatError(f"{source.label} does not exist") from error
    except IsADirectoryError as error:
        raise FormatError(f"{source.label} is a folder: name one file") from error


def _cut(rows: Iterable[RawRow], size: int) -> Iterator[Sequence[RawRow]]:
    rows = iter(rows)
    while batch := list(itertools.islice(rows, size)):
        yield batch


# --- Parquet ---


def _parquet(source: Place, closing: contextlib.ExitStack) -> RawFile:
    pa = need("pyarrow", "parquet", "Parquet")
    parquet = need("pyarrow.parquet", "parquet", "Parquet")
    raw = _open(source, closing)
    buffer = LOCAL_BUFFER if source.local else REMOTE_BUFFER
    try:
        file = closing.enter_context(parquet.ParquetFile(raw, buffer_size=buffer))
    except pa.ArrowInvalid as error:
        raise FormatError(f"{source.label} is not a Parquet file: {_first_line(error)}") from error
    names = file.schema_arrow.names
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise FormatError(f"{source.label} has two columns {twice!r}")
    return RawFile(lambda: names, lambda size: _parquet_rows(pa, file, source, size))


def _parquet_rows(pa: Any, file: Any, source: Place, size: int) -> Iterator[Sequence[RawRow]]:
    if not file.num_row_groups:  # pyarrow 18 takes such a file for a damaged one
        return
    try:
        for read in file.iter_batches(batch_size=max(READ_ROWS // size, 1) * size, use_threads=False):
            for start in range(0, read.num_rows, size):
                batch = read.slice(start, size)
                yield [ArrowRow(batch, place) for place in range(batch.num_rows)]
            pa.default_memory_pool().release_unused()  # else it grows with the file
    except (pa.ArrowInvalid, OSError) as error:
        raise FormatError(f"{source.label} is damaged: {_first_line(error)}") from error


# --- NDJSON ---


def _ndjson(source: Place, closing: contextlib.ExitStack, pick: Pick | None) -> RawFile:
    file = _open(source, closing)
    return RawFile(lambda: _ndjson_names(source, pick), lambda size: _ndjson_batches(file, pick, size))


def _ndjson_names(source: Place, pick: Pick | None) -> Iterable[str]:
    """Return all names, which takes reading all of it: any line may bring one that no earlier one has."""
    names: dict[str, None] = {}
    lines = objects = 0

    def counted(row: dict[str, Any]) -> RawRow | None:
        nonlocal objects
        objects += 1
        return pick(row) if pick else row

    with contextlib.ExitStack() as closing:
        for batch in _ndjson_batches(_open(source, closing), counted if pick else None, READ_ROWS):
            lines += len(batch)
            rows = [raw for raw in batch if not isinstance(raw, str)]
            objects += 0 if pick else len(rows)
            for shape in dict.fromkeys(map(tuple, rows)):
                names.update(dict.fromkeys(shape))
    if lines and not objects:
        raise FormatError(f"{source.label} is not NDJSON: no line of it is a JSON object")
    return names


def _ndjson_batches(file: BinaryIO, pick: Pick | None, size: int) -> Iterator[Sequence[RawRow]]:
    """Yield the rows of so many lines at a time; only where one of them is no row, each is looked at."""
    decode = msgspec.json.Decoder(float_hook=Decimal).decode
    first = 0
    while lines := list(itertools.islice(file, size)):
        batch: list[RawRow] = []
        if pick is None:
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
                batch = list(map(decode, lines))
        if not batch or set(map(type, batch)) != {dict}:
            batch = list(_ndjson_rows(lines, decode, pick, first))
        if batch:
            yield batch
        first += len(lines)


def _ndjson_rows(
    lines: Iterable[bytes], decode: Callable[[bytes], Any], pick: Pick | None, first: int
) -> Iterator[RawRow]:
    for number, line in enumerate(lines, first):
        text = line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line
        if not text.strip():
            continue
        try:
            row = decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            half = "; it may have half a character, such as \\ud83d alone" if _SURROGATE.search(text) else ""
            yield f"not JSON: {error}{half}"
            continue
        if not isinstance(row, dict):
            yield "not a JSON object"
            continue
        found = pick(row) if pick else row
        if found is not None:
            yield found


# --- CSV ---


def _csv(source: Place, closing: contextlib.ExitStack) -> RawFile:
    csv.field_size_limit(LONGEST_TEXT)
    text = io.TextIOWrapper(
        _open(source, closing), encoding="utf-8-sig", errors="surrogateescape", newline=""
    )
    closing.callback(text.close)
    # strict: else a quote that nobody closes makes one value of all rows that follow
    lines = _csv_lines(csv.reader(text, strict=True), source)
    header = _header(lines, source)
    return RawFile(
        lambda: header, lambda size: _cut((_csv_row(header, line) for line in lines if line), size)
    )


def _header(lines: Iterator[list[str] | str], source: Place) -> list[str]:
    """Return the names in the first line; raises FormatError for one that has none."""
    first = next(lines, [])
    spoilt = isinstance(first, str)
    if spoilt and "NUL" not in first:
        raise FormatError(f"{source.label} is not CSV with a header: {first}")
    header = [] if spoilt else [name.strip() for name in first]
    if spoilt or any(map(_WRONG_BYTE.search, header)):  # Python 3.10 takes no NUL, which UTF-16 is full of
        raise FormatError(f"{source.label} is not UTF-8 text: save it as UTF-8")
    if not header or "" in header:
        raise FormatError(f"{source.label} is not CSV with a header: its first line must name every column")
    if len(header) == 1 and (other := next((mark for mark in ";\t|" if mark in header[0]), None)):
        raise FormatError(
            f"{source.label} has {other!r} between its values, by its first line: separate them with commas"
        )
    if twice := next((name for name in header if header.count(name) > 1), None):
        raise FormatError(f"{source.label} names the column {twice!r} twice in its header")
    return header


def _csv_lines(lines: Any, source: Place) -> Iterator[list[str] | str]:
    """Yield the values of each row, or why it has none; `lines` is a reader of csv.

    :raises FormatError: several lines are spoilt by one quote, so that nobody knows how many rows they were
    """
    while True:
        before = lines.line_num
        try:
            yield next(lines)
        except StopIteration:
            return
        except csv.Error as error:
            if lines.line_num > before + 1:
                raise FormatError(
                    f"{source.label} is not CSV from line {before + 1} to line {lines.line_num} ({error}): a quote in line "
                    f"{before + 1} begins a text that does not end well. Double the quotes inside of texts, or load the "
                    "whole file if this one was cut off; rows before that line may have been written"
                ) from error
            yield f"line {lines.line_num} is not CSV: {error}; double the quotes inside of texts"


def _csv_row(header: list[str], line: list[str] | str) -> RawRow:
    if isinstance(line, str):
        return line
    if len(line) != len(header):
        return f"{len(line)} values, and the header names {len(header)} columns"
    if found := _WRONG_BYTE.search("".join(line)):
        return f"not UTF-8 text: it has the byte 0x{ord(found[0]) - 0xDC00:02X}; save the file as UTF-8"
    return dict(zip(header, line, strict=True))


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
