"""A custom table as a maker would add it: publisher prefix, schema names in mixed case, an alternate key.

Navigation properties of custom lookups carry the schema name, so ``contoso_accountid`` is bound as
``contoso_AccountId``: the trap every client of the Web API meets once.
"""

from __future__ import annotations

from airflow_provider_dynamics.emulator.schema.columns import (
    choice,
    day,
    decimal,
    double,
    flag,
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
from airflow_provider_dynamics.emulator.schema.model import Key, Table

CARRIERS = {100000000: "Road", 100000001: "Rail", 100000002: "Sea", 100000003: "Air"}

SHIPMENT = Table(
    name="contoso_shipment",
    schema_name="contoso_Shipment",
    set_name="contoso_shipments",
    label="Shipment",
    plural="Shipments",
    primary_id="contoso_shipmentid",
    primary_name="contoso_name",
    type_code=10301,
    custom=True,
    keys=(
        Key("contoso_numberkey", "Shipment Number", ("contoso_number",)),
        Key("contoso_orderkey", "Order and Position", ("contoso_ordernumber", "contoso_position")),
    ),
    columns=(
        ident("contoso_ShipmentId", "Shipment"),
        text("contoso_Name", "Name", 100, required="ApplicationRequired", custom=True),
        text("contoso_Number", "Number", 30, custom=True),
        text("contoso_OrderNumber", "Order Number", 20, custom=True),
        whole("contoso_Position", "Position", 1, 9999, custom=True),
        *state([(0, "Active", {1: "Active"}), (1, "Inactive", {2: "Inactive"})]),
        choice("contoso_Carrier", "Carrier", CARRIERS, custom=True),
        decimal("contoso_Weight", "Weight (kg)", 3, custom=True),
        double("contoso_Volume", "Volume (m³)", 2, 0, 1_000_000, custom=True),
        *money("contoso_UnitCost", "Unit Cost", precision=4, source=0, custom=True),
        flag("contoso_IsFragile", "Fragile", custom=True),
        day("contoso_ShippedOn", "Shipped On", custom=True),
        moment("contoso_DeliveredAt", "Delivered At", custom=True),
        memo("contoso_Notes", "Notes", 10_000, custom=True),
        lookup(
            "contoso_AccountId",
            "Account",
            to("account", "contoso_AccountId", "contoso_account_contoso_shipment"),
            custom=True,
        ),
        *currency("TransactionCurrency_contoso_shipment"),
        *owner(
            "owner_contoso_shipment",
            "user_contoso_shipment",
            "team_contoso_shipment",
            "business_unit_contoso_shipment",
        ),
        *audit("lk_contoso_shipment_createdby", "lk_contoso_shipment_modifiedby", "lk_contoso_shipment"),
    ),
)
