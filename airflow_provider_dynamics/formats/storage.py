"""Where files stand: local paths and Airflow's ObjectStoragePath alike, replaced whole or not at all.

A file is written beside its final name and moved there at the end, so a reader never sees half of one.
"""

from __future__ import annotations

import contextlib
import glob
import os
import pathlib
import posixpath
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from airflow_provider_dynamics.formats.fields import FormatError

SUFFIXES = {
    ".parquet": "parquet",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".csv": "csv",
}
FILE_FORMATS = ("parquet", "ndjson", "csv")
IF_EXISTS = ("replace", "fail")

Path = Any
"""A str, a pathlib.Path, or an ObjectStoragePath (any UPath), which carry their own file system."""


def file_format_of(path: Path, file_format: str | None = None) -> str:
    """Return `file_format` if it is one, else the one that the suffix of `path` names.

    :raises FormatError: when neither says
    """
    found = file_format or SUFFIXES.get(posixpath.splitext(str(path))[1].lower(), "")
    if found in FILE_FORMATS:
        return found
    if file_format:
        raise FormatError(f"file_format is {file_format!r}: use one of {', '.join(FILE_FORMATS)}")
    raise FormatError(
        f"{path}: no file format to tell by its suffix; set file_format to {', '.join(FILE_FORMATS)}"
    )


@dataclass(frozen=True)
class Place:
    """A file system and a path on it."""

    fs: Any
    path: str
    label: str

    @property
    def local(self) -> bool:
        """Whether it is this machine's own disk."""
        return self.fs is None

    def exists(self) -> bool:
        """Tell whether something stands there now."""
        return os.path.lexists(self.path) if self.local else bool(self.fs.exists(self.path))

    def folder(self) -> bool:
        """Tell whether a folder stands there: on a store of objects, whether names lie below it."""
        return pathlib.Path(self.path).is_dir() if self.local else bool(self.fs.isdir(self.path))

    def open(self, mode: str) -> BinaryIO:
        """Open the file there; for writing, missing local folders are made."""
        if not self.local:
            opened: BinaryIO = self.fs.open(self.path, mode)
            return opened
        if mode == "wb":
            pathlib.Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        return pathlib.Path(self.path).open(mode)  # type: ignore[return-value]  # modes here are binary

    def beside(self) -> Place:
        """Return a place in the same folder under a name of its own; engines skip names that start with a dot."""
        folder, name = posixpath.split(self.path)
        path = posixpath.join(folder, f".{name}.{uuid.uuid4().hex[:12]}.part")
        return Place(self.fs, path, f"{self.label} (unfinished)")

    def move_to(self, target: Place) -> None:
        """Put this file under the target's name, replacing what stands there: one step on a local disk."""
        if self.local:
            pathlib.Path(self.path).replace(target.path)
        elif glob.has_magic(self.path):  # which mv and rm would take for a pattern
            self.fs.cp_file(self.path, target.path)
            self.fs.rm_file(self.path)
        else:
            self.fs.mv(self.path, target.path)

    def remove(self) -> None:
        """Delete the file, if it is there."""
        if self.local:
            pathlib.Path(self.path).unlink(missing_ok=True)
        elif self.fs.exists(self.path):
            (self.fs.rm_file if glob.has_magic(self.path) else self.fs.rm)(self.path)


def place(path: Path) -> Place:
    """Return where `path` stands; text with a scheme becomes an ObjectStoragePath.

    :raises FormatError: when no installed provider serves the path's scheme
    """
    try:
        if isinstance(path, str) and "://" in path:
            from airflow.sdk import ObjectStoragePath

            path = ObjectStoragePath(path)
        fs = getattr(path, "fs", None)
    except ValueError as error:  # Airflow's word for a scheme that no installed provider serves
        raise FormatError(f"{path}: {error}; install the Airflow provider of that storage") from error
    if fs is None:
        return Place(None, os.fspath(path), str(path))
    if "file" in ([fs.protocol] if isinstance(fs.protocol, str) else fs.protocol):
        return Place(None, path.path, str(path))
    # its file system directly: the path's own open() would report the unfinished name as lineage
    return Place(fs, path.path, str(path))


def check_if_exists(target: Place, if_exists: str) -> None:
    """Refuse a target that stands there already when `if_exists` is "fail".

    :raises FormatError: then, and for another word than "replace" and "fail"
    """
    if if_exists not in IF_EXISTS:
        raise FormatError(f"if_exists is {if_exists!r}: use one of {', '.join(IF_EXISTS)}")
    if if_exists == "fail" and target.exists():
        raise FormatError(
            f'{target.label} exists already: remove it, name another path, or set if_exists="replace"'
        )


@contextlib.contextmanager
def replacing(target: Place, if_exists: str) -> Iterator[BinaryIO]:
    """Yield a file to write; it gets the target's name when the block ends well, and is removed when not.

    :raises FormatError: when the target stands there and `if_exists` is "fail", before and after the block
    """
    check_if_exists(target, if_exists)
    unfinished = target.beside()
    file = unfinished.open("wb")
    try:
        yield file
        file.close()
        check_if_exists(target, if_exists)
        unfinished.move_to(target)
    except BaseException:
        with contextlib.suppress(Exception):
            file.close()
        with contextlib.suppress(Exception):
            unfinished.remove()
        raise
