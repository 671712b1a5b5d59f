"""What a load reads: a file, a folder or a pattern of files, the rejects of an earlier load, or rows in memory.

A source can be read again from the beginning and is the same each time, or says that it is not.
"""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import logging
import pathlib
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from airflow_provider_dynamics.auth.texts import fitted
from airflow_provider_dynamics.formats.fields import FormatError
from airflow_provider_dynamics.formats.storage import FILE_FORMATS, SUFFIXES, Place, file_format_of, place
from airflow_provider_dynamics.transfers.loads.row import BATCH_ROWS, LONGEST_REASON, LoadRow, Reject

if TYPE_CHECKING:
    from airflow_provider_dynamics.formats.readers import Pick, RawRow

__all__ = ["REJECTS", "FileSource", "MemorySource", "apart", "open_source"]

log = logging.getLogger(__name__)

REJECTS = "rejects"
"""The file format of refused rows that an earlier load set aside."""
NAMED = 5
"""Files that a message lists."""
VERSIONS = (
    "ETag",
    "etag",
    "generation",
    "md5",
    "LastModified",
    "last_modified",
    "updated",
    "mtime",
    "modified",
    "created",
)
"""By which file systems tell one content of a file from the next."""


@dataclass(frozen=True)
class SourceFile:
    """One file of a source: where it stands, its format, its size in bytes, and what tells this content from another."""

    at: Place
    file_format: str
    size: int
    version: tuple[str, ...]

    def check(self, cause: BaseException | None = None) -> None:
        """Refuse to go on with a file that is not what it was when the load began.

        :raises FormatError: then
        """
        try:
            size, version = _content(self.at)
        except FileNotFoundError as error:
            raise FormatError(f"{self.at.label} is gone: it was removed while it was loaded") from error
        if (size, version) != (self.size, self.version):
            raise FormatError(
                f"{self.at.label} changed while it was loaded (from {self.size:,} to {size:,} bytes), and rows of it may "
                "have been written: load it again when whoever writes it is done"
            ) from cause


class FileSource:
    """The rows of one or more files, one file after the other in the order of their names.

    ``label`` is the path they were asked for by, ``columns`` are the names that any of them uses, and
    ``fingerprint`` stands for their names and contents.
    """

    def __init__(self, label: str, files: Sequence[SourceFile], table: str, pick: Pick | None = None) -> None:
        self.label = label
        self.files = tuple(files)
        self._table = table
        self._pick = pick
        self.fingerprint = _digest([(file.at.label, file.size, file.version) for file in self.files])
        self.columns = self._columns()

    def batches(self, size: int = BATCH_ROWS) -> Iterator[list[LoadRow]]:
        """Yield the rows, numbered from 1 through all files; a line that is no row has its reject.

        :raises FormatError: a file is not what its format says, or is not what it was at first
        """
        from airflow_provider_dynamics.formats.readers import raw_file

        number = 0
        for file in self.files:
            file.check()
            with _unchanged(file), raw_file(file.at, file.file_format, self._pick) as opened:
                for raws in opened.batches(size):
                    yield _load_rows(number, file.at.label, raws, self._table)
                    number += len(raws)

    def _columns(self) -> tuple[str, ...]:
        from airflow_provider_dynamics.formats.readers import raw_file

        names: dict[str, None] = {}
        for file in self.files:
            with raw_file(file.at, file.file_format, self._pick) as opened:
                names.update(dict.fromkeys(opened.columns))
        return tuple(names)


class MemorySource:
    """Rows that are there already, as dicts."""

    def __init__(self, rows: Sequence[Mapping[str, Any]], table: str, label: str = "rows") -> None:
        self.label = label
        self._rows = rows
        self._table = table
        self.columns = tuple(dict.fromkeys(name for row in rows if isinstance(row, Mapping) for name in row))
        self.fingerprint = _digest(rows)

    def batches(self, size: int = BATCH_ROWS) -> Iterator[list[LoadRow]]:
        """Yield the rows, numbered from 1; one that is not a dict has its reject."""
        for start in range(0, len(self._rows), size):
            batch = self._rows[start : start + size]
            yield [
                _load_row(number, None, raw if isinstance(raw, Mapping) else _NO_DICT, self._table)
                for number, raw in enumerate(batch, start + 1)
            ]


_NO_DICT = "not a dict of columns and values"


def open_source(
    path: Any, file_format: str | None = None, *, table: str, allow_empty: bool = False
) -> FileSource:
    """Return the rows at a path: of a file, of the files in a folder, or of those that a pattern such as ``*.csv`` fits.

    :param path: anything ``ObjectStoragePath`` takes
    :param file_format: ``parquet``, ``ndjson``, ``csv``, or ``rejects`` for what a load has set aside; default: by suffix
    :param table: the table the rows are for; of rejects, only this table's are read
    :param allow_empty: files without a byte are no rows, and not a mistake
    :raises FormatError: there is no such file, none of them is of a known format, one is empty or not what its format says
    """
    found = place(path)
    files = [_source_file(at, file_format) for at in _files(found, file_format)]
    _check_empty(found.label, files, allow_empty=allow_empty)
    pick = _of_rejects(table) if file_format == REJECTS else None
    return FileSource(found.label, [file for file in files if file.size], table, pick)


def _check_empty(label: str, files: Sequence[SourceFile], *, allow_empty: bool) -> None:
    if not files:
        raise FormatError(f"{label}: there is no file to load")
    if allow_empty or any(file.size for file in files):
        return
    what = "is empty: it has not a byte" if len(files) == 1 else f"has {len(files)} files, and all are empty"
    raise FormatError(
        f"{label} {what}, not even a header. Find out why; where it may be so, set allow_empty=True"
    )


# --- which files ---


def _files(found: Place, file_format: str | None) -> list[Place]:
    """Return the files at a place, in the order of their names."""
    if found.folder():
        inside = [one for one in _below(found) if not _hidden(found.path, one.path)]
    elif glob.has_magic(found.path) and not found.exists():
        inside = _matching(found)
    elif not found.exists():
        raise FormatError(f"{found.label} does not exist")
    else:
        return [found]
    if file_format is None:
        known = [one for one in inside if pathlib.PurePosixPath(one.path).suffix.lower() in SUFFIXES]
        if inside and not known:
            raise FormatError(
                f"{found.label}: none of its {len(inside)} files ends in {', '.join(SUFFIXES)}; set file_format"
            )
        _say_what_is_passed_over(found.label, [one.label for one in inside if one not in known])
        inside = known
    return sorted(inside, key=lambda one: one.path)


def _say_what_is_passed_over(label: str, others: Sequence[str]) -> None:
    if others:
        more = f" and {len(others) - NAMED:,} more" if len(others) > NAMED else ""
        log.warning(
            "%s: files that do not end in %s are passed over: %s%s.",
            *(label, ", ".join(SUFFIXES), ", ".join(sorted(others)[:NAMED]), more),
        )


def apart(source: str, written: str) -> None:
    """Refuse to write refused rows to where the next load would take them for rows; asks no storage.

    :param source: the path that is loaded: a file, a folder or a pattern
    :param written: the path of the refused rows
    :raises FormatError: they are the source, are in its folder, or their name fits the pattern
    """
    here, there = _spelled(source), _spelled(written)
    if here == there:
        raise FormatError(f"rejects_path is the source {written} itself: name another file")
    inside = there.startswith(here + "/") and not _hidden(here, there)
    if inside or (glob.has_magic(here) and _fits(there, here)):
        raise FormatError(
            f"rejects_path {written} is among the files of source_path, {source}: the next load would read refused rows as "
            "rows. Name a place outside of it"
        )


def _spelled(path: str) -> str:
    """Return a path as everybody else would spell it."""
    scheme, _, rest = path.rpartition("://")
    if scheme in {"", "file"}:
        return posixpath.normpath(pathlib.Path(rest).absolute().as_posix())
    authority, _, below = rest.partition("/")
    return f"{scheme}://{posixpath.normpath(authority.rpartition('@')[2] + '/' + below)}"  # without the connection


def _fits(path: str, pattern: str) -> bool:
    if "**" in pattern:
        return fnmatch.fnmatchcase(path, pattern.replace("**/", "*"))
    parts, wanted = path.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatch.fnmatchcase, parts, wanted))


def _below(folder: Place) -> list[Place]:
    if folder.local:
        return [_at(folder, str(one)) for one in pathlib.Path(folder.path).rglob("*") if one.is_file()]
    folder.fs.invalidate_cache()
    return [_at(folder, one) for one in folder.fs.find(folder.path)]


def _matching(pattern: Place) -> list[Place]:
    if pattern.local:
        found = glob.glob(pattern.path, recursive=True)  # noqa: PTH207 - of a whole path, not inside a folder
        return [_at(pattern, one) for one in found if pathlib.Path(one).is_file()]
    pattern.fs.invalidate_cache()
    return [_at(pattern, one) for one in pattern.fs.glob(pattern.path) if pattern.fs.isfile(one)]


def _at(near: Place, path: str) -> Place:
    return replace(near, path=path, label=path if near.local else str(near.fs.unstrip_protocol(path)))


def _hidden(folder: str, path: str) -> bool:
    """Say whether engines would pass over a file of a folder: ``_SUCCESS``, ``.part``, ``_delta_log/…``."""
    inside = pathlib.PurePosixPath(path).parts[len(pathlib.PurePosixPath(folder).parts) :]
    return any(part[:1] in {".", "_"} for part in inside)


def _source_file(at: Place, file_format: str | None) -> SourceFile:
    if file_format not in {None, REJECTS, *FILE_FORMATS}:
        raise FormatError(f"file_format is {file_format!r}: use one of {', '.join((*FILE_FORMATS, REJECTS))}")
    kind = "ndjson" if file_format == REJECTS else file_format_of(at.path, file_format)
    try:
        return SourceFile(at, kind, *_content(at))
    except FileNotFoundError as error:
        raise FormatError(f"{at.label} does not exist") from error


def _content(at: Place) -> tuple[int, tuple[str, ...]]:
    """Return a file's size and what its file system tells its contents apart by; raises FileNotFoundError."""
    if at.local:
        stat = pathlib.Path(at.path).stat()
        return stat.st_size, (str(stat.st_mtime_ns),)
    at.fs.invalidate_cache()
    info = at.fs.info(at.path)
    return int(info.get("size") or 0), tuple(str(info[name]) for name in VERSIONS if info.get(name))


@contextmanager
def _unchanged(file: SourceFile) -> Iterator[None]:
    """Say that a file changed, rather than what its new content looks like from the middle."""
    try:
        yield
    except (FormatError, OSError) as error:
        file.check(error)
        raise
    file.check()


# --- what they hold ---


def _of_rejects(table: str) -> Pick:
    """Return what to take of a line that a load has set aside: the row, as its file had it."""
    passed_over: set[str] = set()

    def pick(line: dict[str, Any]) -> RawRow | None:
        other = line.get("table")
        if other not in {None, table}:
            if other not in passed_over:
                passed_over.add(other)
                log.info("Refused rows of %s are passed over: this load is for %s.", other, table)
            return None
        data = line.get("data")
        if isinstance(data, dict):
            return _Written(data, line["row_id"]) if line.get("row_id") else data
        if "data" in line and line.get("message"):
            return f"it was no row in its file, {line.get('file')}: mend it there ({line['message']})"
        return "not a line of a file of refused rows: it has no data"

    return pick


class _Written(dict[str, Any]):
    """A refused row that is written but for a part, under this id."""

    def __init__(self, data: Mapping[str, Any], row_id: str) -> None:
        super().__init__(data)
        self.row_id = row_id


def _load_rows(before: int, file: str, raws: Sequence[RawRow], table: str) -> list[LoadRow]:
    """Return the rows that come after so many others."""
    return [
        LoadRow(number, file, raw, {})
        if type(raw) is dict and raw  # the usual case, without a call for each
        else _load_row(number, file, raw, table)
        for number, raw in enumerate(raws, before + 1)
    ]


def _load_row(number: int, file: str | None, raw: RawRow, table: str) -> LoadRow:
    if isinstance(raw, str):
        return LoadRow(number, file, {}, {}, Reject(number, file, table, fitted(raw, LONGEST_REASON)))
    if not raw:
        return LoadRow(number, file, raw, {}, Reject(number, file, table, "it has not a single column"))
    return LoadRow(number, file, raw, {}, row_id=raw.row_id if isinstance(raw, _Written) else None)


def _digest(what: Iterable[Any]) -> str:
    try:
        text = msgspec.json.Encoder(order="sorted", enc_hook=str).encode(list(what))
    except UnicodeEncodeError:  # half a character, which its row is refused for
        text = repr(what).encode("utf-8", "backslashreplace")
    return hashlib.sha256(text).hexdigest()[:32]
