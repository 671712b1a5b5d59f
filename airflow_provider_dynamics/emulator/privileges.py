"""What security roles allow: the privileges of a user, and the refusal of a request that lacks one.

A user who was made through the Web API has no role until one is given; nothing is refused to such a user, so that
tests need no set-up (the service refuses everything, 0x80042f09). How deep a privilege reaches is told, not enforced: whoever may write accounts may write everybody's.
https://learn.microsoft.com/power-platform/admin/security-roles-privileges
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from airflow_provider_dynamics.emulator.call import Call, Caller, reply
from airflow_provider_dynamics.emulator.messages import Fault, Response
from airflow_provider_dynamics.emulator.options import Expand, parse_expand
from airflow_provider_dynamics.emulator.schema import TABLES, Table, navigation_of
from airflow_provider_dynamics.emulator.schema.current import per_schema
from airflow_provider_dynamics.emulator.schema.model import stable_id
from airflow_provider_dynamics.emulator.schema.security import USER_ROLES
from airflow_provider_dynamics.emulator.storage import PAIRS, SQL
from airflow_provider_dynamics.emulator.store import Store
from airflow_provider_dynamics.emulator.switches import DataFaults

_QUOTED = re.compile(r"'(?:[^']|'')*'")
_PATH = re.compile(r"(?<![\w/.])(\w+(?:/\w+)*)/")  # without what stands at its end
_NO_GUID = "00000000-0000-0000-0000-000000000000"
_SHARED = ("Create", "Read", "Write", "Delete", "Append", "AppendTo")
_OWNED = (*_SHARED, "Assign", "Share")
# https://learn.microsoft.com/previous-versions/dynamicscrm-2016/developers-guide/hh547441(v=crm.8)
_NAMES: Mapping[str, str] = {
    "systemuser": "User",
    "email": "Activity",
    "task": "Activity",
    "opportunityclose": "Activity",
    "incidentresolution": "Activity",
    "queueitem": "Queue",
    "savedquery": "Query",
}
_VERBS: Mapping[str, Sequence[str]] = {
    "organization": ("Read", "Write"),
    "role": (*_SHARED, "Assign"),
    "savedquery": ("Create", "Read", "Write", "Delete"),
    "systemuser": ("Create", "Read", "Write", "Append", "AppendTo"),
    "userquery": ("Create", "Read", "Write", "Delete", "Assign", "Share"),
    "principalobjectaccess": (),
    "sdkmessage": (),
    "sdkmessagefilter": (),
}
# https://learn.microsoft.com/previous-versions/dynamicscrm-2013/developers-guide/gg327880(v=crm.6) and
# https://learn.microsoft.com/previous-versions/dynamicscrm-2015/developers-guide/gg309683(v=crm.7)
_KNOWN_IDS: Mapping[str, str] = {
    "prvCreateAccount": "d26fe964-230b-42dd-ad93-5cc879de411e",
    "prvReadAccount": "886b280c-6396-4d56-a0a3-2c1b0a50ceb0",
    "prvWriteAccount": "7863e80f-0ab2-4d67-a641-37d9f342c7e3",
    "prvDeleteAccount": "ca6c7690-c935-46b3-bfd2-abb306c2acc0",
    "prvShareAccount": "39b15dfd-09ba-4f30-a390-cac64b635850",
    "prvReadQuery": "902d70d3-2ff8-4d93-92f9-8efdcf889af8",
    "prvWriteQuery": "ece4c21d-060a-4e86-982b-f97410ca5f71",
    "prvReadUserQuery": "f3b782a2-e6d5-4b86-9b7d-33f627fe5c5d",
    "prvReadRole": "222a920a-2778-4564-85cb-e78dde8e4276",
    "prvWriteRole": "bd123e14-17ba-40f6-8d8b-18f4bffa7e50",
}
_SALES = frozenset({"account", "contact", "lead", "opportunity", "email", "task"})
_SALES_DEPTHS: Mapping[str, str] = {
    "Read": "Global",
    "Write": "Global",
    "Append": "Global",
    "AppendTo": "Global",
    "Create": "Basic",
    "Delete": "Basic",
    "Assign": "Basic",
    "Share": "Basic",
}


@dataclass(frozen=True)
class Role:
    """A predefined security role; ``everything`` is one that is given what comes with new tables too."""

    name: str
    given: Mapping[str, str]  # depth by name
    everything: bool = False

    @property
    def privileges(self) -> Mapping[str, str]:
        """Depth by name."""
        return _administrators("") if self.everything else self.given

    @property
    def role_id(self) -> str:
        """Its id in the root business unit."""
        return stable_id("role", self.name)


def privilege(verb: str, table: Table) -> str | None:
    """The name of the privilege to do something with a table's rows, None where none is needed."""
    known = _VERBS.get(table.name, _OWNED if table.ownership == "UserOwned" else _SHARED)
    return f"prv{verb}{_NAMES.get(table.name, table.schema_name)}" if verb in known else None


def _of(table: Table) -> Iterator[tuple[str, str]]:
    for verb in _OWNED:
        name = privilege(verb, table)
        if name:
            yield verb, name


def _sales() -> Iterator[tuple[str, str]]:
    for table in TABLES.values():
        for verb, name in _of(table):
            if table.name in _SALES:
                yield name, _SALES_DEPTHS[verb]
            elif table.name == "userquery":
                yield name, "Basic"
            elif verb == "Read" and not table.custom:
                yield name, "Local" if table.name == "role" else "Global"


# Privileges that belong to no table.
# https://learn.microsoft.com/power-apps/developer/data-platform/bypass-custom-business-logic
MISCELLANEOUS = (
    "prvActOnBehalfOfAnotherUser",
    "prvBulkDelete",
    "prvBypassCustomBusinessLogic",
    "prvBypassCustomPlugins",
    "prvMerge",
)
# https://learn.microsoft.com/power-platform/admin/security-roles-privileges (tab Customization)
CUSTOMIZING = (
    *(
        f"prv{verb}{what}"
        for what in ("Entity", "Attribute", "Relationship", "OptionSet", "EntityKey")
        for verb in ("Create", "Read", "Write", "Delete")
    ),
    "prvPublishCustomization",
    "prvImportCustomization",
    "prvExportCustomization",
)


@per_schema
def _administrators(_: str) -> Mapping[str, str]:
    of_tables = (name for table in TABLES.values() for _, name in _of(table))
    return dict.fromkeys((*of_tables, *MISCELLANEOUS, *CUSTOMIZING), "Global")


SYSTEM_ADMINISTRATOR = Role("System Administrator", {}, everything=True)
SALESPERSON = Role("Salesperson", dict(_sales()))
ROLES = {role.role_id: role for role in (SYSTEM_ADMINISTRATOR, SALESPERSON)}
_DEPTHS = ("Basic", "Local", "Deep", "Global")


def privilege_named(name: str) -> str:
    """A privilege by its name in any case of letters; raises ValueError when there is none."""
    found = _in_lower_case("").get(name.strip().lower())
    if found is None:
        raise ValueError(
            f"there is no privilege {name!r}; there are prvReadAccount, prvWriteContact and the like"
        )
    return found


@per_schema
def _in_lower_case(_: str) -> Mapping[str, str]:
    return {name.lower(): name for name in SYSTEM_ADMINISTRATOR.privileges}


def _id_of(name: str) -> str:
    return _KNOWN_IDS.get(name) or stable_id("privilege", name)


class Privileges:
    """Knows what users may do."""

    def __init__(self, store: Store, faults: DataFaults) -> None:
        self._store = store
        self._faults = faults
        self._roles: dict[str, tuple[Role, ...]] = {}

    def forget(self) -> None:
        """Users may have changed."""
        self._roles.clear()

    def held(self, user_id: str) -> dict[str, str]:
        """The deepest depth of each privilege that a user's roles give, less those taken."""
        held: dict[str, str] = {}
        for role in self._roles_of(user_id):
            for name, depth in role.privileges.items():
                if not self._is_taken(user_id, name):
                    held[name] = max(depth, held.get(name, depth), key=_DEPTHS.index)
        return held

    def answer(self, call: Call, user_id: str) -> Response:
        """RetrieveUserPrivileges, bound to a user.

        https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/retrieveuserprivileges
        """
        unit = self._unit(user_id)
        found = [
            {
                "Depth": depth,
                "PrivilegeId": _id_of(name),
                "BusinessUnitId": unit,
                "PrivilegeName": name,
                "RecordFilterId": _NO_GUID,
                "RecordFilterUniqueName": "",
            }
            for name, depth in self.held(user_id).items()
        ]
        context = call.context("Microsoft.Dynamics.CRM.RetrieveUserPrivilegesResponse")
        return reply(200, {"@odata.context": context, "RolePrivileges": found})

    def need(self, call: Call, table: Table, *verbs: str) -> None:
        """Refuse the request when its user, or the one who impersonates, may not do this with the table's rows."""
        for verb in verbs:
            name = privilege(verb, table)
            for user_id in filter(None, (call.caller.user_id, call.caller.on_behalf_of)):
                if name and not self._has(user_id, name):
                    raise self._missing(call.caller, user_id, name, table)

    def need_named(self, call: Call, name: str) -> None:
        """Refuse the request when its user, or the one who impersonates, lacks a privilege that belongs to no table."""
        for user_id in filter(None, (call.caller.user_id, call.caller.on_behalf_of)):
            self.need_of(user_id, call, name)

    def need_of(self, user_id: str, call: Call, name: str) -> None:
        """Refuse the request when this one user lacks a privilege that belongs to no table."""
        if not self._has(user_id, name):
            raise self._missing(call.caller, user_id, name, None)

    def need_to_assign(self, call: Call, table: Table) -> None:
        """Refuse a change of rows that gives them to another owner, when its user may not do that."""
        if b'"ownerid' in call.body and table.has("ownerid"):
            self.need(call, table, "Assign")

    def need_related(self, call: Call, table: Table) -> None:
        """Refuse the request when it expands, filters or sorts by rows its user may not read."""
        if "$expand" in call.options:
            for item in parse_expand(table, call.options["$expand"], TABLES):
                self._need_inner(call, item)
        text = " ".join(call.options.get(name, "") for name in ("$filter", "$orderby", "$apply"))
        for path in _PATH.findall(_QUOTED.sub("", text)):
            self._need_followed(call, table, path.split("/"))

    def _need_followed(self, call: Call, table: Table, names: Sequence[str]) -> None:
        for name in names:
            navigation = navigation_of(table, name)
            if navigation is None or navigation.table is None:
                return
            table = TABLES[navigation.table]
            self.need(call, table, "Read")

    def _need_inner(self, call: Call, item: Expand) -> None:
        if item.navigation.table:
            self.need(call, TABLES[item.navigation.table], "Read")
        for inner in item.expand:
            self._need_inner(call, inner)

    def _has(self, user_id: str, name: str) -> bool:
        if self._is_taken(user_id, name):
            return False
        roles = self._roles_of(user_id)
        return not roles or any(name in role.privileges for role in roles)

    def _is_taken(self, user_id: str, name: str) -> bool:
        taken = self._faults.privileges_taken
        return bool(taken) and ((None, name) in taken or (user_id, name) in taken)

    def _roles_of(self, user_id: str) -> tuple[Role, ...]:
        known = self._roles.get(user_id)
        if known is not None:
            return known
        pairs = PAIRS[USER_ROLES.name]
        with self._store.lock:  # nobody gives or takes roles between the reading and the keeping
            found = self._store.fetch(sa.select(pairs.c.roleid).where(pairs.c.systemuserid == user_id))
            known = self._roles[user_id] = tuple(ROLES[role_id] for (role_id,) in found)
        return known

    def _unit(self, user_id: str) -> Any:
        sql = SQL["systemuser"]
        found = self._store.one(sa.select(sql.c.businessunitid).where(sql.c.systemuserid == user_id))
        return found[0] if found else None

    def _missing(self, caller: Caller, user_id: str, name: str, table: Table | None) -> Fault:
        """Build the refusal, which names the user, the privilege and the table.

        https://learn.microsoft.com/troubleshoot/power-platform/dataverse/user-permissions/client-errors
        """
        code, entity, label = (table.type_code, table.name, table.label) if table else (0, "unknown", "")
        return Fault(
            403,
            "0x80040220",
            f"Principal user (Id={user_id}, type=8, roleCount={len(self._roles_of(user_id))}, "
            f"privilegeCount={len(self.held(user_id))}, accessMode='0 Read-Write', "
            f"businessUnitId={self._unit(user_id)}), is missing {name} privilege (Id={_id_of(name)}) "
            f"on OTC={code} for entity '{entity}' (LocalizedName='{label}'). "
            f"context.Caller={caller.user_id}. "
            "Consider adding missed privilege to one of the principal (user/team) roles.",
        )
