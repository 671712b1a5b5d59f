"""The case (incident), task and email tables.

https://learn.microsoft.com/dynamics365/customer-service/develop/reference/entities/incident and
https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/task and …/email
"""

from __future__ import annotations

from airflow_provider_dynamics.emulator.schema.columns import (
    choice,
    flag,
    ident,
    lookup,
    memo,
    moment,
    state,
    text,
    to,
    whole,
)
from airflow_provider_dynamics.emulator.schema.common import audit, currency, owner
from airflow_provider_dynamics.emulator.schema.model import Table

ORIGINS = {1: "Phone", 2: "Email", 3: "Web", 2483: "Facebook", 3986: "Twitter", 700610000: "IoT"}
SATISFACTION = {1: "Very Dissatisfied", 2: "Dissatisfied", 3: "Neutral", 4: "Satisfied", 5: "Very Satisfied"}

INCIDENT = Table(
    name="incident",
    schema_name="Incident",
    set_name="incidents",
    label="Case",
    plural="Cases",
    primary_id="incidentid",
    primary_name="title",
    type_code=112,
    columns=(
        ident("IncidentId", "Case"),
        text("Title", "Case Title", 200, required="ApplicationRequired"),
        text("TicketNumber", "Case Number", 100, update=False),
        memo("Description", "Description"),
        *state(
            [
                (0, "Active", {1: "In Progress", 2: "On Hold", 3: "Waiting for Details", 4: "Researching"}),
                (1, "Resolved", {5: "Problem Solved", 1000: "Information Provided"}),
                (2, "Canceled", {6: "Canceled", 2000: "Merged"}),
            ]
        ),
        choice("PriorityCode", "Priority", {1: "High", 2: "Normal", 3: "Low"}, 2),
        choice("CaseOriginCode", "Origin", ORIGINS),
        choice("CaseTypeCode", "Case Type", {1: "Question", 2: "Problem", 3: "Request"}),
        choice("CustomerSatisfactionCode", "Satisfaction", SATISFACTION),
        choice("SeverityCode", "Severity", {1: "Default Value"}, 1),
        choice("ContractServiceLevelCode", "Service Level", {1: "Gold", 2: "Silver", 3: "Bronze"}),
        text("ProductSerialNumber", "Serial Number", 100),
        text("EmailAddress", "Email Address", 100, format="Email"),
        flag("IsEscalated", "Is Escalated"),
        flag("CustomerContacted", "Customer Contacted"),
        flag("FirstResponseSent", "First Response Sent"),
        whole("BilledServiceUnits", "Billed Service Units", 0, 1_000_000_000),
        moment("FollowupBy", "Follow Up By", format="DateOnly"),
        moment("ResolveBy", "Resolve By"),
        moment("EscalatedOn", "Escalated On", create=False, update=False),
        lookup(
            "CustomerId",
            "Customer",
            to("account", "customerid_account", "incident_customer_accounts", "Cascade"),
            to("contact", "customerid_contact", "incident_customer_contacts", "Cascade"),
            kind="Customer",
            required="SystemRequired",
        ),
        lookup(
            "PrimaryContactId", "Contact", to("contact", "primarycontactid", "contact_as_primary_contact")
        ),
        lookup(
            "ResponsibleContactId",
            "Responsible Contact (Deprecated)",
            to("contact", "responsiblecontactid", "contact_as_responsible_contact"),
        ),
        lookup("ParentCaseId", "Parent Case", to("incident", "parentcaseid", "incident_parent_incident")),
        flag("Merged", "Internal Use Only", create=False, update=False),
        lookup(
            "MasterId",
            "Master ID",
            to("incident", "masterid", "incident_master_incident"),
            create=False,
            update=False,
        ),
        *currency("TransactionCurrency_Incident"),
        *owner("owner_incidents", "system_user_incidents", "team_incidents", "business_unit_incidents"),
        *audit("lk_incidentbase_createdby", "lk_incidentbase_modifiedby", "lk_incidentbase"),
    ),
)

_REGARDING = (
    ("account", "Account_Tasks"),
    ("contact", "Contact_Tasks"),
    ("lead", "Lead_Tasks"),
    ("opportunity", "Opportunity_Tasks"),
    ("incident", "Incident_Tasks"),
)

TASK = Table(
    name="task",
    schema_name="Task",
    set_name="tasks",
    label="Task",
    plural="Tasks",
    primary_id="activityid",
    primary_name="subject",
    type_code=4212,
    is_activity=True,
    bulk=False,
    columns=(
        ident("ActivityId", "Task"),
        text("Subject", "Subject", 200, required="ApplicationRequired"),
        memo("Description", "Description"),
        *state(
            [
                (
                    0,
                    "Open",
                    {2: "Not Started", 3: "In Progress", 4: "Waiting on someone else", 7: "Deferred"},
                ),
                (1, "Completed", {5: "Completed"}),
                (2, "Canceled", {6: "Canceled"}),
            ],
            "Activity Status",
        ),
        choice("PriorityCode", "Priority", {0: "Low", 1: "Normal", 2: "High"}, 1),
        text("ActivityTypeCode", "Activity Type", 100, create=False, update=False, default="task"),
        text("Category", "Category", 250),
        text("Subcategory", "Sub-Category", 250),
        whole("ActualDurationMinutes", "Duration", 0),
        whole("ScheduledDurationMinutes", "Scheduled Duration", create=False, update=False),
        whole("PercentComplete", "Percent Complete", 0, 100),
        flag("IsBilled", "Is Billed"),
        flag("IsWorkflowCreated", "Is Workflow Created"),
        flag("IsRegularActivity", "Is Regular Activity", True, create=False, update=False),
        moment("ScheduledStart", "Start Date"),
        moment("ScheduledEnd", "Due Date"),
        moment("ActualStart", "Actual Start", format="DateOnly"),
        moment("ActualEnd", "Actual End", format="DateOnly"),
        moment("SortDate", "Sort Date"),
        lookup(
            "RegardingObjectId",
            "Regarding",
            *(
                to(table, f"regardingobjectid_{table}_task", relationship, "Cascade")
                for table, relationship in _REGARDING
            ),
        ),
        *currency("TransactionCurrency_Task", "_task"),
        *owner("owner_tasks", "user_task", "team_task", "business_unit_task", "_task"),
        *audit("lk_task_createdby", "lk_task_modifiedby", "lk_task", "_task"),
    ),
)


EMAIL = Table(
    name="email",
    schema_name="Email",
    set_name="emails",
    label="Email",
    plural="Email Messages",
    primary_id="activityid",
    primary_name="subject",
    type_code=4202,
    is_activity=True,
    bulk=False,
    columns=(
        ident("ActivityId", "Email Message"),
        text("Subject", "Subject", 800),
        memo("Description", "Description", 1_073_741_823),
        text("Sender", "From", 250, create=False, update=False, format="Email"),
        text("ToRecipients", "To Recipients", 500, create=False, update=False),
        text("MessageId", "Message ID", 320),
        *state(
            [
                (0, "Open", {1: "Draft", 8: "Failed"}),
                (1, "Completed", {2: "Completed", 3: "Sent", 4: "Received", 6: "Pending Send", 7: "Sending"}),
                (2, "Canceled", {5: "Canceled"}),
            ],
            "Activity Status",
        ),
        choice("PriorityCode", "Priority", {0: "Low", 1: "Normal", 2: "High"}, 1),
        text("ActivityTypeCode", "Activity Type", 100, create=False, update=False, default="email"),
        flag("DirectionCode", "Direction", True, ("Incoming", "Outgoing")),
        flag("ReadReceiptRequested", "Read Receipt Requested"),
        moment("ScheduledEnd", "Due Date"),
        moment("SentOn", "Date Sent", create=False, update=False),
        lookup(
            "RegardingObjectId",
            "Regarding",
            *(
                to(
                    table,
                    f"regardingobjectid_{table}_email",
                    relationship.replace("_Tasks", "_Emails"),
                    "Cascade",
                )
                for table, relationship in _REGARDING
            ),
        ),
        *currency("TransactionCurrency_Email", "_email"),
        *owner("owner_emails", "user_email", "team_email", "business_unit_email_activities", "_email"),
        *audit("lk_email_createdby", "lk_email_modifiedby", "lk_email", "_email"),
    ),
)
