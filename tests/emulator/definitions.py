"""Definitions of tables and columns as Microsoft's pages print them, for tests that change metadata."""

from __future__ import annotations

API = "/api/data/v9.2"
BANK = f"{API}/EntityDefinitions(LogicalName='sample_bankaccount')"


def label(text):
    return {
        "@odata.type": "Microsoft.Dynamics.CRM.Label",
        "LocalizedLabels": [
            {"@odata.type": "Microsoft.Dynamics.CRM.LocalizedLabel", "Label": text, "LanguageCode": 1033}
        ],
    }


def column(kind, name, **more):
    return {
        "@odata.type": f"Microsoft.Dynamics.CRM.{kind}AttributeMetadata",
        "SchemaName": name,
        "DisplayName": label(name.partition("_")[2]),
        "RequiredLevel": {
            "Value": "None",
            "CanBeChanged": True,
            "ManagedPropertyLogicalName": "canmodifyrequirementlevelsettings",
        },
        **more,
    }


def table(name="sample_BankAccount", *columns, **more):
    return {
        "@odata.type": "Microsoft.Dynamics.CRM.EntityMetadata",
        "SchemaName": name,
        "DisplayName": label("Bank Account"),
        "DisplayCollectionName": label("Bank Accounts"),
        "Description": label("A table to store information about customer bank accounts"),
        "HasActivities": False,
        "HasNotes": False,
        "IsActivity": False,
        "OwnershipType": "UserOwned",
        "Attributes": [
            column("String", f"{name.partition('_')[0]}_Name", IsPrimaryName=True, MaxLength=100),
            *columns,
        ],
        **more,
    }


def options(*values):
    return {
        "@odata.type": "Microsoft.Dynamics.CRM.OptionSetMetadata",
        "OptionSetType": "Picklist",
        "IsGlobal": False,
        "Options": [{"Value": value, "Label": label(text)} for value, text in values],
    }


def lookup(name, referenced, referencing="sample_bankaccount", **more):
    return {
        "@odata.type": "Microsoft.Dynamics.CRM.OneToManyRelationshipMetadata",
        "SchemaName": f"{referencing}_{referenced}",
        "ReferencedEntity": referenced,
        "ReferencingEntity": referencing,
        "CascadeConfiguration": {"Delete": "RemoveLink"},
        "Lookup": column("Lookup", name),
        **more,
    }
