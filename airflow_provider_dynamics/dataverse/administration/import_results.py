"""What an import's log says: how far it has come, what went wrong where, and what was missing.

The log is a copy of the solution's own documents with a result at each component.
https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/importjob
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.dataverse.administration.missing import (
    MissingDependency,
    missing_in,
    refused_for,
    without_xml,
)
from airflow_provider_dynamics.dataverse.errors import SolutionRefused, shortened
from airflow_provider_dynamics.dataverse.protocol.codes import BY_CODE, spelled

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["ImportResults", "Problem", "refusal_in", "results_of"]

_NAMED = 4  # failures that an error names
_LONGEST = 300  # characters of one failure
_NAMES = ("LocalizedName", "name", "Name", "id")
_PLAIN = {"solutionManifest", "importexportxml"}


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong at one component: `level` is "failure" or "warning", `where` "" for the solution as a whole."""

    level: str
    where: str
    code: str
    text: str

    def __str__(self) -> str:
        said = f"{self.where}: {self.text}" if self.where else self.text
        return f"{said.rstrip('. ')}{f' ({self.code})' if self.code else ''}"


@dataclass(frozen=True, slots=True)
class ImportResults:
    """How an import went; `progress` is a percentage."""

    solution: str = ""
    version: str = ""
    progress: float = 0.0
    problems: tuple[Problem, ...] = ()
    missing: tuple[MissingDependency, ...] = ()

    @property
    def failures(self) -> tuple[Problem, ...]:
        return tuple(one for one in self.problems if one.level == "failure")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        return tuple(one for one in self.problems if one.level == "warning")

    def refusal(self, job: str) -> SolutionRefused | None:
        """Return the error that a failed import is, None where the log does not say why it failed."""
        what = f"The solution {self.solution} {self.version}".rstrip()
        if self.missing:
            code = next((one.code for one in self.failures if one.code), "")
            return refused_for(self.missing, what, code=code)
        failures = self.failures
        if not failures:
            return None
        named = [str(one) for one in failures[:_NAMED]]
        if len(failures) > _NAMED:
            named.append(f"and {len(failures) - _NAMED} more failures")
        kind, remedy = BY_CODE.get(failures[0].code, (None, None))
        return SolutionRefused(
            f"{what} could not be imported by the {job}, {self.progress:.0f} % done: {'; '.join(named)}",
            code=failures[0].code,
            remedy=remedy,
            retryable=kind is not None and kind.default_retryable,
        )


def refusal_in(message: str, solution: str, code: str) -> SolutionRefused | None:
    """Return the error for what a job's own message lists as missing, None where it lists nothing."""
    missing = missing_in(message)
    return refused_for(missing, solution, code=code) if missing else None


def results_of(row: Mapping[str, Any]) -> ImportResults:
    """Return what a row of importjob says; a log that cannot be read says only how far it has come."""
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    progress = float(row.get("progress") or 0.0)
    name = row.get("solutionname") or ""
    try:
        log = fromstring(row.get("data") or "<importexportxml/>")
    except (SyntaxError, DefusedXmlException):
        return ImportResults(name, progress=progress)
    problems, texts = [], []
    for where, result in _results(log, ""):
        level = (result.get("result") or "").lower()
        if level not in {"failure", "warning"}:
            continue
        text = result.get("errortext") or ""
        texts.append(text)
        told = shortened(without_xml(text), _LONGEST) or "no reason is given"
        problems.append(Problem(level, where, spelled(result.get("errorcode")), told))
    missing = tuple(dict.fromkeys(one for text in texts for one in missing_in(text)))
    return ImportResults(
        log.findtext(".//solutionManifest/UniqueName") or name,
        log.findtext(".//solutionManifest/Version") or "",
        progress,
        tuple(dict.fromkeys(problems)),
        missing,
    )


def _results(element: Element, where: str) -> Iterator[tuple[str, Element]]:
    """Yield each result with what it belongs to: the nearest element around it that has a name."""
    name = next((element.get(one) for one in _NAMES if element.get(one)), None)
    if name and element.tag not in _PLAIN:
        where = f"{element.tag} '{name}'"
    for child in element:
        if child.tag == "result":
            yield where, child
        else:
            yield from _results(child, where)
