"""A solution as a value, and the file it travels in: a zip with solution.xml and customizations.xml at its root.

https://learn.microsoft.com/power-platform/alm/solution-concepts-alm
"""

from __future__ import annotations

import io
import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.schema import Intersect, Table
from airflow_provider_dynamics.emulator.schema.model import Choice

MANIFEST, CUSTOMIZATIONS, TYPES = "solution.xml", "customizations.xml", "[Content_Types].xml"
LARGEST = 64 * 2**20  # bytes of all unpacked files that are read
_VERSION = re.compile(r"\d{1,9}(?:\.\d{1,9}){1,3}")
BAD_ZIP = (
    "The solution file is invalid. The compressed file must contain the following files at its root: solution.xml, "
    "customizations.xml, and [Content_Types].xml. Customization files exported from previous versions of Microsoft "
    "Dynamics 365 are not supported."
)
# What zipfile raises on content that is none, damaged, encrypted, or packed in another way.
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    NotImplementedError,
    OSError,
    RuntimeError,
    ValueError,
)
_CONTENT_TYPES = (
    '<?xml version="1.0" encoding="utf-8"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="xml" ContentType="text/xml" /><Default Extension="json" ContentType="application/json" />'
    "</Types>"
)


@dataclass(frozen=True)
class Publisher:
    """Whose solution it is."""

    name: str
    label: str
    prefix: str
    option_prefix: int = 10_000


@dataclass(frozen=True)
class Component:
    """One thing a solution holds, or needs: its type and the names by which an environment knows it."""

    kind: int
    name: str
    label: str = ""
    parent: str | None = None
    object_id: str | None = None


@dataclass(frozen=True)
class Missing:
    """A component that is needed, by which other one, and the solution it is in where the file was made."""

    required: Component
    dependent: Component
    solution: str = "Active"


@dataclass(frozen=True)
class Variable:
    """An environment variable: its definition, and a value that travels with it."""

    name: str
    label: str
    kind: int = 100000000
    default: str | None = None
    description: str | None = None
    value: str | None = None
    secret_store: int = 0
    required: bool = False


@dataclass(frozen=True)
class Reference:
    """A connection reference: which connector it is for."""

    name: str
    label: str
    connector: str | None = None
    description: str | None = None


@dataclass(frozen=True)
class Package:
    """A solution. ``tables`` hold their own columns and keys only; ``whole`` names those that it makes."""

    name: str
    label: str
    version: str
    managed: bool
    publisher: Publisher
    description: str | None = None
    tables: tuple[Table, ...] = ()
    whole: frozenset[str] = frozenset()
    intersects: tuple[Intersect, ...] = ()
    choices: tuple[Choice, ...] = ()
    variables: tuple[Variable, ...] = ()
    references: tuple[Reference, ...] = ()
    missing: tuple[Missing, ...] = ()

    def table(self, name: str) -> Table | None:
        """One of its tables."""
        return next((one for one in self.tables if one.name == name), None)


def version_of(text: str) -> tuple[int, ...]:
    """A version to compare; raises ``Fault`` when the text is none."""
    if not _VERSION.fullmatch(text or ""):
        raise Fault(400, "0x8004f01e", f"An invalid solution version was specified: {text}")
    parts = [int(part) for part in text.split(".")]
    return tuple(parts + [0] * (4 - len(parts)))


def packed(files: Mapping[str, str]) -> bytes:
    """A zip file of these texts."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in {TYPES: _CONTENT_TYPES, **files}.items():
            archive.writestr(name, text)
    return target.getvalue()


def unpacked(content: bytes) -> dict[str, str]:
    """The texts in a solution's zip file by name; raises ``Fault`` when it is no solution's."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            found = dict(_texts(archive))
    except _UNREADABLE as error:
        raise Fault(400, "0x80048060", BAD_ZIP) from error
    if not {MANIFEST, CUSTOMIZATIONS, TYPES} <= found.keys():
        raise Fault(400, "0x80048060", BAD_ZIP)
    return found


def _texts(archive: zipfile.ZipFile) -> Iterator[tuple[str, str]]:
    left = LARGEST
    for one in archive.infolist():
        if not one.filename.endswith((".xml", ".json")):
            continue
        left -= one.file_size
        if left < 0:
            raise Fault(400, "0x80048491", f"The file {one.filename} is too large.")
        yield one.filename, archive.read(one).decode("utf-8-sig")
