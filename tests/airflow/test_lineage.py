"""What is told of a move: places as OpenLineage names them, columns back to where they come from."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from airflow.sdk import ObjectStoragePath
from sqlalchemy import make_url

from airflow_provider_dynamics.dataverse.metadata.columns import Column
from airflow_provider_dynamics.dataverse.metadata.table import Table
from airflow_provider_dynamics.dataverse.reading.results import LABEL, ResultColumn
from airflow_provider_dynamics.formats import Field, file_fields, result_fields
from airflow_provider_dynamics.lineage import (
    Moved,
    Place,
    Side,
    file_place,
    loaded,
    read,
    sql_place,
    table_place,
    told,
    used,
)

ENVIRONMENT = "https://Contoso.crm.dynamics.com"
HERE = "dataverse://contoso.crm.dynamics.com"
TARGET = Place("file", "/a.parquet")
NAME = Column("name", "String", "name", table="account")
STATE = Column("statecode", "State", "statecode", table="account")
FULL_NAME = Column("fullname", "String", "fullname", table="contact")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("/data/a.parquet", ("file", "/data/a.parquet"), id="a local path"),
        pytest.param("file:///data/a.parquet", ("file", "/data/a.parquet"), id="a file URL"),
        pytest.param("s3://lake/x/a.parquet", ("s3://lake", "x/a.parquet"), id="a bucket"),
        pytest.param("s3a://lake/a", ("s3://lake", "a"), id="another word for S3"),
        pytest.param("s3://aws_default@lake/a", ("s3://lake", "a"), id="with the id of a connection"),
        pytest.param("gcs://lake/a", ("gs://lake", "a"), id="Google's"),
        pytest.param(
            "abfss://lake@acc.dfs.core.windows.net/a",
            ("abfss://lake@acc.dfs.core.windows.net", "a"),
            id="Azure's, with its container",
        ),
        pytest.param(
            "abfss://lake@acc.dfs.core.chinacloudapi.cn/a",
            ("abfss://lake@acc.dfs.core.chinacloudapi.cn", "a"),
            id="Azure's in China",
        ),
        pytest.param("s3://lake/a#1?.csv", ("s3://lake", "a#1?.csv"), id="a name that would be a query"),
        pytest.param("file:///data/a#1.csv", ("file", "/data/a#1.csv"), id="a file URL of such a name"),
        pytest.param("data/a#1.csv", ("file", "data/a#1.csv"), id="such a name beside the worker"),
        pytest.param("abfs://wasb_default@lake/a", ("abfs://lake", "a"), id="Azure's, as Airflow writes it"),
    ],
)
def test_a_file_is_named_by_its_storage_and_path(path, expected):
    assert file_place(path) == Place(*expected)


def test_a_path_of_airflows_is_named_without_its_connection():
    assert file_place(ObjectStoragePath("file:///data/a.csv", conn_id="x")) == Place("file", "/data/a.csv")


@pytest.mark.parametrize(
    ("url", "schema", "expected"),
    [
        pytest.param(
            "postgresql://u:p@db/crm", "public", ("postgres://db:5432", "crm.public.account"), id="PostgreSQL"
        ),
        pytest.param("mysql://u:p@db:3307/crm", None, ("mysql://db:3307", "crm.account"), id="MySQL"),
        pytest.param("mariadb://u:p@db/crm", "crm", ("mysql://db:3306", "crm.account"), id="MariaDB"),
        pytest.param(
            "mssql+pyodbc://u:p@db/crm", "dbo", ("mssql://db:1433", "crm.dbo.account"), id="SQL Server"
        ),
        pytest.param("sqlite:////data/crm.db", "main", ("sqlite", "/data/crm.db.account"), id="SQLite"),
        pytest.param(
            "sqlite://///data/crm.db", None, ("sqlite", "/data/crm.db.account"), id="SQLite by Airflow"
        ),
    ],
)
def test_a_databases_table_is_named_without_user_and_password(url, schema, expected):
    assert sql_place(make_url(url), schema, "account") == Place(*expected)


def test_columns_lead_back_to_the_tables_they_come_from():
    columns = [
        ResultColumn("name", ("name",), "String", NAME),
        ResultColumn("statecodename", ("statecode" + LABEL,), "String"),
        ResultColumn("statecode", ("statecode",), "State", STATE),
        ResultColumn("primarycontactid.fullname", ("primarycontactid", "fullname"), "String", FULL_NAME),
        ResultColumn("n", ("n",), "BigInt"),
        ResultColumn(
            "people",
            ("people",),
            "Collection",
            inner=(ResultColumn("who", ("fullname",), "String", FULL_NAME),),
        ),
    ]
    moved = read(
        ENVIRONMENT, "account", result_fields(columns), TARGET, rows=3, extra={"operation": "string"}
    )
    account, contact = Place(HERE, "account"), Place(HERE, "contact")
    assert moved.inputs == (
        Side(account, (("name", "String"), ("statecode", "State"))),
        Side(contact, (("fullname", "String"),)),
    )
    assert moved.columns == {
        "name": ((account, "name"),),
        "statecodename": ((account, "statecode"),),
        "statecode": ((account, "statecode"),),
        "primarycontactid.fullname": ((contact, "fullname"),),
        "people": ((contact, "fullname"),),
    }
    assert moved.output.rows == 3
    assert dict(moved.output.columns) == {
        "name": "string",
        "statecodename": "string",
        "statecode": "int32",
        "primarycontactid.fullname": "string",
        "n": "int64",
        "people": "list",
        "operation": "string",
    }


def test_the_columns_of_a_table_lead_back_to_it():
    table = Table("account", "accounts", "name", None, {"name": NAME, "statecode": STATE})
    moved = read(ENVIRONMENT, "account", file_fields(table), TARGET)
    assert moved.inputs == (Side(Place(HERE, "account"), (("name", "String"), ("statecode", "State"))),)


def test_a_column_that_is_no_tables_is_told_without_an_origin():
    moved = read(ENVIRONMENT, "account", [Field("gone", "int32")], TARGET)
    assert (moved.columns, moved.inputs) == ({}, (Side(Place(HERE, "account")),))


def test_a_load_leads_back_to_the_columns_of_its_file():
    moved = loaded(ENVIRONMENT, "account", TARGET, {"number": ("accountnumber", "String")}, rows=2)
    assert moved == Moved(
        (Side(TARGET, (("number", ""),)),),
        Side(table_place(ENVIRONMENT, "account"), (("accountnumber", "String"),), 2),
        {"accountnumber": ((TARGET, "number"),)},
    )


def test_an_operator_that_moved_nothing_tells_nothing():
    pytest.importorskip("airflow.providers.openlineage", reason="the OpenLineage provider is not installed")
    nothing = told(None)
    assert (nothing.inputs, nothing.outputs) == ([], [])


def test_what_is_wrong_with_lineage_never_reaches_the_reader():
    used(SimpleNamespace(), ENVIRONMENT, "read", "no such table!")  # type: ignore[arg-type]
