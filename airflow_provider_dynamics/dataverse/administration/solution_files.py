"""What a solution's zip says of itself, read before it is sent: its name and version, and what it wants to be told.

https://learn.microsoft.com/power-platform/alm/solution-concepts-alm
"""

from __future__ import annotations

import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.dataverse.errors import SolutionRefused

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["Manifest", "manifest_of"]

_MOST = 64 * 1024 * 1024  # bytes of a document that is read whole
_MOST_READ_ON = (
    2 * 1024**3
)  # and of one of which only a part is kept; more is no solution that anybody could import
_DEFINITION = "environmentvariabledefinition"
_CONNECTION = "connectionreference"
_UNREADABLE = (
    *(SyntaxError, ValueError, NotImplementedError, RuntimeError),
    *(zlib.error, lzma.LZMAError, EOFError, OSError),
)
"""What a zip raises that is damaged, packed in a way that nobody knows, or locked by a password."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A solution as its zip describes it.

    `variables` gives each environment variable's type, None where it is not said, `connections` each connection
    reference's connector and shown name.
    """

    name: str
    version: str
    managed: bool
    variables: Mapping[str, int | None] = field(default_factory=dict)
    connections: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def manifest_of(file: bytes, label: str = "The file") -> Manifest:
    """Read a solution's zip; raises SolutionRefused for what is none, naming it `label`."""
    try:
        with zipfile.ZipFile(io.BytesIO(file)) as zipped:
            found = _document(zipped, "solution.xml")
            name = (found.findtext("SolutionManifest/UniqueName") or "").strip()
            version = (found.findtext("SolutionManifest/Version") or "").strip()
            if not name or not version:
                raise _no_solution(label, "its solution.xml names no solution")
            managed = (found.findtext("SolutionManifest/Managed") or "0").strip() == "1"
            return Manifest(name, version, managed, _variables(zipped), _connections(zipped))
    except zipfile.BadZipFile as error:
        raise _no_solution(label, "it is no zip file") from error
    except KeyError as error:
        raise _no_solution(label, "it holds no solution.xml") from error
    except _UNREADABLE as error:
        raise _no_solution(label, f"it cannot be read: {error}") from error


def _no_solution(label: str, why: str) -> SolutionRefused:
    return SolutionRefused(
        f"{label} is no solution: {why}", remedy="Give the zip that an export of a solution has written."
    )


def _document(zipped: zipfile.ZipFile, name: str) -> Element:
    from defusedxml.ElementTree import fromstring

    _check_size(zipped, name, _MOST)
    found: Any = fromstring(zipped.read(name))
    return found  # type: ignore[no-any-return]  # defusedxml has no types


def _check_size(zipped: zipfile.ZipFile, name: str, most: int) -> None:
    if zipped.getinfo(name).file_size > most:
        raise ValueError(f"{name} is larger than {most // 2**20} MB")


def _variables(zipped: zipfile.ZipFile) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    for name in zipped.namelist():
        if name.lower().endswith(f"/{_DEFINITION}.xml"):
            one = _document(zipped, name)
            kind = (one.findtext("type") or "").strip()
            found[one.get("schemaname") or name.split("/")[-2]] = int(kind) if kind.isdecimal() else None
    return found


def _connections(zipped: zipfile.ZipFile) -> dict[str, tuple[str, str]]:
    if "customizations.xml" not in zipped.namelist():
        return {}
    _check_size(zipped, "customizations.xml", _MOST_READ_ON)
    return {
        name: (one.findtext("connectorid") or "", one.findtext(f"{_CONNECTION}displayname") or "")
        for one in _references(zipped)
        if (name := one.get(f"{_CONNECTION}logicalname"))
    }


def _references(zipped: zipfile.ZipFile) -> Iterator[Element]:
    """Yield the connection references of a document that may be large: what they do not need is let go while reading."""
    from defusedxml.ElementTree import iterparse

    inside = False
    with zipped.open("customizations.xml") as file:
        for event, element in iterparse(file, events=("start", "end")):
            if element.tag == _CONNECTION:
                inside = event == "start"
                if not inside:
                    yield element
            if event == "end" and not inside:
                element.clear()
