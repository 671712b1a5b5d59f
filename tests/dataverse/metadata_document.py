"""A small `$metadata` document: definitions as Microsoft's pages on actions and functions print them, and their types."""

from __future__ import annotations


def document(inside: str) -> bytes:
    """Return a document around a schema's elements."""
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices>'
        '<Schema Namespace="Microsoft.Dynamics.CRM" Alias="mscrm" xmlns="http://docs.oasis-open.org/odata/ns/edm">'
        f"{inside}</Schema></edmx:DataServices></edmx:Edmx>"
    ).encode()


def _entity(name: str, key: str = "", base: str = "crmbaseentity") -> str:
    inside = f'<Key><PropertyRef Name="{key}"/></Key>' if key else ""
    return f'<EntityType Name="{name}" BaseType="mscrm.{base}">{inside}</EntityType>'


_TYPES = (
    '<EntityType Name="crmbaseentity" Abstract="true"/>',
    _entity("principal", "ownerid"),
    _entity("activitypointer", "activityid"),
    _entity("systemuser", base="principal"),
    _entity("team", base="principal"),
    _entity("letter", base="activitypointer"),
    _entity("opportunityclose", base="activitypointer"),
    *(_entity(name, f"{name}id") for name in ("account", "contact", "queue", "queueitem", "solution")),
    *(_entity(name, f"{name}id") for name in ("campaign", "list", "annotation", "opportunity")),
    '<ComplexType Name="AddToQueueResponse"><Property Name="QueueItemId" Type="Edm.Guid" Nullable="false"/></ComplexType>',
    '<ComplexType Name="PrincipalAccess"><Property Name="AccessMask" Type="mscrm.AccessRights"/>',
    '<NavigationProperty Name="Principal" Type="mscrm.principal"/></ComplexType>',
    '<EnumType Name="AccessRights" IsFlags="true"><Member Name="None" Value="0"/>',
    '<Member Name="ReadAccess" Value="1"/><Member Name="WriteAccess" Value="2"/></EnumType>',
)
_OPERATIONS = """
<Action Name="WinOpportunity">
  <Parameter Name="OpportunityClose" Type="mscrm.opportunityclose" Nullable="false" />
  <Parameter Name="Status" Type="Edm.Int32" Nullable="false" />
</Action>
<Action Name="AddToQueue" IsBound="true">
  <Parameter Name="entity" Type="mscrm.queue" Nullable="false" />
  <Parameter Name="Target" Type="mscrm.crmbaseentity" Nullable="false" />
  <Parameter Name="SourceQueue" Type="mscrm.queue" />
  <Parameter Name="QueueItemProperties" Type="mscrm.queueitem" />
  <ReturnType Type="mscrm.AddToQueueResponse" Nullable="false" />
</Action>
<Action Name="ExportTranslation" IsBound="true">
  <Parameter Name="entityset" Type="Collection(mscrm.solution)" Nullable="false" />
  <Parameter Name="SolutionName" Type="Edm.String" Nullable="false" Unicode="false" />
  <ReturnType Type="mscrm.ExportTranslationResponse" Nullable="false" />
</Action>
<Action Name="new_AddNoteToContact" IsBound="true">
  <Parameter Name="entity" Type="mscrm.contact" Nullable="false" />
  <Parameter Name="NoteTitle" Type="Edm.String" Nullable="false" Unicode="false" />
  <Parameter Name="NoteText" Type="Edm.String" Nullable="false" Unicode="false" />
  <ReturnType Type="mscrm.annotation" Nullable="false" />
</Action>
<Action Name="AddMembersTeam" IsBound="true">
  <Parameter Name="entity" Type="mscrm.team" Nullable="false" />
  <Parameter Name="Members" Type="Collection(mscrm.systemuser)" Nullable="false" />
</Action>
<Action Name="AddItemCampaign" IsBound="true">
  <Parameter Name="entity" Type="mscrm.campaign" Nullable="false" />
  <Parameter Name="Item" Type="mscrm.crmbaseentity" Nullable="false" />
</Action>
<Action Name="AddItemCampaign" IsBound="true">
  <Parameter Name="entity" Type="mscrm.list" Nullable="false" />
  <Parameter Name="Item" Type="mscrm.crmbaseentity" Nullable="false" />
</Action>
<Action Name="GrantAccess">
  <Parameter Name="Target" Type="mscrm.crmbaseentity" Nullable="false" />
  <Parameter Name="PrincipalAccess" Type="mscrm.PrincipalAccess" Nullable="false" />
</Action>
<Action Name="new_Everything">
  <Parameter Name="Text" Type="Edm.String" />
  <Parameter Name="Truth" Type="Edm.Boolean" />
  <Parameter Name="Whole" Type="Edm.Int32" />
  <Parameter Name="Money" Type="Edm.Decimal" />
  <Parameter Name="Id" Type="Edm.Guid" />
  <Parameter Name="When" Type="Edm.DateTimeOffset" />
  <Parameter Name="Day" Type="Edm.Date" />
  <Parameter Name="Bytes" Type="Edm.Binary" />
  <Parameter Name="Texts" Type="Collection(Edm.String)" />
  <Parameter Name="Rights" Type="mscrm.AccessRights" />
</Action>
<Function Name="WhoAmI"><ReturnType Type="mscrm.WhoAmIResponse" Nullable="false" /></Function>
<Function Name="GetTimeZoneCodeByLocalizedName">
  <Parameter Name="LocalizedStandardName" Type="Edm.String" Nullable="false" Unicode="false" />
  <Parameter Name="LocaleId" Type="Edm.Int32" Nullable="false" />
  <ReturnType Type="mscrm.GetTimeZoneCodeByLocalizedNameResponse" Nullable="false" />
</Function>
<Function Name="RetrievePrincipalAccess" IsBound="true">
  <Parameter Name="entity" Type="mscrm.principal" Nullable="false" />
  <Parameter Name="Target" Type="mscrm.crmbaseentity" Nullable="false" />
  <ReturnType Type="mscrm.RetrievePrincipalAccessResponse" Nullable="false" />
</Function>
<Function Name="new_Ask">
  <Parameter Name="Id" Type="Edm.Guid" />
  <Parameter Name="Right" Type="mscrm.AccessRights" />
  <Parameter Name="Texts" Type="Collection(Edm.String)" />
  <Parameter Name="When" Type="Edm.DateTimeOffset" />
  <ReturnType Type="Collection(mscrm.account)" Nullable="false" />
</Function>
"""

DOCUMENT = document("".join(_TYPES) + _OPERATIONS)
