"""The activities that record how opportunities and cases were closed.

https://learn.microsoft.com/dynamics365/sales/developer/entities/opportunityclose and
https://learn.microsoft.com/dynamics365/customer-service/develop/reference/entities/incidentresolution
"""

from __future__ import annotations

from airflow_provider_dynamics.emulator.schema.columns import (
    ident,
    lookup,
    memo,
    moment,
    money,
    state,
    text,
    to,
    whole,
)
from airflow_provider_dynamics.emulator.schema.common import audit, currency, owner
from airflow_provider_dynamics.emulator.schema.model import Column, Table


def _record(name: str, label: str) -> tuple[Column, ...]:
    """What both kinds of record have."""
    return (
        ident("ActivityId", label),
        text("Subject", "Subject", 200),
        memo("Description", "Description"),
        *state(
            [(0, "Open", {1: "Open"}), (1, "Completed", {2: "Completed"}), (2, "Canceled", {3: "Canceled"})]
        ),
        text("ActivityTypeCode", "Activity Type", 100, create=False, update=False, default=name),
        moment("ActualStart", "Actual Start"),
        moment("ActualEnd", "Actual End"),
    )


def _common(name: str, schema_name: str) -> tuple[Column, ...]:
    suffix = f"_{name}"
    return (
        *currency(f"TransactionCurrency_{schema_name}", suffix),
        *owner(f"owner_{name}s", f"user_{name}", f"team_{name}", f"business_unit_{name}", suffix),
        *audit(f"lk_{name}_createdby", f"lk_{name}_modifiedby", f"lk_{name}", suffix),
    )


OPPORTUNITYCLOSE = Table(
    name="opportunityclose",
    schema_name="OpportunityClose",
    set_name="opportunitycloses",
    label="Opportunity Close",
    plural="Opportunity Close Activities",
    primary_id="activityid",
    primary_name="subject",
    type_code=4208,
    is_activity=True,
    bulk=False,
    columns=(
        *_record("opportunityclose", "Opportunity Close"),
        *money("ActualRevenue", "Actual Revenue"),
        lookup(
            "OpportunityId",
            "Opportunity",
            to("opportunity", "opportunityid", "Opportunity_OpportunityClose", "Cascade"),
        ),
        *_common("opportunityclose", "OpportunityClose"),
    ),
)

INCIDENTRESOLUTION = Table(
    name="incidentresolution",
    schema_name="IncidentResolution",
    set_name="incidentresolutions",
    label="Case Resolution",
    plural="Case Resolutions",
    primary_id="activityid",
    primary_name="subject",
    type_code=4206,
    is_activity=True,
    bulk=False,
    columns=(
        *_record("incidentresolution", "Case Resolution"),
        whole("TimeSpent", "Time Spent", 0),
        lookup("IncidentId", "Case", to("incident", "incidentid", "Incident_IncidentResolutions", "Cascade")),
        *_common("incidentresolution", "IncidentResolution"),
    ),
)
