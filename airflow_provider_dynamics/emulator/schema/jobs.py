"""System jobs and background operations: what runs after the answer, and how far it has come.

https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/asyncoperation,
https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/bulkdeleteoperation and
https://learn.microsoft.com/power-apps/developer/data-platform/background-operations
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from airflow_provider_dynamics.emulator.schema.columns import (
    choice,
    double,
    flag,
    guid,
    ident,
    lookup,
    memo,
    moment,
    state,
    text,
    to,
    whole,
)
from airflow_provider_dynamics.emulator.schema.common import VERSION, audit, owner
from airflow_provider_dynamics.emulator.schema.model import Column, Table

_READ: dict[str, Any] = {"create": False, "update": False}
_LONG = 1_073_741_823
STATES = [
    (0, "Ready", {0: "Waiting For Resources"}),
    (1, "Suspended", {10: "Waiting"}),
    (2, "Locked", {20: "In Progress", 21: "Pausing", 22: "Canceling"}),
    (3, "Completed", {30: "Succeeded", 31: "Failed", 32: "Canceled"}),
]
_OPERATION_TYPES = {
    1: "System Event",
    2: "Bulk Email",
    3: "Import File Parse",
    5: "Import",
    10: "Workflow",
    13: "Bulk Delete",
    54: "Execute Async Request",
    57: "Calculate Rollup Field",
    58: "Mass Calculate Rollup Field",
    63: "EntityKey Index Creation",
    202: "Export Solution Async Operation",
    203: "Import Solution Async Operation",
    204: "Publish All Async Operation",
    207: "DeleteAndPromote Async Operation",
    208: "UninstallSolution Async Operation",
    211: "StageAndUpgrade Async Operation",
}


def _state_columns() -> tuple[Column, ...]:
    return tuple(replace(column, create=False) for column in state(STATES))


ASYNCOPERATION = Table(
    name="asyncoperation",
    schema_name="AsyncOperation",
    set_name="asyncoperations",
    label="System Job",
    plural="System Jobs",
    primary_id="asyncoperationid",
    primary_name="name",
    type_code=4700,
    bulk=False,
    change_tracking=False,
    creatable=False,
    columns=(
        ident("AsyncOperationId", "System Job"),
        text("Name", "System Job Name", 256, **_READ),
        choice("OperationType", "System Job Type", _OPERATION_TYPES, **_READ),
        text("MessageName", "Message Name", 160, **_READ),
        *_state_columns(),
        moment("StartedOn", "Started On", **_READ),
        moment("CompletedOn", "Completed On", **_READ),
        moment("PostponeUntil", "Postpone Until", create=False),
        whole("ErrorCode", "Error Code", **_READ),
        memo("Message", "Message", _LONG, **_READ),
        memo("FriendlyMessage", "Message (friendly)", _LONG, **_READ),
        memo("Data", "Data", _LONG, **_READ),
        text("DependencyToken", "Dependency Token", 256, **_READ),
        whole("Depth", "Depth", 0, **_READ),
        double("ExecutionTimeSpan", "Execution Time Span", 2, 0, 1_000_000_000, **_READ),
        flag("IsWaitingForEvent", "Waiting for Event", **_READ),
        text("PrimaryEntityType", "Primary Entity Type", 64, **_READ),
        text("RecurrencePattern", "Recurrence Pattern", 256, **_READ),
        moment("RecurrenceStartTime", "Recurrence Start", **_READ),
        whole("RetryCount", "Retry Count", 0, **_READ),
        Column("sequence", "Sequence", "BigInt", "Sequence", **_READ),
        guid("CorrelationId", "Correlation Id", **_READ),
        text("WorkflowStageName", "Workflow Stage", 256, **_READ),
        lookup(
            "OwningExtensionId",
            "Owning Extension",
            to("sdkmessageprocessingstep", "owningextensionid", "SdkMessageProcessingStep_AsyncOperations"),
            **_READ,
        ),
        lookup(
            "RegardingObjectId",
            "Regarding",
            to("account", "regardingobjectid_account", "Account_AsyncOperations"),
            to("contact", "regardingobjectid_contact", "Contact_AsyncOperations"),
            **_READ,
        ),
        *owner(
            "owner_asyncoperations",
            "system_user_asyncoperation",
            "team_asyncoperation",
            "business_unit_asyncoperation",
        ),
        *audit("lk_asyncoperation_createdby", "lk_asyncoperation_modifiedby", "lk_asyncoperation"),
    ),
)

BULKDELETEOPERATION = Table(
    name="bulkdeleteoperation",
    schema_name="BulkDeleteOperation",
    set_name="bulkdeleteoperations",
    label="Bulk Delete Operation",
    plural="Bulk Delete Operations",
    primary_id="bulkdeleteoperationid",
    primary_name="name",
    type_code=4424,
    bulk=False,
    change_tracking=False,
    creatable=False,
    ownership="None",
    columns=(
        ident("BulkDeleteOperationId", "Bulk Deletion Job"),
        text("Name", "System Job Name", 256, **_READ),
        *(replace(column, update=False) for column in _state_columns()),
        whole("SuccessCount", "Deleted", 0, 1_000_000_000, **_READ),
        whole("FailureCount", "Failures", 0, 1_000_000_000, **_READ),
        flag("IsRecurring", "Is Recurring", **_READ),
        moment("NextRun", "Next Run", **_READ),
        memo("OrderedQuerySetXml", "", _LONG, **_READ),
        whole("ProcessingQEIndex", "Query Index", 0, 1_000_000_000, **_READ),
        lookup(
            "AsyncOperationId",
            "System Job",
            to("asyncoperation", "asyncoperationid", "AsyncOperation_BulkDeleteOperation", "Cascade"),
            **_READ,
        ),
        *audit(
            "lk_bulkdeleteoperationbase_createdby", "lk_bulkdeleteoperationbase_modifiedby", "lk_bulkdelete"
        ),
    ),
)

BULKDELETEFAILURE = Table(
    name="bulkdeletefailure",
    schema_name="BulkDeleteFailure",
    set_name="bulkdeletefailures",
    label="Bulk Delete Failure",
    plural="Bulk Delete Failures",
    primary_id="bulkdeletefailureid",
    primary_name="bulkdeletefailureid",
    type_code=4425,
    bulk=False,
    change_tracking=False,
    creatable=False,
    ownership="None",
    columns=(
        ident("BulkDeleteFailureId", "Bulk Deletion Failure"),
        memo("ErrorDescription", "Error Description", 512, **_READ),
        whole("ErrorNumber", "Error Code", **_READ),
        whole("OrderedQueryIndex", "Index", 0, **_READ),
        text("RegardingObjectTypeCode", "", 64, **_READ),
        lookup(
            "BulkDeleteOperationId",
            "Bulk Deletion Operation",
            to(
                "bulkdeleteoperation",
                "bulkdeleteoperationid",
                "BulkDeleteOperation_BulkDeleteFailure",
                "Cascade",
            ),
            **_READ,
        ),
        lookup(
            "AsyncOperationId",
            "System Job",
            to("asyncoperation", "asyncoperationid", "AsyncOperation_BulkDeleteFailures", "Cascade"),
            **_READ,
        ),
        lookup(
            "RegardingObjectId",
            "Regarding",
            to("account", "regardingobjectid_account", "Account_BulkDeleteFailures"),
            to("contact", "regardingobjectid_contact", "Contact_BulkDeleteFailures"),
            **_READ,
        ),
        VERSION,
    ),
)

_BACKGROUND_STATES = {0: "Ready", 2: "Locked", 3: "Completed"}
_BACKGROUND_STATUSES = {
    0: "Waiting For Resources",
    20: "In Progress",
    22: "Canceling",
    30: "Succeeded",
    31: "Failed",
    32: "Canceled",
}

BACKGROUNDOPERATION = Table(
    name="backgroundoperation",
    schema_name="backgroundoperation",
    set_name="backgroundoperations",
    label="Background Operation",
    plural="Background Operations",
    primary_id="backgroundoperationid",
    primary_name="name",
    type_code=10220,
    bulk=False,
    change_tracking=False,
    creatable=False,
    columns=(
        ident("backgroundoperationId", "Background Operation"),
        text("name", "Name", 100, **_READ),
        text("DisplayName", "DisplayName", 100, **_READ),
        choice("BackgroundOperationStateCode", "Status", _BACKGROUND_STATES, 0, create=False),
        choice("BackgroundOperationStatusCode", "Status Reason", _BACKGROUND_STATUSES, 0, create=False),
        memo("InputParameters", "Input Parameters", 1_048_576, **_READ),
        memo("OutputParameters", "Output Parameters", 1_048_576, **_READ),
        moment("StartTime", "Start Time", **_READ),
        moment("EndTime", "End Time", **_READ),
        whole("RetryCount", "Retry Count", 0, **_READ),
        whole("ErrorCode", "Error Code", **_READ),
        memo("ErrorMessage", "Error Message", 1_048_576, **_READ),
        text("RunAs", "Run As", 100, **_READ),
        whole("TTLInSeconds", "Time to live", 0, **_READ),
        *owner(
            "owner_backgroundoperation",
            "user_backgroundoperation",
            "team_backgroundoperation",
            "business_unit_backgroundoperation",
        ),
        *audit(
            "lk_backgroundoperation_createdby", "lk_backgroundoperation_modifiedby", "lk_backgroundoperation"
        ),
    ),
)
JOBS = (ASYNCOPERATION, BACKGROUNDOPERATION, BULKDELETEFAILURE, BULKDELETEOPERATION)
