"""Tables of the platform itself: organization, currencies, and which message serves which table.

``sdkmessagefilter`` is how a client learns whether a table has CreateMultiple and UpdateMultiple:
https://learn.microsoft.com/power-apps/developer/data-platform/bulk-operations
"""

from __future__ import annotations

from airflow_provider_dynamics.emulator.schema.columns import (
    decimal,
    flag,
    ident,
    lookup,
    state,
    text,
    to,
    whole,
)
from airflow_provider_dynamics.emulator.schema.common import audit
from airflow_provider_dynamics.emulator.schema.model import Column, Table

TRANSACTIONCURRENCY = Table(
    name="transactioncurrency",
    schema_name="TransactionCurrency",
    set_name="transactioncurrencies",
    label="Currency",
    plural="Currencies",
    primary_id="transactioncurrencyid",
    primary_name="currencyname",
    type_code=9105,
    bulk=False,
    change_tracking=False,
    ownership="OrganizationOwned",
    columns=(
        ident("TransactionCurrencyId", "Transaction Currency"),
        text("CurrencyName", "Currency Name", 100, required="SystemRequired"),
        text("ISOCurrencyCode", "Currency Code", 5, required="SystemRequired"),
        text("CurrencySymbol", "Currency Symbol", 13, required="SystemRequired"),
        whole("CurrencyPrecision", "Currency Precision", 0, 4, default=2),
        decimal("ExchangeRate", "Exchange Rate", 10, minimum=0.0000000001, maximum=900_000_000.0),
        *state([(0, "Active", {1: "Active"}), (1, "Inactive", {2: "Inactive"})]),
        *audit(
            "lk_transactioncurrencybase_createdby",
            "lk_transactioncurrencybase_modifiedby",
            "lk_transactioncurrency",
        ),
    ),
)

ORGANIZATION = Table(
    name="organization",
    schema_name="Organization",
    set_name="organizations",
    label="Organization",
    plural="Organizations",
    primary_id="organizationid",
    primary_name="name",
    type_code=1019,
    bulk=False,
    change_tracking=False,
    ownership="None",
    columns=(
        ident("OrganizationId", "Organization"),
        text("Name", "Organization Name", 160, create=False, update=False),
        text("FriendlyName", "Friendly Name", 160, create=False, update=False),
        text("Version", "Version", 30, create=False, update=False),
        text("SchemaNamePrefix", "Customization Name Prefix", 8, create=False, update=False),
        whole("LanguageCode", "Language", create=False, update=False),
        whole("ExpireChangeTrackingInDays", "Days to Expire Change Tracking Deltas", 0, 365),
        flag("IsAuditEnabled", "Is Auditing Enabled"),
        lookup(
            "BaseCurrencyId",
            "Currency",
            to("transactioncurrency", "basecurrencyid", "basecurrency_organization", "Restrict"),
        ),
        *audit("lk_organizationbase_createdby", "lk_organizationbase_modifiedby", "lk_organization"),
    ),
)

SDKMESSAGE = Table(
    name="sdkmessage",
    schema_name="SdkMessage",
    set_name="sdkmessages",
    label="Sdk Message",
    plural="Sdk Messages",
    primary_id="sdkmessageid",
    primary_name="name",
    type_code=4606,
    bulk=False,
    change_tracking=False,
    ownership="OrganizationOwned",
    writable=False,
    columns=(
        ident("SdkMessageId", "SDK Message ID"),
        text("Name", "Name", 256),
        text("CategoryName", "Category Name", 25),
        flag("IsPrivate", "Is Private"),
        Column("versionnumber", "VersionNumber", "BigInt", "Version Number", create=False, update=False),
    ),
)

SDKMESSAGEFILTER = Table(
    name="sdkmessagefilter",
    schema_name="SdkMessageFilter",
    set_name="sdkmessagefilters",
    label="Sdk Message Filter",
    plural="Sdk Message Filters",
    primary_id="sdkmessagefilterid",
    primary_name="name",
    type_code=4607,
    bulk=False,
    change_tracking=False,
    ownership="OrganizationOwned",
    writable=False,
    columns=(
        ident("SdkMessageFilterId", "SDK Message Filter ID"),
        text("Name", "Name", 256),
        Column("primaryobjecttypecode", "PrimaryObjectTypeCode", "EntityName", "Primary Object Type Code"),
        flag("IsVisible", "Is Visible", True),
        flag("IsCustomProcessingStepAllowed", "Custom Processing Step Allowed"),
        lookup(
            "SdkMessageId",
            "SDK Message ID",
            to("sdkmessage", "sdkmessageid", "sdkmessageid_sdkmessagefilter"),
        ),
        Column("versionnumber", "VersionNumber", "BigInt", "Version Number", create=False, update=False),
    ),
)
