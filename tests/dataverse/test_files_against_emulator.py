"""Files and images over TLS, against a service that takes and gives them as documented, and loses answers as networks do."""

from __future__ import annotations

import io
import os

import pytest

from airflow_provider_dynamics.auth import Authority, ClientSecret
from airflow_provider_dynamics.dataverse import Client, errors
from tests.pictures import picture

MIB = 1024 * 1024
MISSING = "00000000-0000-0000-0000-00000000dead"


@pytest.fixture
def client(emulator, clock):
    credential = ClientSecret(
        *(emulator.tenant_id, emulator.client_id, emulator.client_secret),
        authority=Authority(url=emulator.url),
    )
    with Client(emulator.url, credential, ca_bundle=emulator.ca_bundle, clock=clock) as made:
        yield made


@pytest.fixture
def row_id(emulator):
    return emulator.rows("account")[0]["accountid"]


def asked(emulator, method, part):
    return [found for found in emulator.requests if found.method == method and part in found.path]


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(0, id="nothing"),
        pytest.param(1, id="a byte"),
        pytest.param(4 * MIB, id="a block"),
        pytest.param(4 * MIB + 1, id="a byte more than a block"),
        pytest.param(9 * MIB + 5, id="several blocks"),
    ],
)
@pytest.mark.parametrize("content_type", [None, "application/pdf"], ids=["by its address", "by messages"])
def test_a_file_comes_back_as_it_went(client, row_id, size, content_type):
    data, told = os.urandom(size), []
    sent = client.files.upload(
        *("account", row_id, "sample_filecolumn", data),
        name="contract.pdf",
        content_type=content_type,
        progress=lambda done, total: told.append((done, total)),
    )

    found = client.files.download("account", row_id, "sample_filecolumn")

    assert (sent.name, sent.size) == ("contract.pdf", size)
    assert (found.name, found.size, found.content_type) == ("contract.pdf", size, "application/pdf")
    assert found.data == data
    assert told[-1] == (size, size)
    assert (
        client.get("account", row_id, ["sample_filecolumn_name"])["sample_filecolumn_name"] == "contract.pdf"
    )


def test_a_name_that_no_header_can_carry_is_kept(client, row_id):
    for data in (b"short", os.urandom(5 * MIB)):
        client.files.upload("account", row_id, "sample_filecolumn", data, name="Übersicht 100%.pdf")

        assert client.files.download("account", row_id, "sample_filecolumn").name == "Übersicht 100%.pdf"


def test_a_row_may_be_named_by_its_key(client, emulator):
    row = next(one for one in emulator.rows("account") if one["accountnumber"])
    key = {"accountnumber": row["accountnumber"]}

    client.files.upload("account", key, "sample_filecolumn", b"here", name="a.txt")
    client.files.upload(
        "account", key, "sample_filecolumn", b"there", name="b.txt", content_type="text/plain"
    )

    assert client.files.download("account", row["accountid"], "sample_filecolumn").data == b"there"


def test_a_stream_goes_both_ways(client, row_id, tmp_path):
    source = tmp_path / "a.bin"
    source.write_bytes(os.urandom(5 * MIB))
    with source.open("rb") as file:
        file.seek(MIB)
        client.files.upload("account", row_id, "sample_filecolumn", file, name="a.bin")
    into = io.BytesIO()

    found = client.files.download("account", row_id, "sample_filecolumn", into)

    assert (found.data, found.size) == (None, 4 * MIB)
    assert into.getvalue() == source.read_bytes()[MIB:]


def test_a_file_goes_away(client, row_id):
    client.files.upload("account", row_id, "sample_filecolumn", b"x", name="a.txt")

    client.files.delete("account", row_id, "sample_filecolumn")
    client.files.delete("account", row_id, "sample_filecolumn")

    with pytest.raises(errors.NoFile, match=r"account.sample_filecolumn of this row holds no file"):
        client.files.download("account", row_id, "sample_filecolumn")


def test_a_row_that_is_not_there_is_said_as_that(client):
    with pytest.raises(errors.RowNotFound):
        client.files.upload("account", MISSING, "sample_filecolumn", b"x", name="a.txt")
    with pytest.raises(errors.RowNotFound):
        client.files.download("account", MISSING, "sample_filecolumn")
    with pytest.raises(errors.RowNotFound):
        client.files.delete("account", MISSING, "sample_filecolumn")


def test_what_the_column_does_not_hold_is_refused_before_a_byte_is_sent(client, emulator, row_id):
    largest = client.files.largest("account", "sample_filecolumn")

    with pytest.raises(errors.TooLarge, match=f"takes {largest:,}"):
        client.files.upload(
            "account", row_id, "sample_filecolumn", io.BytesIO(b"x"), name="a", size=largest + 1
        )

    assert asked(emulator, "PATCH", "sample_filecolumn") == []


def test_a_kind_of_file_that_the_environment_blocks_is_refused(client, row_id):
    with pytest.raises(errors.DataverseError) as raised:
        client.files.upload("account", row_id, "sample_filecolumn", b"x", name="virus.exe")

    assert raised.value.code


def test_an_image_is_kept_at_full_size_and_as_a_thumbnail(client, row_id):
    data = picture(300, 200)
    client.files.upload("account", row_id, "sample_imagecolumn", data, name="logo.png")

    full = client.files.download("account", row_id, "sample_imagecolumn")
    small = client.files.download("account", row_id, "sample_imagecolumn", thumbnail=True)
    client.files.delete("account", row_id, "sample_imagecolumn")

    assert full.data == data
    assert small.size
    assert small.data != data
    with pytest.raises(errors.NoFile, match="holds no image"):
        client.files.download("account", row_id, "sample_imagecolumn")


def test_what_is_no_image_is_refused(client, row_id):
    with pytest.raises(errors.BadRequest) as raised:
        client.files.upload("account", row_id, "sample_imagecolumn", b"not one", name="logo.png")

    assert raised.value.code == "0x80072553"
    assert "PNG" in raised.value.remedy


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"kind": "reset", "when": "before"}, id="lost on the way"),
        pytest.param({"kind": "reset", "when": "after"}, id="lost on the way back"),
        pytest.param({"kind": "status"}, id="out of service"),
        pytest.param({"kind": "throttle"}, id="throttled"),
        pytest.param({"kind": "expired_token"}, id="token expired"),
    ],
)
@pytest.mark.parametrize("content_type", [None, "text/plain"], ids=["by its address", "by messages"])
def test_answers_that_are_lost_cost_no_file(client, emulator, row_id, fault, content_type):
    data = os.urandom(9 * MIB)
    for skip in range(3):
        client.files.upload("account", row_id, "sample_filecolumn", b"x", name="old.txt")
        emulator.fault(**fault, every=3, skip=skip)
        client.files.upload(
            "account", row_id, "sample_filecolumn", data, name="new.txt", content_type=content_type
        )

        assert client.files.download("account", row_id, "sample_filecolumn").data == data
        emulator.clear_faults()


def test_an_answer_cut_short_is_asked_for_again(client, emulator, row_id):
    data = os.urandom(9 * MIB)
    client.files.upload("account", row_id, "sample_filecolumn", data, name="new.txt")
    emulator.fault("truncate", every=2, path="$value")

    assert client.files.download("account", row_id, "sample_filecolumn").data == data


def test_a_page_of_somebody_in_between_is_no_file(client, emulator, row_id):
    client.files.upload("account", row_id, "sample_filecolumn", b"x", name="new.txt")
    emulator.fault("html", path="value")

    with pytest.raises(errors.BadResponse, match="The answer is no file"):
        client.files.download("account", row_id, "sample_filecolumn")
