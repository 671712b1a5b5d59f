"""Which versions of the Web API an environment has, asked only when the one that was chosen is not among them.

https://learn.microsoft.com/dynamics365/customerengagement/on-premises/developer/webapi/web-api-versions
"""

from __future__ import annotations

import re
from collections.abc import Callable

from airflow_provider_dynamics.auth.causes import AuthenticationError
from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.errors import DataverseError
from airflow_provider_dynamics.dataverse.protocol.exchange import Request, Response
from airflow_provider_dynamics.dataverse.protocol.pages import decoded
from airflow_provider_dynamics.dataverse.protocol.servers import VERSIONS

__all__ = ["explained", "may_be_the_version"]

_STATUSES = frozenset({404, 501})


def may_be_the_version(error: DataverseError) -> bool:
    """Say whether an error may mean that the version asked for does not exist: a bare 404 or 501."""
    return error.status in _STATUSES and type(error) in {errors.NotFound, errors.BadRequest}


def explained(
    error: DataverseError, environment: str, asked: str, ask: Callable[[Request], Response]
) -> DataverseError:
    """Return UnknownVersion, naming the versions that answer, where the one `asked` does not; else the error as it is.

    `ask` sends a request once.
    """
    if _answers(environment, asked, ask) is not None:
        return error
    found = {one: said for one in VERSIONS if one != asked and (said := _answers(environment, one, ask))}
    if not found:
        return error
    *others, last = found
    named = f"{', '.join(others)} and {last}" if others else last
    return errors.UnknownVersion(
        f"{environment} has no Web API {asked}; it has {named} (its own version is {next(iter(found.values()))})",
        asked=error.asked,
        status=error.status,
        code=error.code,
        request_id=error.request_id,
        remedy=f"Set Web API version to {next(iter(found))} in the connection.",
    )


def _answers(environment: str, version: str, ask: Callable[[Request], Response]) -> str | None:
    """Return the version that the server calls its own, asked by this one of the Web API; None where that is not there."""
    request = Request("GET", f"{environment}/api/data/{version}/RetrieveVersion()")
    try:
        said = decoded(ask(request), request).get("Version")
    except (DataverseError, AuthenticationError):
        return None
    return said if re.fullmatch(r"[\d.]{1,40}", str(said)) else "not told"
