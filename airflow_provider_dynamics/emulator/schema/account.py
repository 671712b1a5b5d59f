"""The account table.

https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/account
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from airflow_provider_dynamics.emulator.schema.columns import (
    choice,
    choices,
    day,
    file,
    flag,
    ident,
    image,
    lookup,
    memo,
    moment,
    money,
    state,
    text,
    to,
    whole,
)
from airflow_provider_dynamics.emulator.schema.common import (
    APPOINTMENT_DAYS,
    CONTACT_METHODS,
    INDUSTRIES,
    PAYMENT_TERMS,
    address,
    audit,
    currency,
    mail_preferences,
    owner,
)
from airflow_provider_dynamics.emulator.schema.model import Key, Table

_ROLLUP: dict[str, Any] = {"create": False, "update": False}
CUSTOMER_TYPES = {
    1: "Competitor",
    2: "Consultant",
    3: "Customer",
    4: "Investor",
    5: "Partner",
    6: "Influencer",
    7: "Press",
    8: "Prospect",
    9: "Reseller",
    10: "Supplier",
    11: "Vendor",
    12: "Other",
}
SERVICES = {
    100000000: "Installation",
    100000001: "Maintenance",
    100000002: "Training",
    100000003: "Consulting",
    100000004: "Financing",
}

ACCOUNT = Table(
    name="account",
    schema_name="Account",
    set_name="accounts",
    label="Account",
    plural="Accounts",
    primary_id="accountid",
    primary_name="name",
    type_code=1,
    keys=(Key("contoso_accountnumberkey", "Account Number", ("accountnumber",)),),
    columns=(
        ident("AccountId", "Account"),
        text("Name", "Account Name", 160, required="ApplicationRequired"),
        text("AccountNumber", "Account Number", 20),
        *state([(0, "Active", {1: "Active"}), (1, "Inactive", {2: "Inactive"})]),
        choice("AccountCategoryCode", "Category", {1: "Preferred Customer", 2: "Standard"}),
        choice("AccountClassificationCode", "Classification", {1: "Default Value"}, 1),
        choice("AccountRatingCode", "Account Rating", {1: "Default Value"}, 1),
        choice("BusinessTypeCode", "Business Type", {1: "Default Value"}, 1),
        choice("CustomerSizeCode", "Customer Size", {1: "Default Value"}, 1),
        choice("CustomerTypeCode", "Relationship Type", CUSTOMER_TYPES),
        choice("IndustryCode", "Industry", INDUSTRIES),
        choice("OwnershipCode", "Ownership", {1: "Public", 2: "Private", 3: "Subsidiary", 4: "Other"}),
        choice("PaymentTermsCode", "Payment Terms", PAYMENT_TERMS),
        choice("PreferredAppointmentDayCode", "Preferred Day", APPOINTMENT_DAYS),
        choice("PreferredContactMethodCode", "Preferred Method of Contact", CONTACT_METHODS, 1),
        choice("TerritoryCode", "Territory Code", {1: "Default Value"}, 1),
        choices("contoso_Services", "Services", SERVICES, custom=True),
        memo("Description", "Description"),
        text("EMailAddress1", "Email", 100, format="Email"),
        text("EMailAddress2", "Email Address 2", 100, format="Email"),
        text("Telephone1", "Main Phone", 50),
        text("Telephone2", "Other Phone", 50),
        text("Fax", "Fax", 50),
        text("WebSiteURL", "Website", 200, format="Url"),
        text("TickerSymbol", "Ticker Symbol", 10, format="TickerSymbol"),
        text("StockExchange", "Stock Exchange", 20),
        text("SIC", "SIC Code", 20),
        text("YomiName", "Yomi Account Name", 160, format="PhoneticGuide"),
        whole("NumberOfEmployees", "Number of Employees", 0, 1_000_000_000),
        whole("SharesOutstanding", "Shares Outstanding", 0, 1_000_000_000),
        *money("Revenue", "Annual Revenue"),
        *money("CreditLimit", "Credit Limit"),
        *money("MarketCap", "Market Capitalization"),
        *money("Aging30", "Aging 30", create=False, update=False),
        whole("OpenDeals", "Open Deals", 0, source_type=2, **_ROLLUP),
        *(replace(column, source_type=2) for column in money("OpenRevenue", "Open Revenue", **_ROLLUP)),
        *(
            column
            for name in ("OpenDeals", "OpenRevenue")
            for column in (
                moment(f"{name}_Date", f"{name} (Last Updated On)", **_ROLLUP),
                whole(f"{name}_State", f"{name} (State)", **_ROLLUP),
            )
        ),
        flag("CreditOnHold", "Credit Hold"),
        flag("MarketingOnly", "Marketing Only"),
        flag("Merged", "Merged", create=False, update=False),
        *mail_preferences(),
        day("contoso_FoundedOn", "Founded On", custom=True),
        moment("contoso_NextDelivery", "Next Delivery", "TimeZoneIndependent", custom=True),
        moment("LastUsedInCampaign", "Last Date Included in Campaign", format="DateOnly"),
        moment("LastOnHoldTime", "Last On Hold Time"),
        *address(1),
        lookup(
            "PrimaryContactId",
            "Primary Contact",
            to("contact", "primarycontactid", "account_primary_contact"),
        ),
        lookup(
            "ParentAccountId", "Parent Account", to("account", "parentaccountid", "account_parent_account")
        ),
        lookup(
            "MasterId",
            "Master ID",
            to("account", "masterid", "account_master_account"),
            create=False,
            update=False,
        ),
        lookup(
            "PreferredSystemUserId",
            "Preferred User",
            to("systemuser", "preferredsystemuserid", "system_user_accounts"),
        ),
        lookup(
            "OriginatingLeadId",
            "Originating Lead",
            to("lead", "originatingleadid", "account_originating_lead"),
        ),
        *image("EntityImage", "Default Image", primary_image=True, full_image=True),
        *image("sample_ImageColumn", "Image Column", full_image=True, custom=True),
        *file("sample_FileColumn", "File Column", 102_400, custom=True),
        *currency("transactioncurrency_account"),
        *owner("owner_accounts", "user_accounts", "team_accounts", "business_unit_accounts"),
        *audit("lk_accountbase_createdby", "lk_accountbase_modifiedby", "lk_accountbase"),
    ),
)
