"""A file that is kept equal to its table: the one of the last run, without what changed or went, and with what came.

Rows are handed from file to file as they stand, so an unchanged row costs no conversion and never changes its spelling.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.dataverse.following.sorting import ID_BYTES, Sorter, pack, unpack
from airflow_provider_dynamics.transfers.change_files import ROWS_AT_ONCE, Torn, Written
from airflow_provider_dynamics.transfers.keys import both, only_left

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse.following.feed import Feed
    from airflow_provider_dynamics.formats import Field, Prepared, Writer
    from airflow_provider_dynamics.formats.storage import Place

__all__ = ["Previous", "Snapshot"]


class Previous:
    """The file that stands at the destination; `problem` says why it cannot be brought up to date, "" if it can.

    :param primary_id: the column of the row id
    """

    def __init__(self, place: Place, file_format: str, fields: Sequence[Field], primary_id: str) -> None:
        self._place = place
        self._format = file_format
        self._names = [field.name for field in fields]
        self._id = primary_id
        self.exists = place.exists()
        self.problem = self._misfit(fields) if self.exists else f"there is no file at {place.label} yet"

    def ids(self) -> Iterator[bytes]:
        """Yield the packed row ids, in the file's order."""
        with closing(self._place.open("rb")) as file:
            for ids, _ in _READERS[self._format](file, self._id, only_ids=True):
                yield from map(pack, ids)

    def without(self, gone: Sorter, changed: Sorter) -> Iterator[tuple[Prepared, int]]:
        """Yield what a writer appends: all rows but those; and how many of `gone` were among them."""
        with closing(self._place.open("rb")) as file:
            for ids, kept in _READERS[self._format](file, self._id, only_ids=False):
                packed = [pack(row_id) for row_id in ids]
                went = [row_id in gone for row_id in packed]
                stays = [
                    not away and row_id not in changed for away, row_id in zip(went, packed, strict=True)
                ]
                yield kept(stays), sum(went)

    def _misfit(self, fields: Sequence[Field]) -> str:
        with closing(self._place.open("rb")) as file:
            if self._format == "parquet":
                same = _same_schema(file, fields)
            elif self._format == "csv":
                with _text(file) as text:
                    same = next(csv.reader(text), []) == self._names
            else:
                line = file.readline()
                same = not line.strip() or _keys_of(line) == self._names
        return "" if same else f"the columns of {self._place.label} are not those of the table"


class Snapshot:
    """Writes the file anew from what stands there and what a feed brings; made for one try, used in a `with`.

    :param feed: what changed; nothing of it has been read yet
    :param fields: the table's columns
    :param path: where the file stands
    :param previous: the file to bring up to date; not read where the feed is complete
    :param progress: told how many rows the new file has, and how many pages were read
    :param reached: told of every step that leaves something behind
    """

    def __init__(
        self,
        feed: Feed,
        fields: Sequence[Field],
        path: Any,
        file_format: str,
        *,
        previous: Previous,
        progress: Callable[[int, int], None],
        reached: Callable[[str], None],
    ) -> None:
        self._feed = feed
        self._fields = fields
        self._path = path
        self._format = file_format
        self._previous = previous
        self._progress = progress
        self._pages = 0
        self._reached = reached
        self._closing = ExitStack()
        self._changed = self._closing.enter_context(Sorter(ID_BYTES))
        self._gone = self._closing.enter_context(Sorter(ID_BYTES))
        self._missed = self._closing.enter_context(Sorter(ID_BYTES))

    def __enter__(self) -> Snapshot:  # noqa: PYI034 - typing.Self is newer than Python 3.10
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def write(self) -> Written:
        """Write the file; raises Torn."""
        from airflow_provider_dynamics.formats import writer

        self._compare()
        with writer(self._path, self._format, self._fields) as file:
            for page in self._feed.pages():
                self._gone.update(pack(gone.row_id) for gone in page.deleted)
                self._add(file, page)
            if self._feed.mode == "delta" and next(both(self._gone, self._changed), None) is not None:
                raise Torn
            upserts = file.rows
            deleted = self._count_lost() if self._feed.complete else self._keep(file)
            missed = only_left(self._missed, self._changed)
            for page in self._feed.fetch(unpack(row_id) for row_id in missed):
                upserts += len(page.rows)
                self._add(file, page)
            self._reached("the file is complete")
        self._reached("the file is in place")
        return Written(file.rows, upserts, deleted, self._feed.until)

    def _compare(self) -> None:
        """In a window: compare the file's rows with those there are, before the window is read."""
        listed = self._feed.present()
        if listed is None:
            return
        with Sorter(ID_BYTES) as present, Sorter(ID_BYTES) as held:
            present.update(map(pack, listed))
            held.update(self._previous.ids())
            self._gone.update(only_left(held, present))
            self._missed.update(only_left(present, held))

    def _add(self, file: Writer, page: Any) -> None:
        file.write(page)
        self._changed.update(pack(row_id) for row_id, _ in self._feed.identities(page))
        self._pages += 1
        self._progress(file.rows, self._pages)

    def _keep(self, file: Writer) -> int:
        """Append the rows of the previous file that still hold; return how many went."""
        deleted = 0
        for kept, went in self._previous.without(self._gone, self._changed):
            file.append(kept)
            deleted += went
            self._progress(file.rows, self._pages)
        return deleted

    def _count_lost(self) -> int:
        """Return how many rows of the previous file are no longer there."""
        if not self._previous.exists or self._previous.problem:
            return 0
        with Sorter(ID_BYTES) as held:
            held.update(self._previous.ids())
            return sum(1 for _ in only_left(held, self._changed))


def _parquet(file: Any, primary_id: str, *, only_ids: bool) -> Iterator[tuple[list[str], Any]]:
    from airflow_provider_dynamics.formats import Prepared
    from airflow_provider_dynamics.formats.arrow import need

    pa = need("pyarrow", "parquet", "Parquet")
    with need("pyarrow.parquet", "parquet", "Parquet").ParquetFile(file) as parquet:
        columns = [primary_id] if only_ids else None
        for batch in parquet.iter_batches(batch_size=ROWS_AT_ONCE, columns=columns):

            def kept(stays: list[bool], batch: Any = batch) -> Prepared:
                found = batch if all(stays) else batch.filter(pa.array(stays, pa.bool_()))
                return Prepared(found.num_rows, found)

            yield batch.column(primary_id).to_pylist(), kept


def _ndjson(file: Any, primary_id: str, *, only_ids: bool) -> Iterator[tuple[list[str], Any]]:
    import msgspec

    del only_ids
    identity = msgspec.defstruct("Identity", [("id", str, msgspec.field(name=primary_id))])
    decoder: Any = msgspec.json.Decoder(identity)
    for lines in _some(file):
        yield [decoder.decode(line).id for line in lines], _joiner(lines, b"".join)


def _csv(file: Any, primary_id: str, *, only_ids: bool) -> Iterator[tuple[list[str], Any]]:
    from airflow_provider_dynamics.formats.texts import csv_lines

    del only_ids
    with _text(file) as text:
        rows = csv.reader(text)
        place = next(rows).index(primary_id)
        for some in _some(rows):
            yield [row[place] for row in some], _joiner(some, csv_lines)


_READERS: dict[str, Callable[..., Iterator[tuple[list[str], Any]]]] = {
    "parquet": _parquet,
    "ndjson": _ndjson,
    "csv": _csv,
}


def _joiner(lines: list[Any], join: Callable[[Iterable[Any]], bytes]) -> Callable[[list[bool]], Prepared]:
    from airflow_provider_dynamics.formats import Prepared

    def kept(stays: list[bool]) -> Prepared:
        found = [line for line, stay in zip(lines, stays, strict=True) if stay]
        return Prepared(len(found), join(found))

    return kept


def _some(lines: Iterable[Any]) -> Iterator[list[Any]]:
    waiting: list[Any] = []
    for line in lines:
        waiting.append(line)
        if len(waiting) == ROWS_AT_ONCE:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


def _text(file: Any) -> io.TextIOWrapper:
    from airflow_provider_dynamics.formats.readers import LONGEST_TEXT

    csv.field_size_limit(LONGEST_TEXT)
    return io.TextIOWrapper(file, encoding="utf-8", newline="")


def _keys_of(line: bytes) -> list[str]:
    import msgspec

    try:
        return list(msgspec.json.decode(line))
    except (msgspec.DecodeError, TypeError):
        return []


def _same_schema(file: Any, fields: Sequence[Field]) -> bool:
    from airflow_provider_dynamics.formats import arrow_schema
    from airflow_provider_dynamics.formats.arrow import need

    pa = need("pyarrow", "parquet", "Parquet")
    try:
        found = need("pyarrow.parquet", "parquet", "Parquet").read_schema(file)
    except pa.ArrowInvalid:
        return False
    return bool(found.equals(arrow_schema(fields)))
