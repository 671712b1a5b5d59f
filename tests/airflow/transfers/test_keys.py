"""The ids that were handed on: what is held for which run, on any storage, whichever segments are left."""

from __future__ import annotations

import random
import uuid

import fsspec
import pytest

from airflow_provider_dynamics.formats import FormatError
from airflow_provider_dynamics.formats.storage import Place, place
from airflow_provider_dynamics.transfers.following import keys_folder
from airflow_provider_dynamics.transfers.keys import (
    CERTAIN,
    GONE,
    MOST_SEGMENTS,
    UNCERTAIN,
    Keys,
    both,
    names_in,
    only_left,
    order_number,
    record,
    sweep,
)

ONE, TWO, THREE = sorted(uuid.uuid5(uuid.NAMESPACE_URL, str(number)).bytes for number in range(3))


@pytest.fixture(params=["local", "object storage"])
def folder(request, tmp_path):
    if request.param == "local":
        return place(str(tmp_path / "keys"))
    path = f"/lake-{uuid.uuid4().hex}/folder/keys"
    return Place(fsspec.filesystem("memory"), path, path)


def save(folder, *records):
    keys = Keys(folder)
    keys.save(
        sorted(record(keys.stamp, state, row, version, order) for state, row, version, order in records)
    )
    return keys


def held(folder, order):
    return list(Keys(folder).held(order))


def test_nothing_is_held_where_nothing_was_kept(folder):
    assert (held(folder, 1), Keys(folder).newest, Keys(folder).stamp) == ([], 0, 1)


def test_rows_handed_on_are_held_with_versions_where_they_are_certain(folder):
    save(folder, (CERTAIN, ONE, 5, 1), (UNCERTAIN, TWO, 6, 1))
    assert held(folder, 2) == [(ONE, 5), (TWO, 0)]
    assert Keys(folder).newest == 1


def test_what_a_run_made_certain_is_not_so_for_the_run_itself(folder):
    save(folder, (CERTAIN, ONE, 5, 2))
    assert held(folder, 2) == [(ONE, 0)]


def test_what_is_gone_is_held_for_the_run_that_said_so_and_for_earlier_ones(folder):
    save(folder, (CERTAIN, ONE, 5, 1), (CERTAIN, TWO, 6, 1))
    save(folder, (GONE, ONE, 0, 3))
    assert [row for row, _ in held(folder, 4)] == [TWO]
    assert [row for row, _ in held(folder, 3)] == [ONE, TWO]


def test_a_row_that_came_again_is_held(folder):
    save(folder, (GONE, ONE, 0, 3))
    save(folder, (CERTAIN, ONE, 9, 4))
    assert held(folder, 5) == [(ONE, 9)]


def test_joining_changes_nothing_and_leaves_few(folder):
    chance = random.Random(1)
    rows = [uuid.UUID(int=chance.getrandbits(128)).bytes for _ in range(40)]
    for order in range(1, 50):
        chosen = sorted(chance.sample(rows, 5))
        save(folder, *((chance.choice([CERTAIN, GONE]), row, order, order) for row in chosen))
        before = [held(folder, at) for at in (1, order, order + 1)]
        Keys(folder).compact()
        assert [held(folder, at) for at in (1, order, order + 1)] == before
        assert len(names_in(folder)) <= MOST_SEGMENTS + 2


def test_a_joined_segment_beside_those_it_was_made_of_changes_nothing(folder):
    for order in range(1, MOST_SEGMENTS + 3):
        save(folder, (CERTAIN if order % 3 else GONE, [ONE, TWO, THREE][order % 2], order, order))
    before = held(folder, 9)

    class Killed(BaseException):
        pass

    def reached(step):
        if step == "key segments joined":
            raise Killed

    with pytest.raises(Killed):
        Keys(folder, reached).compact()
    assert held(folder, 9) == before


def test_something_else_in_the_folder_is_passed_by_and_in_a_segment_refused(folder):
    save(folder, (CERTAIN, ONE, 5, 1))
    for name in ("readme.txt", "0000000009-00000000.keys"):
        file = place(f"{folder.label}/{name}") if folder.local else None
        if file is None:
            folder.fs.pipe_file(f"{folder.path}/{name}", b"something else")
        else:
            with file.open("wb") as opened:
                opened.write(b"something else")
    with pytest.raises(FormatError, match="not a key snapshot"):
        held(folder, 2)


def test_ids_are_compared_in_order():
    left, right = [ONE + b"1", ONE + b"2", TWO, THREE], [TWO + b"x", THREE + b"y"]
    assert list(only_left(left, right)) == [ONE]
    assert list(both(left, right)) == [TWO, THREE]
    assert list(only_left([], right)) == []


def test_what_killed_tries_left_is_swept_and_nothing_else(tmp_path):
    for name in (".x.csv.1.part", "x.csv", ".y.csv.1.part", ".x.csv.keep"):
        (tmp_path / name).touch()
    sweep(place(str(tmp_path / "x.csv")))
    assert {entry.name for entry in tmp_path.iterdir()} == {"x.csv", ".y.csv.1.part", ".x.csv.keep"}
    sweep(place(str(tmp_path / "nowhere" / "x.csv")))


def test_the_folder_is_hidden_beside_the_file_and_has_a_name_of_its_own():
    found = keys_folder(
        "s3://lake/a b/x.parquet", "account", "my dag", "task.1", -1, "https://contoso.crm.dynamics.com"
    )
    assert found == "s3://lake/a b/.account-my_dag-task_1--1-https_contoso_crm_dynamics_com.keys"


def test_a_runs_place_in_time_is_a_number():
    assert order_number("1970-01-01T00:00:01.000002Z") == 1_000_002
