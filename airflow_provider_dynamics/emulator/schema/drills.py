"""Custom tables that lack what readers like to rely on: change tracking, versions, dates.

They are named for what they lack, belong to no product, and start without rows (`rows={"drill_undated": 1000}` gives
them some).
"""

from __future__ import annotations

from dataclasses import replace

from airflow_provider_dynamics.emulator.schema.columns import ident, state, text, whole
from airflow_provider_dynamics.emulator.schema.common import VERSION, audit, owner
from airflow_provider_dynamics.emulator.schema.model import Column, Key, Table


def _owner(name: str) -> tuple[Column, ...]:
    return owner(f"owner_{name}", f"user_{name}", f"team_{name}", f"business_unit_{name}")


def _audit(name: str) -> tuple[Column, ...]:
    return audit(f"lk_{name}_createdby", f"lk_{name}_modifiedby", f"lk_{name}")


def _drill(word: str, label: str, type_code: int, *columns: Column) -> Table:
    """A table without change tracking that has a name, a state, an owner and these columns."""
    name = f"drill_{word.lower()}"
    return Table(
        name=name,
        schema_name=f"drill_{word}",
        set_name=f"{name}s",
        label=label,
        plural=f"{label}s",
        primary_id=f"{name}id",
        primary_name="drill_name",
        type_code=type_code,
        custom=True,
        change_tracking=False,
        columns=(
            ident(f"drill_{word}Id", label),
            text("drill_Name", "Name", 100, required="ApplicationRequired", custom=True),
            *state([(0, "Active", {1: "Active"}), (1, "Inactive", {2: "Inactive"})]),
            *columns,
            *_owner(name),
        ),
    )


# Everything but change tracking.
UNTRACKED = _drill("Untracked", "Untracked Row", 10311, *_audit("drill_untracked"))
# Dates, but no change tracking and no versionnumber.
UNVERSIONED = _drill(
    "Unversioned",
    "Unversioned Row",
    10312,
    *(column for column in _audit("drill_unversioned") if column.name != VERSION.name),
)
# A versionnumber, but neither dates nor numbers of its own.
UNDATED = _drill("Undated", "Undated Row", 10313, VERSION)
# No dates, but a whole number that is different in each row and empty in every tenth.
NUMBERED = _drill(
    "Numbered", "Numbered Row", 10314, whole("drill_Sequence", "Sequence", 0, custom=True), VERSION
)
# None of these, and a key whose index could not be made.
BARE = replace(
    _drill("Bare", "Bare Row", 10315),
    keys=(Key("drill_namekey", "Name", ("drill_name",), status="Failed"),),
)
DRILLS = (BARE, NUMBERED, UNDATED, UNTRACKED, UNVERSIONED)
