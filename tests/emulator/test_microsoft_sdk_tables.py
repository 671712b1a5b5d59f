"""Microsoft's own Python SDK, unmodified, makes tables, columns, keys and relationships in the emulator.

Sources: https://github.com/microsoft/PowerPlatform-DataverseClient-Python
"""

from __future__ import annotations

import pytest

from tests.emulator.microsoft_sdk import connected

pytest.importorskip("PowerPlatform.Dataverse")
pytest.importorskip("azure.core")

TABLE = "new_Product"


@pytest.fixture
def client(emulator, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", emulator.ca_bundle)
    with connected(emulator) as client:
        yield client


@pytest.fixture
def products(client):
    client.tables.create(
        TABLE,
        {"new_Price": "decimal", "new_InStock": "bool", "new_Since": "datetime", "new_Count": "int"},
        primary_column="new_Title",
    )
    return client


def test_a_table_is_made_and_takes_rows(products, emulator):
    info = products.tables.get(TABLE)
    assert info["entity_set_name"] == "new_products"
    row_id = products.records.create(
        "new_product", {"new_title": "Chair", "new_price": 9.5, "new_instock": True}
    )
    (row,) = emulator.rows("new_product")
    assert (row["new_productid"], row["new_title"], row["new_price"]) == (row_id, "Chair", 9.5)


def test_columns_are_added_and_taken_away(products):
    products.tables.add_columns(TABLE, {"new_Note": "string"})
    assert "new_note" in {one["LogicalName"] for one in products.tables.list_columns("new_product")}
    products.tables.remove_columns(TABLE, ["new_Note"])
    assert "new_note" not in {one["LogicalName"] for one in products.tables.list_columns("new_product")}


def test_a_key_is_made_listed_and_deleted(products, emulator):
    made = products.tables.create_alternate_key("new_product", "new_TitleKey", ["new_title"])
    emulator.jobs.advance(60)
    (key,) = products.tables.get_alternate_keys("new_product")
    assert (key.status, key.key_attributes) == ("Active", ["new_title"])
    products.tables.delete_alternate_key("new_product", made.metadata_id)
    assert products.tables.get_alternate_keys("new_product") == []


def test_a_lookup_is_made_with_its_relationship(products):
    made = products.tables.create_lookup_field("new_product", "new_AccountId", "account")
    found = products.tables.get_relationship(made.relationship_schema_name)
    assert found.referencing_entity == "new_product"
    products.tables.delete_relationship(made.relationship_id)
    assert products.tables.get_relationship(made.relationship_schema_name) is None


def test_a_table_is_deleted(products):
    products.tables.delete(TABLE)
    assert products.tables.get(TABLE) is None
