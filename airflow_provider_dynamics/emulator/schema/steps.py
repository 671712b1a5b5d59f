"""Where webhooks are registered: service endpoints, and the steps at which something is posted to them.

https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/serviceendpoint and
https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/sdkmessageprocessingstep
"""

from __future__ import annotations

from airflow_provider_dynamics.emulator.schema.columns import (
    LONGEST_MEMO,
    READ_ONLY,
    choice,
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
from airflow_provider_dynamics.emulator.schema.common import VERSION
from airflow_provider_dynamics.emulator.schema.model import Column, Table

_AUTH_TYPES = {
    1: "ACS",
    2: "SAS Key",
    3: "SAS Token",
    4: "Webhook Key",
    5: "Http Header",
    6: "Http Query String",
    7: "Connection String",
    8: "Access Key",
}
_CONTRACTS = {
    1: "OneWay",
    2: "Queue",
    3: "Rest",
    4: "TwoWay",
    5: "Topic",
    6: "Queue (Persistent)",
    7: "Event Hub",
    8: "Webhook",
    9: "Event Grid",
    10: "Managed Data Lake",
}
_STAGES = {
    5: "Initial Pre-operation (For internal use only)",
    10: "Pre-validation",
    15: "Internal Pre-operation Before External Plugins (For internal use only)",
    20: "Pre-operation",
    25: "Internal Pre-operation After External Plugins (For internal use only)",
    30: "Main Operation (For internal use only)",
    35: "Internal Post-operation Before External Plugins (For internal use only)",
    40: "Post-operation",
    45: "Internal Post-operation After External Plugins (For internal use only)",
    50: "Post-operation (Deprecated)",
    55: "Final Post-operation (For internal use only)",
    80: "Pre-Commit stage fired before transaction commit (For internal use only)",
    90: "Post-Commit stage fired after transaction commit (For internal use only)",
}


def _made_and_changed(created_by: str, modified_by: str, on_behalf: str) -> tuple[Column, ...]:
    users = (
        ("CreatedBy", "Created By", created_by),
        ("ModifiedBy", "Modified By", modified_by),
        ("CreatedOnBehalfBy", "Created By (Delegate)", f"{on_behalf}_createdonbehalfby"),
        ("ModifiedOnBehalfBy", "Modified By (Delegate)", f"{on_behalf}_modifiedonbehalfby"),
    )
    return (
        moment("CreatedOn", "Created On", **READ_ONLY),
        moment("ModifiedOn", "Modified On", **READ_ONLY),
        *(
            lookup(name, label, to("systemuser", name.lower(), relationship), **READ_ONLY)
            for name, label, relationship in users
        ),
    )


SERVICEENDPOINT = Table(
    name="serviceendpoint",
    schema_name="ServiceEndpoint",
    set_name="serviceendpoints",
    label="Service Endpoint",
    plural="Service Endpoints",
    primary_id="serviceendpointid",
    primary_name="name",
    type_code=4618,
    bulk=False,
    change_tracking=False,
    ownership="OrganizationOwned",
    columns=(
        ident("ServiceEndpointId", "Service Endpoint"),
        text("Name", "Name", 256, required="SystemRequired"),
        memo("Description", "Description", 2000),
        choice("Contract", "Contract", _CONTRACTS),
        choice("AuthType", "Specifies mode of authentication with SB", _AUTH_TYPES),
        text("AuthValue", "Authentication Value", 2048, read=False),
        flag("IsAuthValueSet", "Is AuthValue Set", **READ_ONLY),
        text("Url", "Url Address", 2000, format="Text"),
        choice("ConnectionMode", "Connection Mode", {1: "Normal", 2: "Federated"}, 1),
        choice(
            "MessageFormat", "Content type of the message", {1: "Binary XML", 2: "Json", 3: "Text XML"}, 1
        ),
        choice("MessageCharset", "Character encoding of messages", {0: "Default", 1: "UTF8"}),
        choice("UserClaim", "User Claim", {1: "None", 2: "UserId", 3: "UserInfo"}, 1),
        text("NamespaceAddress", "Namespace Address", 255),
        text("Path", "Path", 160),
        text("SolutionNamespace", "Service Namespace", 160),
        flag("IsManaged", "State", labels=("Unmanaged", "Managed"), **READ_ONLY),
        *_made_and_changed(
            "createdby_serviceendpoint", "modifiedby_serviceendpoint", "lk_serviceendpointbase"
        ),
    ),
)

SDKMESSAGEPROCESSINGSTEP = Table(
    name="sdkmessageprocessingstep",
    schema_name="SdkMessageProcessingStep",
    set_name="sdkmessageprocessingsteps",
    label="Sdk Message Processing Step",
    plural="Sdk Message Processing Steps",
    primary_id="sdkmessageprocessingstepid",
    primary_name="name",
    type_code=4608,
    bulk=False,
    change_tracking=False,
    ownership="OrganizationOwned",
    columns=(
        ident("SdkMessageProcessingStepId", "Sdk Message Processing Step"),
        text("Name", "Name", 256, required="SystemRequired"),
        text("Description", "Description", 256),
        flag("AsyncAutoDelete", "Asynchronous Automatic Delete"),
        flag("CanBeBypassed", ""),
        flag("CanUseReadOnlyConnection", "Intent"),
        text("Category", "Category", 100),
        text("Configuration", "Configuration", LONGEST_MEMO),
        text("FilteringAttributes", "Filtering Attributes", 100_000),
        choice("InvocationSource", "Invocation Source", {-1: "Internal", 0: "Parent", 1: "Child"}, 0),
        choice("Mode", "Execution Mode", {0: "Synchronous", 1: "Asynchronous"}, 0),
        whole("Rank", "Execution Order", default=0),
        choice("Stage", "Execution Stage", _STAGES, 10),
        choice(
            "SupportedDeployment",
            "Deployment",
            {0: "Server Only", 1: "Microsoft Dynamics 365 Client for Outlook Only", 2: "Both"},
            0,
        ),
        *state([(0, "Enabled", {1: "Enabled"}), (1, "Disabled", {2: "Disabled"})]),
        lookup(
            "EventHandler",
            "Event Handler",
            to(
                "serviceendpoint",
                "eventhandler_serviceendpoint",
                "serviceendpoint_sdkmessageprocessingstep",
                "Cascade",
            ),
            required="SystemRequired",
        ),
        lookup(
            "SdkMessageId",
            "SDK Message",
            to("sdkmessage", "sdkmessageid", "sdkmessageid_sdkmessageprocessingstep", "Restrict"),
            required="SystemRequired",
        ),
        lookup(
            "SdkMessageFilterId",
            "SdkMessage Filter",
            to(
                "sdkmessagefilter",
                "sdkmessagefilterid",
                "sdkmessagefilterid_sdkmessageprocessingstep",
                "Restrict",
            ),
        ),
        lookup(
            "ImpersonatingUserId",
            "Impersonating User",
            to("systemuser", "impersonatinguserid", "impersonatinguserid_sdkmessageprocessingstep"),
        ),
        flag("IsManaged", "State", labels=("Unmanaged", "Managed"), **READ_ONLY),
        guid("SolutionId", "Solution", **READ_ONLY),
        *_made_and_changed(
            "createdby_sdkmessageprocessingstep",
            "modifiedby_sdkmessageprocessingstep",
            "lk_sdkmessageprocessingstep",
        ),
        VERSION,
    ),
)
STEPS = (SDKMESSAGEPROCESSINGSTEP, SERVICEENDPOINT)
