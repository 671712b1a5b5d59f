"""Sharing rows with users and teams, asking what they may do with them, and who belongs to a team.

What is shared is told, not enforced: here, who may write accounts may write everybody's.
https://learn.microsoft.com/power-apps/developer/data-platform/security-sharing-assigning
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import sqlalchemy as sa

from airflow_provider_dynamics.emulator.literals import utc_text
from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.operations.model import (
    ANY_ROW,
    PRINCIPAL,
    Invocation,
    Operation,
    Parameter,
    RowArgument,
    need,
)
from airflow_provider_dynamics.emulator.operations.types import ENUMS
from airflow_provider_dynamics.emulator.privileges import privilege
from airflow_provider_dynamics.emulator.render import RowRenderer
from airflow_provider_dynamics.emulator.schema import TABLES, Table
from airflow_provider_dynamics.emulator.schema.model import stable_id
from airflow_provider_dynamics.emulator.schema.security import TEAM_MEMBERS
from airflow_provider_dynamics.emulator.schema.sharing import PRINCIPALOBJECTACCESS as SHARED
from airflow_provider_dynamics.emulator.storage import JSON_COLUMN, PAIRS, SQL, storage_names

RIGHTS = ENUMS["AccessRights"]
# What a role's privilege lets its holder do with a row.
_VERBS = {
    "Read": "ReadAccess",
    "Write": "WriteAccess",
    "Append": "AppendAccess",
    "AppendTo": "AppendToAccess",
    "Create": "CreateAccess",
    "Delete": "DeleteAccess",
    "Share": "ShareAccess",
    "Assign": "AssignAccess",
}


def _mask(names: str) -> int:
    return sum(RIGHTS[name] for name in set(names.split(",")))


def _names(mask: int) -> str:
    found = [name for name, bit in RIGHTS.items() if bit & mask]
    return ", ".join(found) or "None"


def _target(invocation: Invocation) -> tuple[Table, str]:
    target = invocation.row("Target")
    row_id = target.existing(invocation.rooms)
    invocation.rooms.privileges.need(invocation.call, target.table, "Share")
    if target.table.ownership != "UserOwned":
        raise Fault(
            400, "0x80040203", f"Rows of {target.table.name} belong to nobody: they cannot be shared."
        )
    return target.table, row_id


def _grant(invocation: Invocation) -> None:
    """Add rights to those that are there."""
    _share(invocation, add=True)


def _modify(invocation: Invocation) -> None:
    """Put rights in the place of those that are there."""
    _share(invocation, add=False)


def _share(invocation: Invocation, *, add: bool) -> None:
    table, row_id = _target(invocation)
    access = invocation.parameters["PrincipalAccess"]
    principal: RowArgument = access["Principal"]
    who = principal.existing(invocation.rooms)
    owner = (invocation.rooms.store.row(table, row_id) or {}).get("ownerid")
    if owner == who:
        raise Fault(400, "0x80040214", "You cannot share a record with its owner.")
    before = _granted(invocation, row_id, who)
    _drop(invocation, row_id, who)
    mask = _mask(access["AccessMask"]) | (before if add else 0)
    _put(invocation, (table.name, row_id), (principal.table.name, who), mask)


def _put(invocation: Invocation, shared: tuple[str, str], principal: tuple[str, str], mask: int) -> None:
    """Keep a share; ``shared`` and ``principal`` are (table, id)."""
    store = invocation.rooms.store
    row: dict[str, Any] = {
        "principalobjectaccessid": stable_id("share", shared[1], principal[1]),
        "objectid": shared[1],
        "objecttypecode": shared[0],
        "principalid": principal[1],
        "principaltypecode": principal[0],
        "accessrightsmask": mask,
        "changedon": utc_text(invocation.call.now),
        "versionnumber": store.next_version(),
    }
    row[JSON_COLUMN] = msgspec.json.encode(RowRenderer(SHARED).plain(row))
    store.insert(SHARED, [[row[name] for name in storage_names(SHARED)]])


def _granted(invocation: Invocation, row_id: str, who: str) -> int:
    sql = SQL[SHARED.name]
    where = (sql.c.objectid == row_id) & (sql.c.principalid == who)
    found = invocation.rooms.store.one(sa.select(sql.c.accessrightsmask).where(where))
    return int(found[0]) if found else 0


def _drop(invocation: Invocation, row_id: str, who: str) -> None:
    sql = SQL[SHARED.name]
    invocation.rooms.store.run(sa.delete(sql).where(sql.c.objectid == row_id, sql.c.principalid == who))


def _revoke(invocation: Invocation) -> None:
    _, row_id = _target(invocation)
    _drop(invocation, row_id, invocation.row("Revokee").existing(invocation.rooms))


def _access(invocation: Invocation) -> dict[str, Any]:
    """What the principal's roles, ownership and shares together let it do with a row."""
    principal, who = invocation.bound()
    target = invocation.row("Target")
    row_id = target.existing(invocation.rooms)
    mask = _granted(invocation, row_id, who)
    if principal.name == "systemuser":
        held = invocation.rooms.privileges.held(who)
        for verb, right in _VERBS.items():
            name = privilege(verb, target.table)
            if name is not None and (name in held or not held):
                mask |= RIGHTS[right]
    return {"AccessRights": _names(mask)}


def _shares(invocation: Invocation) -> dict[str, Any]:
    target = invocation.row("Target")
    invocation.rooms.privileges.need(invocation.call, target.table, "Read")
    row_id = target.existing(invocation.rooms)
    sql = SQL[SHARED.name]
    found = invocation.rooms.store.fetch(
        sa.select(sql.c.principalid, sql.c.principaltypecode, sql.c.accessrightsmask).where(
            sql.c.objectid == row_id
        )
    )
    return {
        "PrincipalAccesses": [
            {
                "AccessMask": _names(mask),
                "Principal": {
                    "@odata.type": f"#Microsoft.Dynamics.CRM.{kind}",
                    TABLES[kind].primary_id: who,
                    "ownerid": who,
                },
            }
            for who, kind, mask in found
        ]
    }


def _members(invocation: Invocation) -> tuple[str, list[str]]:
    table, team = invocation.bound()
    invocation.rooms.privileges.need(invocation.call, table, "Write")
    return team, [member.existing(invocation.rooms) for member in invocation.parameters["Members"]]


def _delete_pairs(invocation: Invocation, team: str, users: Iterable[str]) -> None:
    pairs = PAIRS[TEAM_MEMBERS.name]
    gone = sa.delete(pairs).where(pairs.c.teamid == team, pairs.c.systemuserid.in_(list(users)))
    invocation.rooms.store.run(gone)


def _add_members(invocation: Invocation) -> None:
    team, users = _members(invocation)
    _delete_pairs(invocation, team, users)  # who is a member already stays one
    invocation.rooms.store.pair(TEAM_MEMBERS, [(user, team) for user in dict.fromkeys(users)])


def _remove_members(invocation: Invocation) -> None:
    team, users = _members(invocation)
    _delete_pairs(invocation, team, users)


_TARGET = need("Target", ANY_ROW)
_ACCESS = need("PrincipalAccess", "mscrm.PrincipalAccess")
_MEMBERS = need("Members", "Collection(mscrm.systemuser)")
SHARING = (
    Operation("GrantAccess", (_TARGET, _ACCESS), run=_grant),
    Operation("ModifyAccess", (_TARGET, _ACCESS), run=_modify),
    Operation("RevokeAccess", (_TARGET, need("Revokee", PRINCIPAL)), run=_revoke),
    Operation(
        "RetrievePrincipalAccess",
        (_TARGET,),
        (need("AccessRights", "mscrm.AccessRights"),),
        bound_to="principal",
        is_function=True,
        run=_access,
    ),
    Operation(
        "RetrieveSharedPrincipalsAndAccess",
        (_TARGET,),
        (Parameter("PrincipalAccesses", "Collection(mscrm.PrincipalAccess)"),),
        is_function=True,
        run=_shares,
    ),
    Operation("AddMembersTeam", (_MEMBERS,), bound_to="team", run=_add_members),
    Operation("RemoveMembersTeam", (_MEMBERS,), bound_to="team", run=_remove_members),
)
