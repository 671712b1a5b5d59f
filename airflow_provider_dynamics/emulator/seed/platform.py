"""The rows a new environment has before anyone enters data: organization, unit, users, currencies, messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

import sqlalchemy as sa

from airflow_provider_dynamics.emulator.call import Call, Caller, Prefer
from airflow_provider_dynamics.emulator.directory import (
    CLIENT_ID,
    MANAGED_IDENTITIES,
    PEOPLE,
    Application,
    Person,
)
from airflow_provider_dynamics.emulator.privileges import ROLES, SALESPERSON, SYSTEM_ADMINISTRATOR, Role
from airflow_provider_dynamics.emulator.render import RowRenderer
from airflow_provider_dynamics.emulator.schema import TABLES, Table
from airflow_provider_dynamics.emulator.schema.model import stable_id
from airflow_provider_dynamics.emulator.schema.security import TEAM_MEMBERS, USER_ROLES
from airflow_provider_dynamics.emulator.seed.identities import (
    CONTOSO,
    DEFAULT_TEAM,
    EURO,
    ROOT_UNIT,
    SERVICE_USER,
    US_DOLLAR,
    Organization,
)
from airflow_provider_dynamics.emulator.seed.solutions import PUBLISHERS, SOLUTIONS
from airflow_provider_dynamics.emulator.storage import JSON_COLUMN, SQL, storage_names
from airflow_provider_dynamics.emulator.store import Store
from airflow_provider_dynamics.emulator.writing.writer import Writer

FOUNDED = datetime(2023, 1, 9, 8, 0, tzinfo=timezone.utc)
_MESSAGES = (
    "Create",
    "CreateMultiple",
    "Update",
    "UpdateMultiple",
    "Delete",
    "Retrieve",
    "RetrieveMultiple",
    "Assign",
    "SetState",
)

# Steps are made of these.
_WITHOUT_STEPS = frozenset({"sdkmessage", "sdkmessagefilter", "sdkmessageprocessingstep", "serviceendpoint"})


def at(now: datetime, user: str = SERVICE_USER) -> Call:
    """A call that writes at ``now`` in the name of ``user``."""
    return Call("POST", "", "", {}, (), {}, Prefer(), b"", now, Caller(user, ROOT_UNIT))


def put_rows(store: Store, table_name: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Insert stored values as they are, columns that may not be written included."""
    table = TABLES[table_name]
    names = storage_names(table)
    renderer = RowRenderer(table)
    made = []
    for values in rows:
        row = {**dict.fromkeys(names), **values, "versionnumber": store.next_version()}
        row[JSON_COLUMN] = renderer.json(row)
        made.append(tuple(row[name] for name in names))
    store.insert(table, made)


def fill_platform(store: Store, writer: Writer, organization: Organization = CONTOSO) -> None:
    """Everything but business data."""
    call = at(FOUNDED)
    _currencies(writer, call)
    put_rows(store, "organization", [_organization(organization)])
    _people(writer, call)
    _messages(store)
    put_rows(store, "publisher", PUBLISHERS)
    put_rows(store, "solution", SOLUTIONS)
    put_rows(store, "role", [_role(role) for role in ROLES.values()])
    writer.forget()


def give_roles(store: Store) -> None:
    """A role and the default team for every user there is: applications and administrators may do everything, people sell."""
    sql = SQL["systemuser"]
    admins = {stable_id("systemuser", one.user_name) for one in PEOPLE.values() if one.is_admin}
    pairs = []
    for user_id, application_id in store.fetch(sa.select(sql.c.systemuserid, sql.c.applicationid)):
        role = SYSTEM_ADMINISTRATOR if application_id or user_id in admins else SALESPERSON
        pairs.append((user_id, role.role_id))
    store.pair(USER_ROLES, pairs)
    store.pair(TEAM_MEMBERS, ((user_id, DEFAULT_TEAM) for user_id, _ in pairs))


def _role(role: Role) -> dict[str, Any]:
    return {
        "roleid": role.role_id,
        "name": role.name,
        "businessunitid": ROOT_UNIT,
        "parentrootroleid": role.role_id,
        "createdon": "2023-01-09T08:00:00Z",
        "modifiedon": "2023-01-09T08:00:00Z",
    }


def _currencies(writer: Writer, call: Call) -> None:
    rows = (
        (US_DOLLAR, "US Dollar", "USD", "$", "1"),
        (EURO, "Euro", "EUR", "€", "0.92"),
    )
    for row_id, name, code, symbol, rate in rows:
        body = {
            "transactioncurrencyid": row_id,
            "currencyname": name,
            "isocurrencycode": code,
            "currencysymbol": symbol,
            "currencyprecision": 2,
            "exchangerate": float(rate),
        }
        writer.create(call, TABLES["transactioncurrency"], body)


def _organization(organization: Organization) -> dict[str, Any]:
    return {
        "organizationid": organization.organization_id,
        "name": organization.name,
        "friendlyname": organization.friendly_name,
        "version": organization.version,
        "schemanameprefix": "contoso",
        "languagecode": 1033,
        "expirechangetrackingindays": 7,
        "isauditenabled": 0,
        "basecurrencyid": US_DOLLAR,
        "createdon": "2023-01-09T08:00:00Z",
        "modifiedon": "2023-01-09T08:00:00Z",
    }


def _people(writer: Writer, call: Call) -> None:
    unit = f"/businessunits({ROOT_UNIT})"
    writer.create(call, TABLES["businessunit"], {"businessunitid": ROOT_UNIT, "name": "Contoso"})
    name = "admin@contoso.example"
    user = {
        "systemuserid": SERVICE_USER,
        "firstname": "System",
        "lastname": "Administrator",
        "domainname": name,
        "internalemailaddress": name,
        "accessmode": 0,
        "azureactivedirectoryobjectid": stable_id("entra", name),
        "applicationid": CLIENT_ID,
        "businessunitid@odata.bind": unit,
    }
    writer.create(call, TABLES["systemuser"], user)
    for person in PEOPLE.values():
        if person.is_member:
            writer.create(call, TABLES["systemuser"], {**_person(person), "businessunitid@odata.bind": unit})
    for client_id in MANAGED_IDENTITIES:
        writer.create(call, TABLES["systemuser"], {**_identity(client_id), "businessunitid@odata.bind": unit})
    team = {"teamid": DEFAULT_TEAM, "name": "Contoso", "businessunitid@odata.bind": unit}
    writer.create(call, TABLES["team"], team)


def _person(person: Person) -> dict[str, Any]:
    return {
        "systemuserid": stable_id("systemuser", person.user_name),
        "firstname": person.given_name,
        "lastname": person.family_name,
        "domainname": person.user_name,
        "internalemailaddress": person.user_name,
        "accessmode": 0,
        "azureactivedirectoryobjectid": person.object_id,
    }


def _identity(client_id: str) -> dict[str, Any]:
    name = f"{client_id}@managed.contoso.example"
    return {
        "systemuserid": stable_id("systemuser", client_id),
        "firstname": "#",
        "lastname": f"Managed identity {client_id[:8]}",
        "domainname": name,
        "internalemailaddress": name,
        "accessmode": 4,
        "applicationid": client_id,
        "azureactivedirectoryobjectid": Application(client_id, "", confidential=True).object_id,
    }


def _messages(store: Store) -> None:
    bulk = any(table.bulk for table in TABLES.values())
    names = [
        name for name in _MESSAGES if bulk or not name.endswith("Multiple") or name == "RetrieveMultiple"
    ]
    put_rows(
        store,
        "sdkmessage",
        (
            {"sdkmessageid": stable_id("sdkmessage", name), "name": name, "isprivate": 0}
            for name in (*names, "WhoAmI")
        ),
    )
    put_rows(
        store,
        "sdkmessagefilter",
        (row for table in TABLES.values() for row in message_filters(table)),
    )


def message_filters(table: Table) -> Iterator[dict[str, Any]]:
    """Which messages serve a table, as rows of sdkmessagefilter."""
    for name in _MESSAGES:
        if table.bulk or not name.endswith("Multiple") or name == "RetrieveMultiple":
            yield {
                "sdkmessagefilterid": stable_id("sdkmessagefilter", name, table.name),
                "primaryobjecttypecode": table.name,
                "sdkmessageid": stable_id("sdkmessage", name),
                "isvisible": 1,
                "iscustomprocessingstepallowed": int(table.creatable and table.name not in _WITHOUT_STEPS),
            }
