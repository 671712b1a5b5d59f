"""Files between object storage and columns of rows, through Airflow against the emulator."""

from __future__ import annotations

import io
import os

import pytest
from airflow.sdk import ObjectStoragePath
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from airflow.sdk.io import attach
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_dynamics.dataverse import column
from airflow_provider_dynamics.dataverse.errors import Conflict
from airflow_provider_dynamics.formats.fields import FormatError
from airflow_provider_dynamics.formats.storage import Place, place
from airflow_provider_dynamics.hooks import DynamicsHook
from airflow_provider_dynamics.retry import DynamicsRetryableError
from airflow_provider_dynamics.transfers import (
    DynamicsFileToObjectStorageOperator,
    ObjectStorageToDynamicsFileOperator,
)
from airflow_provider_dynamics.transfers.file_moving import unchanged
from airflow_provider_dynamics.transfers.path_templates import PathTemplate
from tests.airflow.transfers.files import ONCE, failed_once, run_one
from tests.pictures import picture

on_emulator = pytest.mark.usefixtures("dynamics_conn")
MIB = 1024 * 1024
MISSING = "00000000-0000-0000-0000-00000000dead"


def send(source, **arguments):
    return ObjectStorageToDynamicsFileOperator(
        task_id="send",
        source_path=str(source),
        **{"table": "account", "column": "sample_filecolumn", **ONCE, **arguments},
    )


def fetch(destination, **arguments):
    return DynamicsFileToObjectStorageOperator(
        task_id="fetch",
        destination_path=str(destination),
        **{"table": "account", "column": "sample_filecolumn", **ONCE, **arguments},
    )


def numbered(emulator, count):
    """Return ids of accounts by their numbers."""
    rows = [row for row in emulator.rows("account") if row["accountnumber"]]
    return {row["accountnumber"]: row["accountid"] for row in rows[:count]}


def held(row_id, name="sample_filecolumn"):
    with DynamicsHook().get_conn() as client:
        return client.files.download("account", row_id, name)


def put(row_id, data, name):
    with DynamicsHook().get_conn() as client:
        client.files.upload("account", row_id, "sample_filecolumn", data, name=name)


@on_emulator
def test_a_file_of_one_row_goes_up_and_comes_down(run_dag, emulator, tmp_path):
    ((number, row_id),) = numbered(emulator, 1).items()
    data = os.urandom(9 * MIB)
    (tmp_path / "contract.pdf").write_bytes(data)

    sent = run_one(run_dag, lambda: send(tmp_path / "contract.pdf", key={"accountnumber": number}))
    fetched = run_one(run_dag, lambda: fetch(tmp_path / "back" / "{file_name}", row_id=row_id))

    assert sent.xcoms["send"]["files"] == 1
    assert sent.xcoms["send"]["bytes"] == fetched.xcoms["fetch"]["bytes"] == 9 * MIB
    assert (tmp_path / "back" / "contract.pdf").read_bytes() == data
    assert [entry.name for entry in (tmp_path / "back").iterdir()] == ["contract.pdf"]


@on_emulator
def test_each_file_goes_to_the_row_that_its_path_names(run_dag, emulator, tmp_path):
    accounts = numbered(emulator, 5)
    for number in accounts:
        (tmp_path / f"{number}.txt").write_text(f"of {number}")
    (tmp_path / ".hidden.txt").write_text("nobody's")

    ran = run_one(run_dag, lambda: send(tmp_path / "{accountnumber}.txt"))

    assert (ran.xcoms["send"]["files"], ran.xcoms["send"]["rejected"]) == (5, 0)
    assert {number: held(row_id).data for number, row_id in accounts.items()} == {
        number: f"of {number}".encode() for number in accounts
    }


@on_emulator
def test_a_path_may_go_by_the_rows_id(run_dag, emulator, tmp_path):
    (row_id,) = numbered(emulator, 1).values()
    folder = tmp_path / row_id
    folder.mkdir()
    (folder / "any name.txt").write_text("here")

    run_one(
        run_dag, lambda: send(tmp_path / "{accountid}" / "*", file_name="named.txt", content_type="text/x")
    )

    found = held(row_id)
    assert (found.name, found.data, found.content_type) == ("named.txt", b"here", "text/x")


@on_emulator
def test_what_is_refused_for_the_rows_sake_is_set_aside_where_that_is_wanted(run_dag, emulator, tmp_path):
    (number,) = numbered(emulator, 1)
    for name in (number, "NOBODY"):
        (tmp_path / f"{name}.txt").write_text(name)

    collected = run_one(run_dag, lambda: send(tmp_path / "{accountnumber}.txt", on_file_error="collect"))
    failed = run_one(run_dag, lambda: send(tmp_path / "{accountnumber}.txt"))

    told = collected.xcoms["send"]
    assert (told["files"], told["rejected"]) == (1, 1)
    assert told["rejects"][0]["path"].endswith("NOBODY.txt")
    assert told["rejects"][0]["code"] in {"0x80060891", "0x80040217"}
    assert "0x8006" in failed_once(failed) or "0x8004" in str(failed.errors)


@on_emulator
@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(lambda path: send(path / "a.txt"), "Nothing says which row", id="no row"),
        pytest.param(lambda path: send(path / "none.txt", row_id=MISSING), "There is no file", id="no file"),
        pytest.param(lambda path: send(path / "{accountnumber}.none"), "There is no file", id="no files"),
        pytest.param(
            lambda path: send(path / "{accountnumber}.txt", row_id=MISSING), "names rows", id="both"
        ),
        pytest.param(
            lambda path: send(path / "*.txt", row_id=MISSING), "belong to the same row", id="two of one row"
        ),
        pytest.param(
            lambda path: send(path / "{accountnumber}.t*", key={"accountnumber": "A"}, row_id=MISSING),
            "keep one of them",
            id="row_id and key",
        ),
        pytest.param(
            lambda path: send(path / "a.txt", row_id=MISSING), "HTTP 404", id="a row that is not there"
        ),
        pytest.param(
            lambda path: send(path / "a.txt", row_id=MISSING, column="name"),
            "is a column of type String; it holds no file",
            id="a column of another kind",
        ),
        pytest.param(
            lambda path: send(path / "a.txt", row_id=MISSING, column="sample_filecolum"),
            "Did you mean 'sample_filecolumn'",
            id="a typo",
        ),
        pytest.param(
            lambda path: send(path / "{name}.txt", on_file_error="collect"),
            "no alternate key on name",
            id="columns that are no key",
        ),
        pytest.param(
            lambda path: send(path / "a.txt", row_id=MISSING, on_file_error="ignore"),
            "use 'fail' or 'collect'",
            id="another word",
        ),
        pytest.param(lambda path: fetch(path / "x.txt"), "Every row's file", id="many rows, one path"),
        pytest.param(lambda path: fetch(path / "{contoso}.txt"), "no column 'contoso'", id="no such column"),
        pytest.param(
            lambda path: fetch(path / "x.txt", row_id=MISSING, filter="statecode eq 0"),
            "filter is for many rows",
            id="filter and row_id",
        ),
        pytest.param(
            lambda path: fetch(path / "x.txt", row_id=MISSING), "HTTP 404", id="no row to fetch from"
        ),
        pytest.param(
            lambda path: fetch(path / "{accountid}", filter="statecode eq 0", thumbnail=True),
            "thumbnails are for images",
            id="the thumbnail of a file",
        ),
    ],
)
def test_what_makes_no_sense_fails_at_once_and_says_why(emulator, tmp_path, make, words):
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text("x")
    put(next(iter(numbered(emulator, 1).values())), b"x", "x.txt")

    with pytest.raises(AirflowFailException) as raised:
        make(tmp_path).execute({})

    assert words in str(raised.value)


@on_emulator
def test_where_there_may_be_no_file_the_task_is_skipped(emulator, tmp_path):
    (row_id,) = numbered(emulator, 1).values()

    with pytest.raises(AirflowSkipException, match="There is no file"):
        send(tmp_path / "{accountnumber}.txt", if_none="skip").execute({})
    with pytest.raises(AirflowSkipException, match="holds no file"):
        fetch(tmp_path / "x.txt", row_id=row_id, on_missing="skip").execute({})
    with pytest.raises(AirflowFailException, match="holds no file: upload one first"):
        fetch(tmp_path / "x.txt", row_id=row_id).execute({})

    assert list(tmp_path.iterdir()) == []


@on_emulator
def test_the_files_of_many_rows_get_paths_of_their_own(run_dag, emulator, tmp_path):
    accounts = numbered(emulator, 6)
    for number, row_id in accounts.items():
        put(row_id, number.encode(), "a/b.txt" if number.endswith("1") else "b.txt")

    ran = run_one(
        run_dag, lambda: fetch(tmp_path / "{accountnumber}" / "{file_name}", filter=column("name") != "x")
    )

    assert ran.xcoms["fetch"]["files"] == 6
    for number in accounts:
        (file,) = (tmp_path / number).iterdir()
        assert file.read_bytes() == number.encode()
        assert file.name in {"b.txt", "a_b.txt"}


@on_emulator
def test_rows_without_an_image_are_counted_and_left_out(emulator, tmp_path):
    first, second, *_ = numbered(emulator, 5).values()
    (tmp_path / "logo.png").write_bytes(picture(300, 200))
    for row_id in (first, second):
        send(tmp_path / "logo.png", row_id=row_id, column="sample_imagecolumn").execute({})

    told = fetch(tmp_path / "small" / "{accountid}.png", column="sample_imagecolumn", thumbnail=True).execute(
        {}
    )

    assert (told["files"], told["empty"]) == (2, len(emulator.rows("account")) - 2)
    assert {file.name for file in (tmp_path / "small").iterdir()} == {f"{first}.png", f"{second}.png"}


@on_emulator
def test_two_rows_of_one_path_are_refused(emulator, tmp_path):
    for row_id in numbered(emulator, 3).values():
        put(row_id, b"x", "same.txt")

    with pytest.raises(AirflowFailException, match="would both be written to"):
        fetch(tmp_path / "{file_name}").execute({})


@on_emulator
def test_a_row_whose_path_would_have_no_name_is_set_aside_or_fails(emulator, tmp_path):
    rows = {row["accountid"]: row["description"] for row in emulator.rows("account")[:8]}
    with DynamicsHook().get_conn() as client:
        for place_of, row_id in enumerate(rows):
            client.update("account", row_id, {"description": f"d{place_of}" if place_of else None})
    for row_id in rows:
        put(row_id, b"x", "x.txt")

    told = fetch(tmp_path / "{description}.txt", on_file_error="collect").execute({})

    assert (told["files"], told["rejected"]) == (7, 1)
    with pytest.raises(AirflowFailException, match=r"no value for \{description\}"):
        fetch(tmp_path / "{description}.txt").execute({})


@on_emulator
def test_a_file_that_stands_there_is_kept_where_that_is_wanted(emulator, tmp_path):
    (row_id,) = numbered(emulator, 1).values()
    put(row_id, b"new", "x.txt")
    (tmp_path / "x.txt").write_text("old")

    with pytest.raises(AirflowFailException, match="exists already"):
        fetch(tmp_path / "x.txt", row_id=row_id, if_exists="fail").execute({})

    assert (tmp_path / "x.txt").read_text() == "old"


@on_emulator
def test_a_store_of_objects_serves_as_well(emulator):
    attach("memory", fs=MemoryFileSystem())
    accounts = numbered(emulator, 3)
    inbox = ObjectStoragePath("memory://lake/inbox")
    for number in accounts:
        (inbox / f"{number}.bin").write_bytes(number.encode() * MIB)

    sent = send("memory://lake/inbox/{accountnumber}.bin").execute({})
    fetched = fetch("memory://lake/outbox/{accountnumber}/{file_name}").execute({})

    assert (sent["files"], fetched["files"], fetched["bytes"]) == (3, 3, sent["bytes"])
    for number in accounts:
        back = ObjectStoragePath(f"memory://lake/outbox/{number}/{number}.bin")
        assert back.read_bytes() == number.encode() * MIB
        assert [path.name for path in back.parent.iterdir()] == [back.name]


@on_emulator
def test_lost_answers_cost_no_file(run_dag, emulator, tmp_path):
    accounts = numbered(emulator, 4)
    for number in accounts:
        (tmp_path / f"{number}.bin").write_bytes(number.encode() * MIB)
    emulator.fault("reset", every=5, when="after")

    sent = run_one(run_dag, lambda: send(tmp_path / "{accountnumber}.bin", concurrency=2))
    fetched = run_one(run_dag, lambda: fetch(tmp_path / "back" / "{accountnumber}.bin"))

    assert (sent.xcoms["send"]["files"], fetched.xcoms["fetch"]["files"]) == (4, 4)
    for number in accounts:
        assert (tmp_path / "back" / f"{number}.bin").read_bytes() == number.encode() * MIB


@on_emulator
def test_what_was_moved_is_told_to_lineage(emulator, tmp_path):
    (row_id,) = numbered(emulator, 1).values()
    (tmp_path / "a.txt").write_text("x")
    up, down = send(tmp_path / "a.txt", row_id=row_id), fetch(tmp_path / "b.txt", row_id=row_id)

    up.execute({})
    down.execute({})

    assert up.moved.output.place.name == down.moved.inputs[0].place.name == "account"
    assert up.moved.inputs[0].place.name.endswith("a.txt")
    assert down.moved.output.place.name.endswith("b.txt")
    assert (up.linked_row, down.linked_row) == (row_id, row_id)


@on_emulator
def test_stopping_the_task_ends_it(emulator, tmp_path):
    for number in numbered(emulator, 4):
        (tmp_path / f"{number}.txt").write_text("x")
    task = send(tmp_path / "{accountnumber}.txt", concurrency=1)
    began = []

    with task.hook.get_conn() as client:
        upload = client.files.upload

        def killed(*arguments, **options):
            began.append(1)
            task.on_kill()
            return upload(*arguments, **options)

        client.files.upload = killed
        task.__dict__["hook"] = OneClient(client)
        with pytest.raises(DynamicsRetryableError, match="cancelled"):
            task.execute({})

    assert len(began) == 1


class OneClient:
    def __init__(self, client):
        self.client = client

    def get_conn(self):
        return self.client


# --- paths with columns in braces ---


def test_a_path_gives_back_what_it_was_filled_with(tmp_path):
    template = PathTemplate(f"{tmp_path}/{{region}}/{{number}}-*.pdf")
    for region, number in (("north", "A-1"), ("south", "B")):
        (tmp_path / region).mkdir()
        (tmp_path / region / f"{number}-x.pdf").write_text("")
        (tmp_path / region / f"{number}.txt").write_text("")
    (tmp_path / "north" / "folder-y.pdf").mkdir()

    found = [(file.path, values) for file, values in template.files(place(template.text))]

    assert template.names == ("region", "number")
    assert found == [
        (f"{tmp_path}/north/A-1-x.pdf", {"region": "north", "number": "A-1"}),
        (f"{tmp_path}/south/B-x.pdf", {"region": "south", "number": "B"}),
    ]


def test_a_name_that_stands_twice_has_one_value(tmp_path):
    template = PathTemplate(f"{tmp_path}/{{number}}/{{number}}.txt")
    for folder, name in (("A", "A"), ("B", "C")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{name}.txt").write_text("")

    assert [values for _, values in template.files(place(template.text))] == [{"number": "A"}]


@pytest.mark.parametrize("value", [None, "", "  ", ".", ".."], ids=repr)
def test_a_value_that_is_no_name_is_refused(value):
    with pytest.raises(FormatError, match=r"no value for \{number\}"):
        PathTemplate("s3://lake/{number}.txt").fill({"number": value})


def test_a_value_makes_no_folders():
    assert PathTemplate("s3://lake/{name}.txt").fill({"name": "../a\\b\n"}) == "s3://lake/.._a_b_.txt"


class Unsteady(MemoryFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A store whose file is replaced by one of the same length as soon as somebody reads it."""

    def _open(self, path, mode="rb", **kwargs):
        found = super()._open(path, mode, **kwargs)
        if mode == "rb":
            content = io.BytesIO(found.getvalue())
            self.pipe_file(path, b"y" * len(content.getvalue()))
            return content
        return found


@on_emulator
def test_a_file_that_is_replaced_while_it_is_sent_fails_the_task_until_it_is_sent_again(emulator):
    unsteady = Place(Unsteady(), "/lake/changing.bin", "memory://lake/changing.bin")
    unsteady.fs.pipe_file(unsteady.path, b"x" * 10)
    (row_id,) = numbered(emulator, 1).values()

    with pytest.raises(DynamicsRetryableError, match="changed while it was sent"):
        sent_from(unsteady, row_id)

    assert sent_from(Place(MemoryFileSystem(), unsteady.path, unsteady.label), row_id)["files"] == 1
    assert held(row_id).data == b"y" * 10


def sent_from(source, row_id):
    task = send(source.label, row_id=row_id)
    task._source = lambda: source
    return task.execute({})


@on_emulator
def test_a_local_file_that_is_rewritten_while_it_is_read_has_changed(tmp_path):
    source = tmp_path / "a.bin"
    source.write_bytes(b"x" * 10)

    def rewrite():
        with unchanged(place(str(source))):
            source.unlink()
            source.write_bytes(b"y" * 10)

    with pytest.raises(Conflict, match="changed while it was sent"):
        rewrite()
