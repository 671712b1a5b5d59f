"""What a check found, as a value, and how it is shown: a line for a person, an object for a program."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from airflow_provider_dynamics.auth.causes import AuthenticationError
from airflow_provider_dynamics.commands.terminal import printable
from airflow_provider_dynamics.dataverse.errors import DataverseError

__all__ = ["Finding", "Status", "as_json", "as_text", "failed", "summary", "verdict"]

Status = Literal["ok", "warn", "fail", "skipped"]

_COLOURS: dict[Status, str] = {"ok": "32", "warn": "33", "fail": "31;1", "skipped": "2"}
_STATUS_WIDTH = 9
_CHECK_WIDTH = 17
_MARGIN = " " * (_STATUS_WIDTH + _CHECK_WIDTH)
_NARROWEST = 40  # columns; below that a wrapped text is no longer read


@dataclass(frozen=True)
class Finding:
    """One check's result: which check, how it went, what was found, and what to do where something is wrong."""

    check: str
    status: Status
    text: str
    remedy: str = ""


def failed(check: str, error: AuthenticationError | DataverseError, *, status: Status = "fail") -> Finding:
    """Return the finding of a check that met an error, in the error's own words."""
    return Finding(check, status, str(error), error.remedy)


def verdict(findings: Iterable[Finding]) -> Status:
    """Return the worst of the findings' statuses; what was skipped is no verdict of its own."""
    met = {finding.status for finding in findings}
    return "fail" if "fail" in met else "warn" if "warn" in met else "ok"


def summary(findings: Sequence[Finding]) -> str:
    """Return the last line: how many checks there were, and how many of them need attention."""
    counted = {status: sum(found.status == status for found in findings) for status in _COLOURS}
    if counted["fail"]:
        return f"{_many(counted['fail'], 'check')} failed, {_many(counted['warn'], 'warning')}."
    if counted["warn"]:
        return f"The connection works, with {_many(counted['warn'], 'warning')}."
    return f"The connection works: {_many(counted['ok'], 'check')} passed."


def as_text(finding: Finding, *, width: int | None = None, coloured: bool = False) -> str:
    """Return a finding's lines: wrapped to `width` columns (None: one line each), with colours for a terminal."""
    status = f"{finding.status:<{_STATUS_WIDTH}}"
    if coloured:
        status = f"\x1b[{_COLOURS[finding.status]}m{status}\x1b[0m"
    texts = [printable(finding.text)]
    if finding.remedy and _core(finding.remedy) not in finding.text:
        texts.append(f"What to do: {printable(finding.remedy)}")
    lines = [line for text in texts for line in _wrapped(text, width)]
    return f"{status}{finding.check:<{_CHECK_WIDTH}}" + f"\n{_MARGIN}".join(lines)


def as_json(conn_id: str, findings: Sequence[Finding], versions: dict[str, str]) -> dict[str, Any]:
    """Return all findings as one JSON-able document."""
    return {
        "connection": conn_id,
        "status": verdict(findings),
        "checks": [asdict(finding) for finding in findings],
        "versions": versions,
    }


def _wrapped(text: str, width: int | None) -> list[str]:
    if width is None:
        return [text]
    room = max(_NARROWEST, width - len(_MARGIN))
    return textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)


def _core(remedy: str) -> str:
    return remedy.rstrip(". ")


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
