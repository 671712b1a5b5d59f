"""Paths with columns in braces, `contracts/{accountnumber}.pdf`: read back from files that are there, or filled in."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from airflow_provider_dynamics.formats.fields import FormatError
from airflow_provider_dynamics.formats.storage import Place

__all__ = ["PathTemplate"]

_NAME = re.compile(r"\{([A-Za-z_]\w*)\}", re.ASCII)
_UNFIT = re.compile(r"[\\/\x00-\x1f]")  # what would make a folder of a value, or no file at all


@dataclass(frozen=True)
class PathTemplate:
    """A path on some storage; each `{name}` stands for a value, and in what is read `*` for any text of one folder."""

    text: str

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names in braces, each once."""
        return tuple(dict.fromkeys(_NAME.findall(self.text)))

    @property
    def many(self) -> bool:
        """Whether it may stand for more than one file."""
        return bool(self.names) or "*" in self.text

    def fill(self, values: Mapping[str, Any]) -> str:
        """Return the path for these values; a slash in one does not make a folder.

        :raises FormatError: a value is empty or would not be a file's name
        """

        def value(found: re.Match[str]) -> str:
            given = values.get(found[1])
            text = "" if given is None else _UNFIT.sub("_", str(given)).strip()
            if text in {"", ".", ".."}:
                raise FormatError(
                    f"{self.text}: there is no value for {found[0]}, so the file would have no name"
                )
            return text

        return _NAME.sub(value, self.text)

    def files(self, place: Place) -> Iterator[tuple[Place, dict[str, str]]]:
        """Yield the files below `place`, which is this path on its storage, in the order of their paths, with their values."""
        pattern = re.compile(_expression(place.path))
        for path in sorted(_listed(place)):
            found = pattern.fullmatch(path)
            if found is not None:
                label = place.label.replace(place.path, path) if place.path in place.label else path
                yield Place(place.fs, path, label), found.groupdict()


def _expression(path: str) -> str:
    parts, seen = [], set()
    for text in re.split(r"(\{[A-Za-z_]\w*\}|\*)", path):
        name = _NAME.fullmatch(text)
        if name is None:
            parts.append("[^/]*" if text == "*" else re.escape(text))
            continue
        parts.append(f"(?P={name[1]})" if name[1] in seen else f"(?P<{name[1]}>[^/]+)")
        seen.add(name[1])
    return "".join(parts)


def _listed(place: Place) -> list[str]:
    """Return the paths of files that may match: names that begin with a dot are nobody's."""
    pattern = "*".join(glob.escape(part) for part in re.split(r"\{[A-Za-z_]\w*\}|\*", place.path))
    if place.local:
        there = glob.glob(pattern)  # noqa: PTH207 - Path.glob takes no absolute patterns
        return [path for path in there if not Place(None, path, path).folder()]
    found = place.fs.glob(pattern, detail=True)
    return [
        path
        for path, told in found.items()
        if told.get("type") == "file" and not path.rpartition("/")[2].startswith(".")
    ]
