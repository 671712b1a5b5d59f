"""Dataverse's codes: which error each stands for, what to do about it, and what Microsoft calls it.

https://learn.microsoft.com/power-apps/developer/data-platform/reference/web-service-error-codes
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from airflow_provider_dynamics.auth.causes import Explanation
from airflow_provider_dynamics.dataverse.errors import (
    AggregateLimit,
    BadRequest,
    ChangeTrackingOff,
    ConcurrencyMismatch,
    Conflict,
    CustomizationRunning,
    DataverseError,
    DeltaLinkExpired,
    DuplicateKey,
    Forbidden,
    PluginRefused,
    RowNotFound,
    ServerError,
    ServerTimeout,
    SolutionRefused,
    Throttled,
    TooLarge,
    Unauthorized,
    UnknownColumn,
    UnknownKey,
    UnknownTable,
)

__all__ = ["BY_CODE", "CODES_PAGE", "USERS", "explain", "filled", "spelled"]

CODES_PAGE = (
    "https://learn.microsoft.com/power-apps/developer/data-platform/reference/web-service-error-codes"
)

_FIX_QUERY = (
    "Change the query: no leading wildcards, no filters on computed columns, an indexed column first."
)
USERS = "Power Platform admin center (https://admin.powerplatform.microsoft.com) > Environments > {environment} > Settings > Users + permissions"
_NO_ROLE = f"Give the user a security role in this environment: {USERS}."
_NO_USER = (
    "Add {app} as an application user of this environment and give it a security role: "
    f"{USERS} > Application users > New app user. A person is added under Users instead. The sign-in itself works."
)
_ENABLE_USER = f"Enable the user in this environment: {USERS}."
_EXPIRED = "Usually this passes with the next token; if it repeats, check that the Environment URL is the one the token is for."
_LOOK = "See what the service said beside the code, and Microsoft's list of codes."
_JOB_MOVED = "The job has gone on in the meantime: ask again how it is."

# code -> class (None: the status decides) and remedy (None: the class's own)
# https://learn.microsoft.com/power-apps/developer/data-platform/reference/web-service-error-codes
BY_CODE: dict[str, tuple[type[DataverseError] | None, str | None]] = {
    "0x80040203": (BadRequest, "Correct the argument the message names."),
    "0x80040204": (Forbidden, _NO_USER),
    "0x80040216": (ServerError, None),
    "0x80040217": (RowNotFound, None),
    "0x80040220": (Forbidden, None),
    "0x80040225": (Forbidden, _ENABLE_USER),
    "0x80040237": (DuplicateKey, None),
    "0x80040256": (Forbidden, None),
    "0x80040265": (PluginRefused, None),
    "0x80040303": (BadRequest, "Correct the FetchXML document."),
    "0x80041d1f": (
        Forbidden,
        "Enable the user, or correct Caller object ID in the connection.",
    ),
    "0x80041d52": (Unauthorized, _EXPIRED),
    "0x80040333": (
        Conflict,
        "A duplicate detection rule matched: change the row, or switch detection off for the load.",
    ),
    "0x80041102": (UnknownTable, "Use the table's logical name, for example 'account'."),
    "0x80041103": (UnknownColumn, "Use the column's logical name."),
    "0x80042f09": (Forbidden, _NO_ROLE),
    "0x80044150": (ServerError, None),
    "0x80044151": (ServerTimeout, None),
    "0x80044162": (Conflict, _JOB_MOVED),
    "0x80044163": (Conflict, _JOB_MOVED),
    "0x80044165": (Conflict, _JOB_MOVED),
    "0x80044301": (
        Unauthorized,
        "Choose Authority type AD FS: signing in with Windows' own methods is not offered.",
    ),
    "0x8004430a": (
        BadRequest,
        "Take out the order by a linked table's column, or divide the rows by a condition.",
    ),
    "0x8004430c": (
        BadRequest,
        "The query has too many conditions: join equal ones with is_in, or ask twice.",
    ),
    "0x8004430d": (BadRequest, "The query joins too many tables: read some of them in a query of their own."),
    "0x8004430e": (BadRequest, "A condition has too many values: ask for some of them at a time."),
    "0x80044331": (BadRequest, "Shorten the text to the column's maximum length."),
    "0x80044352": (DeltaLinkExpired, None),
    "0x80044a02": (TooLarge, "The file is larger than the column or the environment allows."),
    "0x80044f00": (BadRequest, "This kind of job cannot be cancelled: it runs to its end."),
    "0x80044f02": (BadRequest, "The platform's own jobs cannot be cancelled."),
    "0x80048306": (Forbidden, None),
    "0x80048405": (Forbidden, None),
    "0x8004801c": (
        SolutionRefused,
        "The solution belongs to another publisher than the one of this name that is installed.",
    ),
    "0x8004801d": (SolutionRefused, "Import the solutions that hold what is missing first."),
    "0x80048033": (SolutionRefused, "See what the import's results say."),
    "0x80048037": (SolutionRefused, "Give the solution's unique name, not the one it is shown by."),
    "0x80048040": (
        SolutionRefused,
        "The solution is installed as unmanaged: uninstall it there, or import an unmanaged export.",
    ),
    "0x80048041": (SolutionRefused, "The solution is installed as managed: import a managed export."),
    "0x80048060": (SolutionRefused, "The file is no solution: give the zip that an export has written."),
    "0x8004853b": (
        SolutionRefused,
        "There is nothing to upgrade to: import the new version with holding=True first.",
    ),
    "0x8004f01d": (SolutionRefused, "Uninstall the solutions that need it first."),
    "0x8004f020": (SolutionRefused, "Uninstall the solutions that need it first."),
    "0x80048543": (ServerTimeout, "A solution import is running in the environment: try again after it."),
    "0x80048544": (Throttled, "The query is too expensive right now: run it less often or narrow it."),
    "0x80048573": (BadRequest, _FIX_QUERY),
    "0x80048574": (BadRequest, _FIX_QUERY),
    "0x80048644": (BadRequest, _FIX_QUERY),
    "0x80048744": (BadRequest, _FIX_QUERY),
    "0x80048745": (BadRequest, _FIX_QUERY),
    "0x80048d0b": (BadRequest, "Elastic tables cannot be joined: leave out $expand and related columns."),
    "0x80048d19": (
        BadRequest,
        "Check the names and types in the row: logical column names, navigation names with their exact case.",
    ),
    "0x80048d1a": (BadRequest, "Correct Caller object ID in the connection."),
    "0x8004a100": (Unauthorized, _EXPIRED),
    "0x8004a101": (Unauthorized, _EXPIRED),
    "0x8004a102": (Unauthorized, None),
    "0x8004a103": (Forbidden, "Ask the environment's administrator which policy the sign-in does not meet."),
    "0x8004a106": (ServerError, None),
    "0x8004a104": (Forbidden, "Enable the environment, or use another one."),
    "0x8004a112": (Forbidden, _ENABLE_USER),
    "0x8004a113": (
        Forbidden,
        "The environment is in administration mode: wait until it is over, or use a System Administrator.",
    ),
    "0x8004d24b": (Forbidden, "Assign the user a licence, or sign in as an application user."),
    "0x8004d24c": (Forbidden, "Assign the user a licence, or sign in as an application user."),
    "0x8004e023": (AggregateLimit, None),
    "0x8005f101": (Unauthorized, _EXPIRED),
    "0x80060882": (ConcurrencyMismatch, None),
    "0x80060883": (ConcurrencyMismatch, "Send the etag of the row that was read."),
    "0x80060888": (None, "Check the names in the request: columns, navigation properties, functions."),
    "0x8006088a": (None, None),
    "0x80060890": (UnknownKey, "Use the columns of one of the table's alternate keys."),
    "0x80060891": (RowNotFound, "No row has this alternate key."),
    "0x80060892": (DuplicateKey, None),
    "0x8006089d": (Conflict, "Several rows have this alternate key: address the row by its id."),
    "0x80071151": (CustomizationRunning, None),
    "0x80072321": (Throttled, None),
    "0x80072322": (Throttled, None),
    "0x80072326": (Throttled, None),
    "0x80072559": (ServerError, "Dataverse met a problem of Entra's; it usually passes."),
    "0x80072491": (ChangeTrackingOff, None),
    "0x80072553": (
        BadRequest,
        "An image column takes GIF, JPEG, TIFF, BMP and PNG, up to the size its definition names.",
    ),
    "0x80072560": (Forbidden, _NO_USER),
    "0x80081111": (ServerTimeout, "A plug-in ran longer than two minutes: send fewer rows at once."),
    "0x80095ffc": (
        Forbidden,
        "Ask the environment's administrator to admit {app} in its app access control.",
    ),
    "0x80095ffe": (
        Forbidden,
        "Ask the environment's administrator to add this worker's public address to its IP firewall.",
    ),
}


def explain(code: str) -> Explanation | None:
    """Explain a code of Dataverse's, as `0x80040217` in any case or as the number the SDKs show; None if unknown.

    https://learn.microsoft.com/power-apps/developer/data-platform/reference/web-service-error-codes
    """
    number = int(code) if re.fullmatch(r"\s*-\d{1,10}\s*", code) else code.strip()
    written = spelled(number)
    if not re.fullmatch(r"0x[0-9a-f]{8}", written):
        return None
    name = _names().get(written[2:], "")
    if written in BY_CODE:
        return _in_table(written, name)
    return Explanation(written, "permanent", f"{_in_words(name)}.", _LOOK, name, CODES_PAGE) if name else None


def _in_table(code: str, name: str) -> Explanation:
    kind, remedy = BY_CODE[code]
    kind = kind or BadRequest
    whose = "transient" if kind.default_retryable else kind.default_kind
    todo = filled(remedy, "", "") or kind.default_remedy or _LOOK
    return Explanation(code, whose, kind.meaning, todo, name, CODES_PAGE)


def filled(remedy: str | None, environment: str, client_id: str) -> str | None:
    """Return a remedy with its facts filled in: the environment's URL and the app's client ID, "" where one is not known."""
    if remedy is None:
        return None
    host = environment.partition("://")[2] or environment or "this environment"
    app = f"app {client_id}" if client_id else "the app registration"
    return remedy.replace("{environment}", host).replace("{app}", app)


def spelled(value: object) -> str:
    """Return the code in its usual spelling, "" for the empty ones (`""`, `"0x0"`, `null`)."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = f"0x{value & 0xFFFFFFFF:08x}"
    text = str(value or "").strip()
    if not text.lower().startswith("0x"):
        return text
    return "" if not text[2:].strip("0") else f"0x{text[2:].lower()}"


@cache
def _names() -> dict[str, str]:
    """Return Microsoft's names of the codes, read when somebody asks: 3,400 of them are of no use to a running task."""
    text = (files(__package__) / "error_names.txt").read_text(encoding="ascii")
    return dict(line.split(" ", 1) for line in text.splitlines())


def _in_words(name: str) -> str:
    """Return a name such as `DuplicateRecordEntityKey` as words."""
    bare = re.sub(r"^unmanagedids?", "", name, flags=re.IGNORECASE)
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_", " ", bare)
    return words[:1].upper() + words[1:].lower()
