"""`airflow dynamics errors`: what a code of Entra ID, AD FS or Dataverse means, and who has to do what."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_dynamics.auth import causes
from airflow_provider_dynamics.auth.causes import Explanation, Kind
from airflow_provider_dynamics.commands.terminal import Terminal
from airflow_provider_dynamics.dataverse.protocol import codes

__all__ = ["Unknown", "explain_error", "look_up", "spelled"]

_ENTRA_PAGE = "https://login.microsoftonline.com/error?code="
_ADFS_PAGE = "https://learn.microsoft.com/windows-server/identity/ad-fs/troubleshooting/ad-fs-tshoot-overview"
_LONGEST = 60  # characters of what is no code that are repeated
_FORMS = "A code looks like AADSTS7000222 (or 7000222), MSIS9605, 0x80072560 or invalid_grant."

_LASTS: Mapping[Kind, str] = {
    "transient": "passes by itself: it is tried again",
    "permanent": "stays until the connection, or what it names, is corrected",
    "needs-interaction": "stays until a person signs in",
    "needs-admin": "stays until an administrator acts",
}


_WITHIN = re.compile(r"\b(aadsts[0-9]{4,9}|msis[0-9]{4,9}|0x8[0-9a-f]{7})\b", re.IGNORECASE)


@dataclass(frozen=True)
class Unknown:
    """A code that the tables do not have; `link` leads to where Microsoft explains codes of its kind, or is ""."""

    code: str
    text: str
    link: str = ""


def explain_error(args: Namespace) -> None:
    """Print what the code means, and exit with 1 where it is not known."""
    terminal = Terminal()
    found = look_up(args.code)
    if args.json:
        terminal.say_json(_as_json(found))
    else:
        terminal.say(_as_text(found))
    if isinstance(found, Unknown):
        raise SystemExit(1)


def look_up(code: str) -> Explanation | Unknown:
    """Return what a code means; it may be written with or without its prefix, in any case, a Dataverse one as a number too."""
    named = spelled(code)
    return codes.explain(named) or causes.explain(named) or _unknown(named)


def spelled(code: str) -> str:
    """Return a code the way its service writes it; what is none comes back without the spaces around it.

    The SDKs show Dataverse's codes as negative numbers, logs without their 0x.
    """
    bare = code.strip().strip("'\"").rstrip(":.,")
    if re.fullmatch(r"-[0-9]{9,10}", bare):
        return f"0x{int(bare) & 0xFFFFFFFF:08x}"
    if re.fullmatch(r"(0x)?8[0-9a-f]{7}", bare, re.IGNORECASE):
        return f"0x{bare[-8:].lower()}"
    if re.fullmatch(r"[0-9]{4,7}", bare):
        return f"AADSTS{bare}"
    if re.fullmatch(r"(aadsts|msis)\s*[0-9]{1,9}", bare, re.IGNORECASE):
        return re.sub(r"\s", "", bare).upper()
    within = _WITHIN.search(bare)  # a whole sentence out of a log
    return spelled(within[0]) if within and within[0] != bare else bare


def _unknown(code: str) -> Unknown:
    number = code.removeprefix("AADSTS")
    if re.fullmatch(r"AADSTS[0-9]{1,9}", code):
        return Unknown(
            code,
            f"{code} is not in this provider's tables; Microsoft's page says what it is.",
            _ENTRA_PAGE + number,
        )
    if re.fullmatch(r"0x8[0-9a-f]{7}", code):
        return Unknown(
            code,
            f"{code} is not in this provider's tables; Microsoft's page lists all of them.",
            codes.CODES_PAGE,
        )
    if re.fullmatch(r"MSIS[0-9]{1,9}", code):
        return Unknown(
            code, f"{code} is not in this provider's tables; Microsoft's page helps with AD FS.", _ADFS_PAGE
        )
    return Unknown(
        code[:_LONGEST],
        f"'{code[:_LONGEST]}' is no code of Entra ID, AD FS or Dataverse that this provider knows. {_FORMS}",
    )


def _as_text(found: Explanation | Unknown) -> str:
    if isinstance(found, Unknown):
        return f"{found.text}\n{found.link}".rstrip()
    name = f" {found.name}" if found.name else ""
    lines = [
        f"{found.code}{name}",
        "",
        f"Cause       {found.cause}",
        f"What to do  {found.remedy}",
        f"Class       {found.kind}: {_LASTS[found.kind]}.",
        f"More        {found.link}" if found.link else "",
    ]
    return "\n".join(lines).rstrip()


def _as_json(found: Explanation | Unknown) -> dict[str, Any]:
    if isinstance(found, Unknown):
        return {"code": found.code, "known": False, "text": found.text, "link": found.link}
    return {
        "code": found.code,
        "known": True,
        "name": found.name,
        "class": found.kind,
        "cause": found.cause,
        "remedy": found.remedy,
        "link": found.link,
    }
