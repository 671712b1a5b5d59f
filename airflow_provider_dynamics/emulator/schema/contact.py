"""The contact table.

https://learn.microsoft.com/power-apps/developer/data-platform/reference/entities/contact
"""

from __future__ import annotations

from airflow_provider_dynamics.emulator.schema.columns import (
    choice,
    choices,
    day,
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
    APPOINTMENT_DAYS,
    CONTACT_METHODS,
    PAYMENT_TERMS,
    address,
    audit,
    currency,
    mail_preferences,
    owner,
)
from airflow_provider_dynamics.emulator.schema.model import Key, Table

INTERESTS = {
    1: "Swimming",
    2: "Hiking",
    3: "Cycling",
    4: "Fishing",
    5: "Hunting",
    6: "Running",
    7: "Boating",
    8: "Climbing",
    9: "Camping",
}
ROLES = {1: "Decision Maker", 2: "Employee", 3: "Influencer"}

CONTACT = Table(
    name="contact",
    schema_name="Contact",
    set_name="contacts",
    label="Contact",
    plural="Contacts",
    primary_id="contactid",
    primary_name="fullname",
    type_code=2,
    keys=(Key("contoso_emailkey", "Email", ("emailaddress1",)),),
    columns=(
        ident("ContactId", "Contact"),
        text("FirstName", "First Name", 50, required="Recommended"),
        text("MiddleName", "Middle Name", 50),
        text("LastName", "Last Name", 50, required="ApplicationRequired"),
        text("FullName", "Full Name", 160, create=False, update=False),
        text("Salutation", "Salutation", 100),
        text("Suffix", "Suffix", 10),
        text("NickName", "Nickname", 100),
        text("JobTitle", "Job Title", 100),
        text("Department", "Department", 100),
        text("ManagerName", "Manager", 100),
        *state([(0, "Active", {1: "Active"}), (1, "Inactive", {2: "Inactive"})]),
        choice("AccountRoleCode", "Role", ROLES),
        choice(
            "FamilyStatusCode", "Marital Status", {1: "Single", 2: "Married", 3: "Divorced", 4: "Widowed"}
        ),
        choice("GenderCode", "Gender", {1: "Male", 2: "Female"}),
        choice("EducationCode", "Education", {1: "Default Value"}, 1),
        choice("CustomerTypeCode", "Relationship Type", {1: "Default Value"}, 1),
        choice("LeadSourceCode", "Lead Source", {1: "Default Value"}, 1),
        choice("PaymentTermsCode", "Payment Terms", PAYMENT_TERMS),
        choice("PreferredAppointmentDayCode", "Preferred Day", APPOINTMENT_DAYS),
        choice("PreferredContactMethodCode", "Preferred Method of Contact", CONTACT_METHODS, 1),
        choices("sample_OutdoorActivities", "Outdoor Activities", INTERESTS, custom=True),
        memo("Description", "Description"),
        text("EMailAddress1", "Email", 100, format="Email"),
        text("EMailAddress2", "Email Address 2", 100, format="Email"),
        text("MobilePhone", "Mobile Phone", 50),
        text("Telephone1", "Business Phone", 50),
        text("Telephone2", "Home Phone", 50),
        text("Fax", "Fax", 50),
        text("WebSiteUrl", "Website", 200, format="Url"),
        text("EmployeeId", "Employee", 50),
        text("GovernmentId", "Government", 50),
        text("SpousesName", "Spouse/Partner Name", 100),
        whole("NumberOfChildren", "No. of Children", 0, 1_000_000_000),
        day("BirthDate", "Birthday"),
        day("Anniversary", "Anniversary"),
        *money("AnnualIncome", "Annual Income"),
        *money("CreditLimit", "Credit Limit"),
        flag("CreditOnHold", "Credit Hold"),
        flag("MarketingOnly", "Marketing Only"),
        flag("IsBackofficeCustomer", "Back Office Customer"),
        *mail_preferences(),
        *address(1),
        lookup(
            "ParentCustomerId",
            "Company Name",
            to("account", "parentcustomerid_account", "contact_customer_accounts"),
            to("contact", "parentcustomerid_contact", "contact_customer_contacts"),
            kind="Customer",
        ),
        flag("Merged", "Merged", create=False, update=False),
        lookup(
            "MasterId",
            "Master ID",
            to("contact", "masterid", "contact_master_contact"),
            create=False,
            update=False,
        ),
        lookup(
            "PreferredSystemUserId",
            "Preferred User",
            to("systemuser", "preferredsystemuserid", "system_user_contacts"),
        ),
        lookup(
            "OriginatingLeadId",
            "Originating Lead",
            to("lead", "originatingleadid", "contact_originating_lead"),
        ),
        *currency("transactioncurrency_contact"),
        *owner("owner_contacts", "contact_owning_user", "team_contacts", "business_unit_contacts"),
        *audit("lk_contactbase_createdby", "lk_contactbase_modifiedby", "lk_contact"),
    ),
)
