"""Every operation that Dataverse brings, as far as it is known here.

Those without a ``run`` are listed in ``$metadata`` and answered elsewhere, or not at all (501).
https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/actions and …/functions
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from airflow_provider_dynamics.emulator.messages import NotEmulated
from airflow_provider_dynamics.emulator.operations.closing import CLOSING
from airflow_provider_dynamics.emulator.operations.merging import MERGING
from airflow_provider_dynamics.emulator.operations.model import (
    Invocation,
    Operation,
    Parameter,
    need,
)
from airflow_provider_dynamics.emulator.operations.qualifying import QUALIFYING
from airflow_provider_dynamics.emulator.operations.queueing import QUEUEING
from airflow_provider_dynamics.emulator.operations.sharing import SHARING
from airflow_provider_dynamics.emulator.schema import TABLES

# https://learn.microsoft.com/power-platform/admin/default-time-zones has them all
_TIME_ZONES = {
    "Pacific Standard Time": 4,
    "Mountain Standard Time": 10,
    "Central Standard Time": 20,
    "Eastern Standard Time": 35,
    "GMT Standard Time": 85,
    "UTC": 92,
    "Romance Standard Time": 105,
    "W. Europe Standard Time": 110,
}


def _time_zone(invocation: Invocation) -> dict[str, int]:
    name = invocation.parameters["LocalizedStandardName"]
    if name not in _TIME_ZONES:
        raise NotEmulated(f"the time zone {name}")
    return {"TimeZoneCode": _TIME_ZONES[name]}


def _privileges(invocation: Invocation) -> object:
    table, row_id = invocation.bound()
    invocation.rooms.privileges.need(invocation.call, table, "Read")
    return invocation.rooms.privileges.answer(invocation.call, row_id)


_BULK_RESULTS = {
    "CreateMultiple": (Parameter("Ids", "Collection(Edm.Guid)"),),
    "UpdateMultiple": (),
    "UpsertMultiple": (),
}


def multiples(names: Iterable[str]) -> Iterator[Operation]:
    """The bulk messages of those of these tables that have them."""
    for table in (TABLES[name] for name in names):
        targets = (need("Targets", f"Collection(mscrm.{table.name})"),)
        if table.bulk and table.writable:
            for name, result in _BULK_RESULTS.items():
                yield Operation(name, targets, result, bound_to=table.name, collection=True)


STANDARD = (
    *CLOSING,
    *MERGING,
    *QUALIFYING,
    *QUEUEING,
    *SHARING,
    *multiples(TABLES),
    Operation(
        "GetTimeZoneCodeByLocalizedName",
        (need("LocalizedStandardName", "Edm.String"), need("LocaleId", "Edm.Int32")),
        (need("TimeZoneCode", "Edm.Int32"),),
        is_function=True,
        run=_time_zone,
    ),
    Operation(
        "RetrieveUserPrivileges",
        (),
        (Parameter("RolePrivileges", "Collection(mscrm.RolePrivilege)"),),
        bound_to="systemuser",
        is_function=True,
        run=_privileges,
    ),
)
