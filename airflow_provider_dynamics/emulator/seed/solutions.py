"""The publishers and solutions that every environment has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/solution; the ids are the same everywhere
DEFAULT = "fd140aaf-4df4-11dd-bd17-0019b9312238"
ACTIVE = "fd140aae-4df4-11dd-bd17-0019b9312238"
SYSTEM = "fd140aad-4df4-11dd-bd17-0019b9312238"
MICROSOFT = "d21aab70-79e7-11dd-8874-00188b01e34f"
DEFAULT_PUBLISHER = "d21aab71-79e7-11dd-8874-00188b01e34f"
_WHEN = "2016-01-01T00:00:00Z"
_COMMON: Mapping[str, Any] = {"createdon": _WHEN, "modifiedon": _WHEN}

PUBLISHERS = (
    {
        "publisherid": MICROSOFT,
        "uniquename": "MicrosoftCorporation",
        "friendlyname": "MicrosoftCorporation",
        "customizationprefix": "",
        "isreadonly": 1,
        **_COMMON,
    },
    {
        "publisherid": DEFAULT_PUBLISHER,
        "uniquename": "DefaultPublishercontoso",
        "friendlyname": "Default Publisher for contoso",
        "customizationprefix": "new",
        "customizationoptionvalueprefix": 10_000,
        "isreadonly": 0,
        **_COMMON,
    },
)


def _solution(
    row_id: str, name: str, label: str, *, managed: bool, visible: bool, publisher: str
) -> dict[str, Any]:
    return {
        "solutionid": row_id,
        "uniquename": name,
        "friendlyname": label,
        "version": "1.0",
        "ismanaged": int(managed),
        "isvisible": int(visible),
        "isapimanaged": 0,
        "publisherid": publisher,
        "installedon": _WHEN,
        **_COMMON,
    }


SOLUTIONS = (
    _solution(SYSTEM, "System", "System Solution", managed=True, visible=False, publisher=MICROSOFT),
    _solution(ACTIVE, "Active", "Active Solution", managed=False, visible=False, publisher=DEFAULT_PUBLISHER),
    _solution(
        DEFAULT, "Default", "Default Solution", managed=False, visible=True, publisher=DEFAULT_PUBLISHER
    ),
)
