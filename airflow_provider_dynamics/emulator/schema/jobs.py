"""System jobs and background operations: what runs after the answer, and how far it has come.

https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/asyncoperation,
https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/bulkdeleteoperation and
https://learn.microsoft.com/power-apps/developer/data-platform/background-operations
"""

from __future__ import annotations

from dataclasses import replace

from airflow_provider_dynamics.emulator.schema.columns import (
    LONGEST_MEMO,
    READ_ONLY,
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
        text("Name", "System Job Name", 256, **READ_ONLY),
        choice("OperationType", "System Job Type", _OPERATION_TYPES, **READ_ONLY),
        text("MessageName", "Message Name", 160, **READ_ONLY),
        *_state_columns(),
        moment("StartedOn", "Started On", **READ_ONLY),
        moment("CompletedOn", "Completed On", **READ_ONLY),
        moment("PostponeUntil", "Postpone Until", create=False),
        whole("ErrorCode", "Error Code", **READ_ONLY),
        memo("Message", "Message", LONGEST_MEMO, **READ_ONLY),
        memo("FriendlyMessage", "Message (friendly)", LONGEST_MEMO, **READ_ONLY),
        memo("Data", "Data", LONGEST_MEMO, **READ_ONLY),
        text("DependencyToken", "Dependency Token", 256, **READ_ONLY),
        whole("Depth", "Depth", 0, **READ_ONLY),
        double("ExecutionTimeSpan", "Execution Time Span", 2, 0, 1_000_000_000, **READ_ONLY),
        flag("IsWaitingForEvent", "Waiting for Event", **READ_ONLY),
        text("PrimaryEntityType", "Primary Entity Type", 64, **READ_ONLY),
        text("RecurrencePattern", "Recurrence Pattern", 256, **READ_ONLY),
        moment("RecurrenceStartTime", "Recurrence Start", **READ_ONLY),
        whole("RetryCount", "Retry Count", 0, **READ_ONLY),
        Column("sequence", "Sequence", "BigInt", "Sequence", **READ_ONLY),
        guid("CorrelationId", "Correlation Id", **READ_ONLY),
        text("WorkflowStageName", "Workflow Stage", 256, **READ_ONLY),
        lookup(
            "OwningExtensionId",
            "Owning Extension",
            to("sdkmessageprocessingstep", "owningextensionid", "SdkMessageProcessingStep_AsyncOperations"),
            **READ_ONLY,
        ),
        lookup(
            "RegardingObjectId",
            "Regarding",
            to("account", "regardingobjectid_account", "Account_AsyncOperations"),
            to("contact", "regardingobjectid_contact", "Contact_AsyncOperations"),
            **READ_ONLY,
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
        text("Name", "System Job Name", 256, **READ_ONLY),
        *(replace(column, update=False) for column in _state_columns()),
        whole("SuccessCount", "Deleted", 0, 1_000_000_000, **READ_ONLY),
        whole("FailureCount", "Failures", 0, 1_000_000_000, **READ_ONLY),
        flag("IsRecurring", "Is Recurring", **READ_ONLY),
        moment("NextRun", "Next Run", **READ_ONLY),
        memo("OrderedQuerySetXml", "", LONGEST_MEMO, **READ_ONLY),
        whole("ProcessingQEIndex", "Query Index", 0, 1_000_000_000, **READ_ONLY),
        lookup(
            "AsyncOperationId",
            "System Job",
            to("asyncoperation", "asyncoperationid", "AsyncOperation_BulkDeleteOperation", "Cascade"),
            **READ_ONLY,
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
        memo("ErrorDescription", "Error Description", 512, **READ_ONLY),
        whole("ErrorNumber", "Error Code", **READ_ONLY),
        whole("OrderedQueryIndex", "Index", 0, **READ_ONLY),
        text("RegardingObjectTypeCode", "", 64, **READ_ONLY),
        lookup(
            "BulkDeleteOperationId",
            "Bulk Deletion Operation",
            to(
                "bulkdeleteoperation",
                "bulkdeleteoperationid",
                "BulkDeleteOperation_BulkDeleteFailure",
                "Cascade",
            ),
            **READ_ONLY,
        ),
        lookup(
            "AsyncOperationId",
            "System Job",
            to("asyncoperation", "asyncoperationid", "AsyncOperation_BulkDeleteFailures", "Cascade"),
            **READ_ONLY,
        ),
        lookup(
            "RegardingObjectId",
            "Regarding",
            to("account", "regardingobjectid_account", "Account_BulkDeleteFailures"),
            to("contact", "regardingobjectid_contact", "Contact_BulkDeleteFailures"),
            **READ_ONLY,
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
        text("name", "Name", 100, **READ_ONLY),
        text("DisplayName", "DisplayName", 100, **READ_ONLY),
        choice("BackgroundOperationStateCode", "Status", _BACKGROUND_STATES, 0, create=False),
        choice("BackgroundOperationStatusCode", "Status Reason", _BACKGROUND_STATUSES, 0, create=False),
        memo("InputParameters", "Input Parameters", 1_048_576, **READ_ONLY),
        memo("OutputParameters", "Output Parameters", 1_048_576, **READ_ONLY),
        moment("StartTime", "Start Time", **READ_ONLY),
        moment("EndTime", "End Time", **READ_ONLY),
        whole("RetryCount", "Retry Count", 0, **READ_ONLY),
        whole("ErrorCode", "Error Code", **READ_ONLY),
        memo("ErrorMessage", "Error Message", 1_048_576, **READ_ONLY),
        text("RunAs", "Run As", 100, **READ_ONLY),
        whole("TTLInSeconds", "Time to live", 0, **READ_ONLY),
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
