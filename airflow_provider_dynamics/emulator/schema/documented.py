"""The custom tables of Microsoft's own samples, so that what the documentation shows can be tried as printed.

https://learn.microsoft.com/power-apps/developer/data-platform/bulk-operations and
https://learn.microsoft.com/power-apps/developer/data-platform/use-upsert-insert-update-record
"""

from __future__ import annotations

from airflow_provider_dynamics.emulator.schema.columns import ident, memo, state, text, whole
from airflow_provider_dynamics.emulator.schema.common import audit, owner
from airflow_provider_dynamics.emulator.schema.model import Column, Key, Table


def _custom(name: str) -> tuple[Column, ...]:
    return (
        *state([(0, "Active", {1: "Active"}), (1, "Inactive", {2: "Inactive"})]),
        *owner(f"owner_{name}", f"user_{name}", f"team_{name}", f"business_unit_{name}"),
        *audit(f"lk_{name}_createdby", f"lk_{name}_modifiedby", f"lk_{name}"),
    )


SAMPLE_EXAMPLE = Table(
    name="sample_example",
    schema_name="sample_Example",
    set_name="sample_examples",
    label="Example",
    plural="Examples",
    primary_id="sample_exampleid",
    primary_name="sample_name",
    type_code=10302,
    custom=True,
    keys=(Key("sample_keyattributekey", "Key Attribute", ("sample_keyattribute",)),),
    columns=(
        ident("sample_ExampleId", "Example"),
        text("sample_Name", "Name", 100, required="ApplicationRequired", custom=True),
        text("sample_KeyAttribute", "Key Attribute", 100, custom=True),
        memo("sample_Description", "Description", custom=True),
        *_custom("sample_example"),
    ),
)

EXAMPLE_RECORD = Table(
    name="example_record",
    schema_name="example_Record",
    set_name="example_records",
    label="Example Record",
    plural="Example Records",
    primary_id="example_recordid",
    primary_name="example_name",
    type_code=10303,
    custom=True,
    keys=(Key("example_key", "Key", ("example_key1", "example_key2")),),
    columns=(
        ident("example_RecordId", "Example Record"),
        text("example_Name", "Name", 100, required="ApplicationRequired", custom=True),
        whole("example_Key1", "Key 1", custom=True),
        whole("example_Key2", "Key 2", custom=True),
        *_custom("example_record"),
    ),
)
