"""The tables the emulator knows, by logical name and by entity set, and the ways between them."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_dynamics.emulator.schema.account import ACCOUNT
from airflow_provider_dynamics.emulator.schema.closing import INCIDENTRESOLUTION, OPPORTUNITYCLOSE
from airflow_provider_dynamics.emulator.schema.contact import CONTACT
from airflow_provider_dynamics.emulator.schema.current import (
    Intersects,
    Schema,
    View,
    current,
    per_schema,
    standard_is,
)
from airflow_provider_dynamics.emulator.schema.documented import EXAMPLE_RECORD, SAMPLE_EXAMPLE
from airflow_provider_dynamics.emulator.schema.drills import DRILLS
from airflow_provider_dynamics.emulator.schema.files import FILEATTACHMENT
from airflow_provider_dynamics.emulator.schema.goals import GOALS
from airflow_provider_dynamics.emulator.schema.jobs import JOBS
from airflow_provider_dynamics.emulator.schema.model import (
    Column,
    Intersect,
    Key,
    Navigation,
    Option,
    Table,
    Target,
)
from airflow_provider_dynamics.emulator.schema.people import BUSINESSUNIT, SYSTEMUSER, TEAM
from airflow_provider_dynamics.emulator.schema.queues import QUEUE, QUEUEITEM
from airflow_provider_dynamics.emulator.schema.sales import LEAD, OPPORTUNITY
from airflow_provider_dynamics.emulator.schema.security import (
    ACCOUNT_LEADS,
    CONTACT_LEADS,
    ROLE,
    TEAM_MEMBERS,
    USER_ROLES,
)
from airflow_provider_dynamics.emulator.schema.sensors import SENSORDATA
from airflow_provider_dynamics.emulator.schema.service import EMAIL, INCIDENT, TASK
from airflow_provider_dynamics.emulator.schema.sharing import PRINCIPALOBJECTACCESS
from airflow_provider_dynamics.emulator.schema.shipment import SHIPMENT
from airflow_provider_dynamics.emulator.schema.solutions import SOLUTIONS
from airflow_provider_dynamics.emulator.schema.steps import STEPS
from airflow_provider_dynamics.emulator.schema.system import (
    ORGANIZATION,
    SDKMESSAGE,
    SDKMESSAGEFILTER,
    TRANSACTIONCURRENCY,
)
from airflow_provider_dynamics.emulator.schema.views import SAVEDQUERY, USERQUERY

__all__ = [
    "BY_SET",
    "INTERSECTS",
    "TABLES",
    "Column",
    "Intersect",
    "Key",
    "Navigation",
    "Option",
    "Table",
    "Target",
    "collections_of",
    "many_to_many",
    "navigation_of",
]

_STANDARD: Mapping[str, Table] = {
    table.name: table
    for table in (
        ACCOUNT,
        BUSINESSUNIT,
        CONTACT,
        SHIPMENT,
        *DRILLS,
        EMAIL,
        EXAMPLE_RECORD,
        FILEATTACHMENT,
        *GOALS,
        INCIDENT,
        *JOBS,
        INCIDENTRESOLUTION,
        LEAD,
        OPPORTUNITY,
        OPPORTUNITYCLOSE,
        ORGANIZATION,
        PRINCIPALOBJECTACCESS,
        QUEUE,
        QUEUEITEM,
        ROLE,
        SAMPLE_EXAMPLE,
        SAVEDQUERY,
        SDKMESSAGE,
        SDKMESSAGEFILTER,
        SENSORDATA,
        *SOLUTIONS,
        *STEPS,
        SYSTEMUSER,
        TASK,
        TEAM,
        TRANSACTIONCURRENCY,
        USERQUERY,
    )
}
standard_is(Schema(_STANDARD, (USER_ROLES, TEAM_MEMBERS, ACCOUNT_LEADS, CONTACT_LEADS)))
TABLES: Mapping[str, Table] = View(lambda: current().tables)
BY_SET: Mapping[str, Table] = View(lambda: current().by_set)
INTERSECTS = Intersects()


@per_schema
def collections_of(name: str) -> Mapping[str, Navigation]:
    """Collection-valued navigation properties of a table: the lookups of other tables, seen from here."""
    return {
        target.collection: Navigation(target.collection, column, table.name, is_collection=True)
        for table in TABLES.values()
        for column in table.lookups
        for target in column.targets
        if target.table == name
    }


@per_schema
def many_to_many(name: str) -> Mapping[str, Navigation]:
    """Collection-valued navigation properties of a table that lead through an intersect table."""
    found = {}
    for one in INTERSECTS:
        if name in one.tables:
            other = TABLES[one.other(name)]
            key = other.by_name[other.primary_id]
            found[one.relationship] = Navigation(
                one.relationship, key, other.name, is_collection=True, through=one
            )
    return found


def navigation_of(table: Table, name: str) -> Navigation | None:
    """A navigation property of any kind by its exact name, None when there is none."""
    return (
        table.navigations.get(name)
        or collections_of(table.name).get(name)
        or many_to_many(table.name).get(name)
    )
