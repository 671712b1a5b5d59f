"""The lead and opportunity tables of Dynamics 365 Sales.

https://learn.microsoft.com/dynamics365/sales/developer/entities/lead and …/opportunity
"""

from __future__ import annotations

from airflow_provider_dynamics.emulator.schema.columns import (
    choice,
    day,
    decimal,
    flag,
    ident,
    lookup,
    memo,
    money,
    state,
    text,
    to,
    whole,
)
from airflow_provider_dynamics.emulator.schema.common import (
    INDUSTRIES,
    address,
    audit,
    currency,
    mail_preferences,
    owner,
)
from airflow_provider_dynamics.emulator.schema.model import Table

LEAD_SOURCES = {
    1: "Advertisement",
    2: "Employee Referral",
    3: "External Referral",
    4: "Partner",
    5: "Public Relations",
    6: "Seminar",
    7: "Trade Show",
    8: "Web",
    9: "Word of Mouth",
    10: "Other",
}
TIMEFRAMES = {0: "Immediate", 1: "This Quarter", 2: "Next Quarter", 3: "This Year", 4: "Unknown"}
RATINGS = {1: "Hot", 2: "Warm", 3: "Cold"}
BUDGETS = {0: "No Committed Budget", 1: "May Buy", 2: "Can Buy", 3: "Will Buy"}


def _customer(prefix: str) -> tuple[tuple[str, str, str, str], ...]:
    return (
        ("account", "customerid_account", f"{prefix}_customer_accounts", "Cascade"),
        ("contact", "customerid_contact", f"{prefix}_customer_contacts", "Cascade"),
    )


LEAD = Table(
    name="lead",
    schema_name="Lead",
    set_name="leads",
    label="Lead",
    plural="Leads",
    primary_id="leadid",
    primary_name="fullname",
    type_code=4,
    columns=(
        ident("LeadId", "Lead"),
        text("Subject", "Topic", 300, required="ApplicationRequired"),
        text("FirstName", "First Name", 50, required="Recommended"),
        text("LastName", "Last Name", 50, required="ApplicationRequired"),
        text("FullName", "Name", 160, create=False, update=False),
        text("CompanyName", "Company Name", 100),
        text("JobTitle", "Job Title", 100),
        text("EMailAddress1", "Email", 100, format="Email"),
        text("MobilePhone", "Mobile Phone", 20),
        text("Telephone1", "Business Phone", 50),
        text("WebSiteUrl", "Website", 200, format="Url"),
        memo("Description", "Description"),
        *state(
            [
                (0, "Open", {1: "New", 2: "Contacted"}),
                (1, "Qualified", {3: "Qualified"}),
                (
                    2,
                    "Disqualified",
                    {4: "Lost", 5: "Cannot Contact", 6: "No Longer Interested", 7: "Canceled"},
                ),
            ]
        ),
        choice("LeadQualityCode", "Rating", RATINGS, 2),
        choice("LeadSourceCode", "Lead Source", LEAD_SOURCES),
        choice("IndustryCode", "Industry", INDUSTRIES),
        choice("PurchaseTimeFrame", "Purchase Timeframe", TIMEFRAMES),
        choice("BudgetStatus", "Budget", BUDGETS),
        whole("NumberOfEmployees", "No. of Employees", 0, 1_000_000),
        *money("EstimatedAmount", "Est. Value"),
        *money("Revenue", "Annual Revenue"),
        *money("BudgetAmount", "Budget Amount"),
        day("EstimatedCloseDate", "Est. Close Date"),
        flag("DecisionMaker", "Decision Maker?", labels=("mark incomplete", "completed")),
        *mail_preferences(),
        *address(1, primary_contact=False),
        lookup(
            "CustomerId",
            "Customer",
            *(to(*target) for target in _customer("lead")),
            kind="Customer",
        ),
        lookup(
            "ParentAccountId",
            "Parent Account for lead",
            to("account", "parentaccountid", "lead_parent_account"),
        ),
        lookup(
            "ParentContactId",
            "Parent Contact for lead",
            to("contact", "parentcontactid", "lead_parent_contact"),
        ),
        lookup(
            "QualifyingOpportunityId",
            "Qualifying Opportunity",
            to("opportunity", "qualifyingopportunityid", "lead_qualifying_opportunity"),
        ),
        lookup(
            "OriginatingCaseId",
            "Originating Case",
            to("incident", "originatingcaseid", "OriginatingCase_Lead"),
        ),
        flag("Merged", "Merged", create=False, update=False),
        lookup(
            "MasterId",
            "Master ID",
            to("lead", "masterid", "lead_master_lead"),
            create=False,
            update=False,
        ),
        *currency("transactioncurrency_lead"),
        *owner("owner_leads", "lead_owning_user", "lead_owning_team", "business_unit_leads"),
        *audit("lk_leadbase_createdby", "lk_leadbase_modifiedby", "lk_lead"),
    ),
)

OPPORTUNITY = Table(
    name="opportunity",
    schema_name="Opportunity",
    set_name="opportunities",
    label="Opportunity",
    plural="Opportunities",
    primary_id="opportunityid",
    primary_name="name",
    type_code=3,
    columns=(
        ident("OpportunityId", "Opportunity"),
        text("Name", "Topic", 300, required="ApplicationRequired"),
        *state(
            [
                (0, "Open", {1: "In Progress", 2: "On Hold"}),
                (1, "Won", {3: "Won"}),
                (2, "Lost", {4: "Canceled", 5: "Out-Sold"}),
            ]
        ),
        memo("Description", "Description"),
        memo("CustomerNeed", "Customer Need"),
        memo("ProposedSolution", "Proposed Solution"),
        choice("OpportunityRatingCode", "Rating", RATINGS, 2),
        choice("PriorityCode", "Priority", {1: "Default Value"}, 1),
        choice("SalesStageCode", "Process Code", {1: "Default Value"}, 1),
        choice("PurchaseTimeframe", "Purchase Timeframe", TIMEFRAMES),
        choice("BudgetStatus", "Budget", BUDGETS),
        text("StepName", "Pipeline Phase", 200),
        text("EmailAddress", "Email Address", 100, format="Email"),
        whole("CloseProbability", "Probability", 0, 100),
        decimal("DiscountPercentage", "Opportunity Discount (%)", 2, minimum=0.0, maximum=100.0),
        *money("EstimatedValue", "Est. Revenue"),
        *money("ActualValue", "Actual Revenue"),
        *money("BudgetAmount", "Budget Amount"),
        *money("TotalAmount", "Total Amount"),
        *money("TotalTax", "Total Tax"),
        day("EstimatedCloseDate", "Est. Close Date"),
        day("ActualCloseDate", "Actual Close Date"),
        day("FinalDecisionDate", "Final Decision Date"),
        flag("DecisionMaker", "Decision Maker?", labels=("mark incomplete", "completed")),
        flag("IsRevenueSystemCalculated", "Revenue", labels=("User Provided", "System Calculated")),
        lookup(
            "CustomerId",
            "Potential Customer",
            *(to(*target) for target in _customer("opportunity")),
            kind="Customer",
            required="SystemRequired",
        ),
        lookup("ParentAccountId", "Account", to("account", "parentaccountid", "opportunity_parent_account")),
        lookup("ParentContactId", "Contact", to("contact", "parentcontactid", "opportunity_parent_contact")),
        lookup(
            "OriginatingLeadId",
            "Originating Lead",
            to("lead", "originatingleadid", "opportunity_originating_lead"),
        ),
        *currency("transactioncurrency_opportunity"),
        *owner(
            "owner_opportunitys",
            "opportunity_owning_user",
            "team_opportunities",
            "business_unit_opportunities",
        ),
        *audit("lk_opportunitybase_createdby", "lk_opportunitybase_modifiedby", "lk_opportunity"),
    ),
)
