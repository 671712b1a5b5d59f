"""Bodies as Dataverse posts them, after the example in its documentation.

https://learn.microsoft.com/power-apps/developer/data-platform/use-webhooks#request-body
"""

from __future__ import annotations

import json
import uuid
from typing import Any

ROW = "6d81597f-0f9f-e711-8122-000d3aa2331c"
SECRET_VALUE = "James-Glynn-whom-no-log-may-name"
NOBODY = "00000000-0000-0000-0000-000000000000"
_CONTRACTS = "http:\\/\\/schemas.microsoft.com\\/xrm\\/2011\\/Contracts"


def target(row_id: str = ROW, table: str = "contact") -> dict[str, Any]:
    """Return the parameter that holds a row and what was written to it."""
    value = {
        "__type": f"Entity:{_CONTRACTS}",
        "Attributes": [{"key": "firstname", "value": SECRET_VALUE}, {"key": f"{table}id", "value": row_id}],
        "Id": row_id,
        "LogicalName": table,
    }
    return {"key": "Target", "value": value}


def context(**changed: Any) -> dict[str, Any]:
    """Return the context of an update of a contact, each time of another operation, with members changed."""
    found: dict[str, Any] = {
        "BusinessUnitId": "e2b9dd85-e89e-e711-8122-000d3aa2331c",
        "CorrelationId": str(uuid.uuid4()),
        "Depth": 1,
        "InputParameters": [target()],
        "MessageName": "Update",
        "Mode": 1,
        "OperationCreatedOn": "/Date(1506409448000-0700)/",
        "OperationId": str(uuid.uuid4()),
        "OrganizationId": "4ef5b371-e89e-e711-8122-000d3aa2331c",
        "OrganizationName": "OrgName",
        "OutputParameters": [],
        "ParentContext": {"InputParameters": [target()], "ParentContext": None},
        "PostEntityImages": [],
        "PreEntityImages": [],
        "PrimaryEntityId": ROW,
        "PrimaryEntityName": "contact",
        "SharedVariables": [{"key": "ChangedEntityTypes", "value": [{"key": "lead", "value": "Update"}]}],
        "Stage": 40,
    }
    return {**found, **changed}


def body(**changed: Any) -> bytes:
    return json.dumps(context(**changed)).encode()
