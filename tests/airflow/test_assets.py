"""Tables as assets: one spelling for one table."""

from __future__ import annotations

from importlib.util import find_spec
from urllib.parse import urlsplit

import pytest
from airflow.sdk import Asset

from airflow_provider_dynamics.assets import convert_to_openlineage, create_asset, sanitize_uri, table_asset

URI = "dataverse://contoso.crm.dynamics.com/account"


@pytest.mark.parametrize(
    ("environment", "table"),
    [
        ("contoso.crm.dynamics.com", "account"),
        ("https://Contoso.crm.dynamics.com/", "Account"),
        ("CONTOSO.CRM.DYNAMICS.COM", "account"),
    ],
)
def test_a_table_has_one_asset_however_its_environment_is_written(environment, table):
    assert table_asset(table, environment) == Asset(name=URI, uri=URI)


def test_an_environment_on_this_machine_keeps_its_port():
    assert (
        table_asset("new_project", "https://127.0.0.1:8765").uri == "dataverse://127.0.0.1:8765/new_project"
    )


def test_an_asset_may_have_a_name_a_group_and_facts_of_its_own():
    asset = table_asset(
        "account", "contoso.crm.dynamics.com", name="customers", group="crm", extra={"owner": "sales"}
    )
    assert (asset.name, asset.group, asset.extra, asset.uri) == ("customers", "crm", {"owner": "sales"}, URI)


@pytest.mark.parametrize(
    ("environment", "table"),
    [
        ("contoso.crm.dynamics.com", "accounts?x=1"),
        ("contoso.crm.dynamics.com", "account/name"),
        ("contoso.crm.dynamics.com", ""),
        ("contoso.crm.dynamics.com", "9lives"),
        ("https://contoso.crm.dynamics.com/api/data", "account"),
        ("", "account"),
        ("user:pass-word@contoso.crm.dynamics.com", "account"),
        ("contoso crm", "account"),
    ],
)
def test_what_is_no_table_of_an_environment_is_refused(environment, table):
    with pytest.raises(
        ValueError, match=r"Write dataverse://<environment host>/<table logical name>"
    ) as caught:
        table_asset(table, environment)
    assert "pass-word" not in str(caught.value)


def test_a_uri_is_spelt_in_lower_case():
    assert sanitize_uri(urlsplit("DataVerse://Contoso.crm.dynamics.com/Account")).geturl() == URI


def test_lineage_makes_the_same_asset():
    assert create_asset(host="contoso.crm.dynamics.com", table="account") == table_asset(
        "account", "contoso.crm.dynamics.com"
    )


def test_openlineage_sees_the_environment_as_namespace_and_the_table_as_name():
    dataset = convert_to_openlineage(table_asset("account", "contoso.crm.dynamics.com"), None)
    if find_spec("openlineage") is None:
        assert dataset is None  # Airflow's stand-in where OpenLineage is not installed
    else:
        assert (dataset.namespace, dataset.name) == ("dataverse://contoso.crm.dynamics.com", "account")
