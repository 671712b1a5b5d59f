"""What differs between Airflow versions, asked in one place."""

from __future__ import annotations

import asyncio
from importlib.metadata import version

import pytest
from airflow.sdk import Asset, Connection

from airflow_provider_dynamics import compat

AT_LEAST_3_3 = tuple(int(part) for part in version("apache-airflow-core").split(".")[:2]) >= (3, 3)
ASSET = Asset(name="account", uri="x-test://account")


class Store:
    def __getitem__(self, asset):
        return f"the store of {asset.name}"


def test_retry_policies_are_there_from_airflow_3_3_on():
    assert compat.HAS_RETRY_POLICY is AT_LEAST_3_3
    assert isinstance(compat.RetryPolicy, type)
    assert isinstance(compat.RetryDecision, type)


def test_an_inlets_state_store_is_found_where_airflow_has_one():
    assert str(compat.asset_state_store({"asset_state_store": Store()}, ASSET)) == "the store of account"


@pytest.mark.parametrize("context", [{}, {"asset_state_store": None}], ids=["3.2", "no store"])
def test_there_is_no_state_store_on(context):
    assert compat.asset_state_store(context, ASSET) is None


@pytest.mark.parametrize(
    ("extra", "expected"), [('{"tenant_id": "t"}', {"tenant_id": "t"}), (None, {}), ("", {})]
)
def test_extra_is_read_inside_an_event_loop(extra, expected):
    connection = Connection(conn_id="x", conn_type="dynamics", extra=extra)
    assert asyncio.run(compat.aread_extra(connection)) == expected
