"""How rows were before a load is kept in parts, and read backwards."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath
from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.dataverse.metadata.columns import Column
from airflow_provider_dynamics.dataverse.metadata.table import Key, Table
from airflow_provider_dynamics.transfers.loads.row import Compared, LoadRow
from airflow_provider_dynamics.transfers.loads.undo import PreImage, PreImages, UndoFolder

ID, OTHER = "d6f193fc-ce85-e611-80d8-00155d2a68de", "c59648c3-68f7-e511-80d3-00155db53318"
CONTOSO = "https://contoso.crm4.dynamics.com"
TABLE = Table(
    *("account", "accounts", "accountid", "name"),
    columns={
        "accountid": Column("accountid", "Uniqueidentifier", "accountid"),
        "name": Column("name", "String", "name"),
        "accountnumber": Column("accountnumber", "String", "accountnumber"),
        "revenue": Column("revenue", "Money", "revenue"),
        "primarycontactid": Column(
            "primarycontactid",
            "Lookup",
            "_primarycontactid_value",
            navigation={"contact": "primarycontactid"},
        ),
    },
    keys=(Key("number", ("accountnumber",), "Active"),),
)


class Sets:
    """As much of a client as a pre-image needs."""

    def entity_set(self, table: str) -> str:
        return f"{table}s"


@pytest.fixture
def path(tmp_path):
    return ObjectStoragePath(f"file://{tmp_path}/undo")


@pytest.fixture
def folder(path):
    return UndoFolder(path, CONTOSO, "dag.load run-1")


def images(folder):
    return [image for noted in folder.passes() for image in noted.backwards()]


def kept(folder, *rows, attempt=1, step=0):
    client: Any = Sets()
    PreImages(client, folder, TABLE, ("accountnumber",), attempt=attempt, step=step)(list(rows))


def row(number, compared, **values):
    return LoadRow(number, None, {}, values, compared=compared)


def test_a_changed_row_keeps_what_it_had_in_the_columns_that_change(folder):
    stored = {"accountid": ID, "name": "Old", "revenue": Decimal("1.50"), "_primarycontactid_value": OTHER}
    changed = ("name", "revenue", "primarycontactid@odata.bind")
    sent = {"accountnumber": "A", "name": "New", "revenue": None, "primarycontactid@odata.bind": None}
    kept(folder, row(1, Compared("update", stored, changed), **sent))

    assert images(folder) == [
        PreImage(
            *("account", "update", ID, {}),
            before={
                "name": "Old",
                "revenue": Decimal("1.50"),
                "primarycontactid@odata.bind": f"/contacts({OTHER})",
            },
            after={"name": "New", "revenue": None, "primarycontactid@odata.bind": None},
            number=1,
        )
    ]


def test_a_new_row_is_known_by_its_key_until_it_has_an_id(folder):
    new = Compared("create", None, ("accountnumber", "name"))
    kept(folder, row(1, new, accountnumber="A", name="New"), row(2, new, accountid=ID, name="New"))

    by_id, by_key = images(folder)
    assert (by_key.row_id, by_key.key) == (None, {"accountnumber": "A"})
    assert (by_id.row_id, by_id.key) == (ID, {})


def test_a_deleted_row_keeps_everything_that_was_read_of_it(folder):
    stored = {"accountid": ID, "name": "Old", "revenue": None, "_primarycontactid_value": None}
    kept(folder, row(1, Compared("delete", stored), accountid=ID))

    [image] = images(folder)
    assert image.before == {"accountid": ID, "name": "Old", "revenue": None, "primarycontactid": None}


def test_what_is_not_written_has_no_pre_image(folder, path):
    kept(folder, row(1, Compared("unchanged", {})), row(2, Compared("missing")), row(3, None))

    assert not path.exists()


def test_the_last_pass_of_the_last_try_comes_first(folder):
    for attempt, step, number in ((1, 0, 1), (1, 0, 501), (1, 1, 1), (2, 0, 501)):
        sent = {"accountid": ID, "name": f"{attempt}.{step}.{number}"}
        kept(folder, row(number, Compared("create", None, ("name",)), **sent), attempt=attempt, step=step)

    assert [image.after["name"] for image in images(folder)] == ["2.0.501", "1.1.1", "1.0.501", "1.0.1"]


def test_the_folder_of_another_run_is_refused(folder, path):
    kept(folder, row(1, Compared("create", None, ("name",)), name="New", accountid=ID))

    assert folder.attempt() == 2
    with pytest.raises(AirflowFailException, match=r"dag\.load run-1.*\{\{ run_id \}\}"):
        UndoFolder(path, CONTOSO, "dag.load run-2").attempt()


def test_what_was_loaded_into_one_environment_is_neither_undone_nor_noted_in_another(folder, path):
    """A copy of an environment has the same ids, so nothing else would tell them apart."""
    kept(folder, row(1, Compared("create"), accountnumber="A"))
    other = UndoFolder(path, "https://fabrikam.crm4.dynamics.com", "dag.load run-1")

    for refused in (other.passes, other.attempt):
        with pytest.raises(AirflowFailException, match=f"how rows were in {CONTOSO}, .* in https://fabrikam"):
            refused()
    assert UndoFolder(path, CONTOSO.upper()).passes()


def test_pre_images_that_do_not_name_their_environment_are_read(folder, path):
    kept(folder, row(1, Compared("create"), accountnumber="A"))
    [part] = path.iterdir()
    part.write_text(part.read_text().replace(f'"environment":"{CONTOSO}",', ""))

    assert "environment" not in part.read_text()
    assert UndoFolder(path, "https://fabrikam.crm4.dynamics.com").passes()


def test_every_try_comes_behind_those_whose_parts_are_there(folder):
    assert folder.attempt() == 1
    kept(folder, row(1, Compared("create", None, ("name",)), name="New", accountid=ID), attempt=7)
    assert folder.attempt() == 8


def test_a_folder_without_pre_images_cannot_be_undone(folder, path):
    with pytest.raises(AirflowFailException, match="holds no pre-images"):
        images(folder)
    path.mkdir()
    (path / "undo-0001-000-000000001.ndjson").write_text('{"name": "not ours"}\n')
    with pytest.raises(AirflowFailException, match="holds no pre-images of a load"):
        images(folder)
