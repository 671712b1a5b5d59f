"""Columns that many tables share: who made and owns a row, addresses, mail preferences."""

from __future__ import annotations

from airflow_provider_dynamics.emulator.schema.columns import (
    choice,
    decimal,
    double,
    flag,
    lookup,
    moment,
    text,
    to,
    whole,
)
from airflow_provider_dynamics.emulator.schema.model import Column

APPOINTMENT_DAYS = {
    0: "Sunday",
    1: "Monday",
    2: "Tuesday",
    3: "Wednesday",
    4: "Thursday",
    5: "Friday",
    6: "Saturday",
}
CONTACT_METHODS = {1: "Any", 2: "Email", 3: "Phone", 4: "Fax", 5: "Mail"}
PAYMENT_TERMS = {1: "Net 30", 2: "2% 10, Net 30", 3: "Net 45", 4: "Net 60"}
ALLOWED = ("Allow", "Do Not Allow")
INDUSTRIES = {
    1: "Accounting",
    2: "Agriculture and Non-petrol Natural Resource Extraction",
    3: "Broadcasting Printing and Publishing",
    4: "Brokers",
    5: "Building Supply Retail",
    6: "Business Services",
    7: "Consulting",
    8: "Consumer Services",
    9: "Design, Direction and Creative Management",
    10: "Distributors, Dispatchers and Processors",
    11: "Doctor's Offices and Clinics",
    12: "Durable Manufacturing",
    13: "Eating and Drinking Places",
    14: "Entertainment Retail",
    15: "Equipment Rental and Leasing",
    16: "Financial",
    17: "Food and Tobacco Processing",
    18: "Inbound Capital Intensive Processing",
    19: "Inbound Repair and Services",
    20: "Insurance",
    21: "Legal Services",
    22: "Non-Durable Merchandise Retail",
    23: "Outbound Consumer Service",
    24: "Petrochemical Extraction and Distribution",
    25: "Service Retail",
    26: "SIG Affiliations",
    27: "Social Services",
    28: "Special Outbound Trade Contractors",
    29: "Specialty Realty",
    30: "Transportation",
    31: "Utility Creation and Distribution",
    32: "Vehicle Retail",
    33: "Wholesale",
}


def audit(created_by: str, modified_by: str, on_behalf: str, suffix: str = "") -> tuple[Column, ...]:
    """Who and when: ``created_by`` and ``modified_by`` are relationship names, ``on_behalf`` their common stem.

    ``suffix`` is what activities add to their navigation properties ("createdby_task").
    """
    users = (
        ("CreatedBy", "Created By", created_by),
        ("ModifiedBy", "Modified By", modified_by),
        ("CreatedOnBehalfBy", "Created By (Delegate)", f"{on_behalf}_createdonbehalfby"),
        ("ModifiedOnBehalfBy", "Modified By (Delegate)", f"{on_behalf}_modifiedonbehalfby"),
    )
    return (
        moment("CreatedOn", "Created On", create=False, update=False),
        moment("ModifiedOn", "Modified On", create=False, update=False),
        *(
            lookup(
                name, label, to("systemuser", name.lower() + suffix, relationship), create=False, update=False
            )
            for name, label, relationship in users
        ),
        moment("OverriddenCreatedOn", "Record Created On", update=False, format="DateOnly"),
        whole("ImportSequenceNumber", "Import Sequence Number", update=False),
        whole("UTCConversionTimeZoneCode", "UTC Conversion Time Zone Code", -1),
        VERSION,
    )


VERSION = Column("versionnumber", "VersionNumber", "BigInt", "Version Number", create=False, update=False)


def owner(
    relationship: str, user: str, team: str, business_unit: str, suffix: str = ""
) -> tuple[Column, ...]:
    """Who owns the row, and the three columns Dataverse keeps beside it."""
    return (
        lookup(
            "OwnerId",
            "Owner",
            to("systemuser", f"ownerid{suffix}", relationship),
            to("team", f"ownerid{suffix}", relationship),
            kind="Owner",
            required="SystemRequired",
        ),
        lookup(
            "OwningUser",
            "Owning User",
            to("systemuser", f"owninguser{suffix}", user),
            create=False,
            update=False,
        ),
        lookup(
            "OwningTeam", "Owning Team", to("team", f"owningteam{suffix}", team), create=False, update=False
        ),
        lookup(
            "OwningBusinessUnit",
            "Owning Business Unit",
            to("businessunit", f"owningbusinessunit{suffix}", business_unit),
            create=False,
            update=False,
        ),
    )


def currency(relationship: str, suffix: str = "") -> tuple[Column, ...]:
    """The currency of a row's amounts and the rate they were converted at."""
    return (
        lookup(
            "TransactionCurrencyId",
            "Currency",
            to("transactioncurrency", f"transactioncurrencyid{suffix}", relationship, "Restrict"),
        ),
        decimal(
            "ExchangeRate",
            "Exchange Rate",
            10,
            minimum=0.0000000001,
            maximum=900_000_000.0,
            create=False,
            update=False,
        ),
    )


def address(number: int, *, primary_contact: bool = True) -> tuple[Column, ...]:
    """The parts of one address; the composite is put together by the service."""
    stem, label = f"Address{number}_", f"Address {number}: "
    parts = (
        ("Line1", "Street 1", 250),
        ("Line2", "Street 2", 250),
        ("City", "City", 80),
        ("StateOrProvince", "State/Province", 50),
        ("PostalCode", "ZIP/Postal Code", 20),
        ("Country", "Country/Region", 80),
    )
    contact = (
        (text(f"{stem}PrimaryContactName", f"{label}Primary Contact Name", 100),) if primary_contact else ()
    )
    return (
        choice(
            f"{stem}AddressTypeCode",
            f"{label}Address Type",
            {1: "Bill To", 2: "Ship To", 3: "Primary", 4: "Other"},
        ),
        *(text(f"{stem}{name}", f"{label}{title}", length) for name, title, length in parts),
        double(f"{stem}Latitude", f"{label}Latitude", 5, -90, 90),
        double(f"{stem}Longitude", f"{label}Longitude", 5, -180, 180),
        *contact,
        text(f"{stem}Composite", f"Address {number}", 1000, create=False, update=False),
    )


def mail_preferences() -> tuple[Column, ...]:
    """What a customer does not want to receive."""
    return (
        flag("DoNotBulkEMail", "Do not allow Bulk Emails", labels=ALLOWED),
        flag("DoNotEMail", "Do not allow Emails", labels=ALLOWED),
        flag("DoNotFax", "Do not allow Faxes", labels=ALLOWED),
        flag("DoNotPhone", "Do not allow Phone Calls", labels=ALLOWED),
        flag("DoNotPostalMail", "Do not allow Mails", labels=ALLOWED),
        flag("FollowEmail", "Follow Email Activity", True, ALLOWED[::-1]),
    )
