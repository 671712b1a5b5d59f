"""How a write is to be carried out: for whom, with which logic, into which solution; headers, in the end.

https://learn.microsoft.com/power-apps/developer/data-platform/optional-parameters
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from airflow_provider_dynamics.dataverse.errors import BadRequest, DataverseError
from airflow_provider_dynamics.dataverse.protocol import odata
from airflow_provider_dynamics.dataverse.protocol.exchange import Request

__all__ = ["NO_OPTIONS", "BusinessLogic", "WriteOptions", "of_caller"]

BusinessLogic = Literal["sync", "async", "all"]

_LOGIC = {"sync": "CustomSync", "async": "CustomAsync", "all": "CustomSync,CustomAsync"}
_UNIQUE_NAME = re.compile(r"[A-Za-z0-9_]+")
_NO_USER = "0x80072560"
_MOST_STEPS = 10  # the most that Microsoft recommends; an environment takes 3 unless it is set otherwise


@dataclass(frozen=True)
class WriteOptions:
    """Options of every write; each is off unless given.

    :param caller_object_id: the Entra object id of the user to act for, in place of the connection's own choice
    :param detect_duplicates: refuse a row that a duplicate detection rule of the environment matches
    :param bypass_business_logic: leave out custom plug-ins and workflows: "sync", "async" or "all"; needs the privilege
        prvBypassCustomBusinessLogic. https://learn.microsoft.com/power-apps/developer/data-platform/bypass-custom-business-logic
    :param bypass_steps: ids of registered plug-in steps to leave out, at most 3 unless the environment allows more
    :param bypass_flows: start no Power Automate flows
    :param solution: the unique name of a solution that new components are added to
    :param tag: a text that plug-ins find among their shared variables

    Raises ValueError for what is none of these.
    """

    caller_object_id: str | None = None
    detect_duplicates: bool = False
    bypass_business_logic: BusinessLogic | None = None
    bypass_steps: Sequence[str] = ()
    bypass_flows: bool = False
    solution: str | None = None
    tag: str | None = None

    def __post_init__(self) -> None:
        if self.bypass_business_logic is not None and self.bypass_business_logic not in _LOGIC:
            raise ValueError(
                f"bypass_business_logic is {self.bypass_business_logic!r}; it must be one of {', '.join(_LOGIC)}"
            )
        if isinstance(self.bypass_steps, str):
            raise ValueError("bypass_steps is a list of step ids, not one text")  # noqa: TRY004 - one error for all
        if self.solution is not None and not _UNIQUE_NAME.fullmatch(self.solution):
            raise ValueError(
                f"solution is {self.solution!r}; give its unique name, of letters, digits and _, not the one it is shown by"
            )
        if len(self.bypass_steps) > _MOST_STEPS:
            raise ValueError(
                f"bypass_steps names {len(self.bypass_steps)} steps; Dataverse takes {_MOST_STEPS}"
            )

    def headers(self) -> dict[str, str]:
        """Return the request headers; raises BadRequest for an id that is no GUID."""
        steps = ",".join(_guid("bypass_steps", step) for step in self.bypass_steps)
        caller = _guid("caller_object_id", self.caller_object_id) if self.caller_object_id else None
        said: Mapping[str, str | None] = {
            "CallerObjectId": caller,
            "MSCRM.SuppressDuplicateDetection": "false" if self.detect_duplicates else None,
            "MSCRM.BypassBusinessLogicExecution": _LOGIC.get(self.bypass_business_logic or ""),
            "MSCRM.BypassBusinessLogicExecutionStepIds": steps or None,
            "MSCRM.SuppressCallbackRegistrationExpanderJob": "true" if self.bypass_flows else None,
            "MSCRM.SolutionUniqueName": self.solution,
        }
        return {name: value for name, value in said.items() if value}

    def addressed(self, target: str) -> str:
        """Return a request's target with what has no header, the tag."""
        if not self.tag:
            return target
        return f"{target}{'&' if '?' in target else '?'}tag={quote(self.tag, safe='')}"


def of_caller(error: DataverseError, request: Request) -> DataverseError:
    """Return a request's error, with advice about the user it acted for where that is who the environment does not know."""
    if error.code == _NO_USER and (caller := request.headers.get("CallerObjectId")):
        error.remedy = (
            f"The caller_object_id {caller} names nobody whom this environment knows: give the Entra object id of one of its "
            "users, who is enabled there."
        )
    return error


def _guid(name: str, value: str) -> str:
    try:
        return odata.guid(value)
    except BadRequest:
        what = "a user's object id in Entra" if name == "caller_object_id" else "the ids of plug-in steps"
        raise BadRequest(f"{name} holds {value!r}, which is no GUID", remedy=f"Give {what}.") from None


NO_OPTIONS = WriteOptions()
