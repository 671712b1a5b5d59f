"""Rows are known by their keys: the same key twice is refused, and the same key always makes the same id."""

from __future__ import annotations

import uuid
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_dynamics.transfers.loads.duplicates import Duplicates
from airflow_provider_dynamics.transfers.loads.row_ids import NAMESPACE, ContentIds, KeyIds, row_id
from airflow_provider_dynamics.transfers.loads.seen import Seen
from tests.airflow.transfers.loads.tables import ACCOUNT, row, rows, why

NUMBERS = ("A1", "A2", "A3")


@pytest.fixture
def duplicates():
    made = []

    def make(*columns):
        made.append(Duplicates(ACCOUNT, columns or ("accountnumber",)))
        return made[-1]

    yield make
    for one in made:
        one.close()


def numbered(*numbers, first=1):
    return rows([{"accountnumber": number} for number in numbers], first)


def test_rows_with_keys_of_their_own_pass(duplicates):
    batch = numbered(*NUMBERS)
    duplicates()(batch)

    assert [one.reject for one in batch] == [None] * 3


@pytest.mark.parametrize(
    ("first", "again"),
    [
        pytest.param("A1", "A1", id="the same"),
        pytest.param("A1", "a1  ", id="the same to Dataverse: case and blanks at the end"),
        pytest.param("Straße" * 20, "STRASSE" * 20, id="long ones, by their digest"),
        pytest.param("José", "Jose", id="but for an accent, which most collations ignore"),
        pytest.param("Jose", "Jose\u0301", id="an accent of its own"),
        pytest.param("A１", "a1", id="wide letters"),  # noqa: RUF001 - that is the point
    ],
)
def test_the_second_row_of_a_key_is_refused_and_names_the_first(duplicates, first, again):
    batch = numbered(first, "B", again)
    duplicates()(batch)

    assert [one.reject is None for one in batch] == [True, True, False]
    assert "the same accountnumber as row 1, which was taken" in why(batch[2]).message
    assert (why(batch[2]).row, why(batch[2]).column) == (3, "accountnumber")


def test_a_key_is_remembered_from_batch_to_batch(duplicates):
    stage = duplicates()
    stage(numbered(*(f"N{number}" for number in range(1, 1201))))
    batch = numbered("N700", "N1300", "n2", first=1201)
    stage(batch)

    assert [one.reject and one.reject.message.split(",")[0] for one in batch] == [
        "the same accountnumber as row 700",
        None,
        "the same accountnumber as row 2",
    ]


def test_every_further_row_of_a_key_names_the_first(duplicates):
    batch = numbered("A", "A", "A")
    duplicates()(batch)

    assert ["row 1" in why(one).message for one in batch[1:]] == [True, True]


def test_a_row_that_is_refused_already_takes_no_key(duplicates):
    stage, batch = duplicates(), numbered("A", "A")
    batch[0].reject = object()
    stage(batch)

    assert batch[1].reject is None


@pytest.mark.parametrize("empty", [None, "", "   "], ids=repr)
def test_a_row_without_a_value_for_its_key_is_refused(duplicates, empty):
    batch = rows([{"accountnumber": empty}, {"name": "x"}])
    duplicates()(batch)

    assert all("column accountnumber: a row is known by it" in why(one).message for one in batch)
    assert {why(one).column for one in batch} == {"accountnumber"}


def test_keys_of_several_columns_and_types_are_compared_as_dataverse_compares_them(duplicates):
    batch = rows(
        [
            {"name": "a", "revenue": Decimal("1.50"), "opened": "2024-01-31"},
            {"name": "A", "revenue": Decimal("1.5"), "opened": "2024-01-31"},
            {"name": "A", "revenue": Decimal("1.5"), "opened": "2024-02-01"},
        ]
    )
    duplicates("name", "revenue", "opened")(batch)

    assert [one.reject is None for one in batch] == [True, False, True]


def test_a_row_id_that_is_none_is_refused_by_name(duplicates):
    batch = rows([{"accountid": "A1"}])
    duplicates("accountid")(batch)

    assert "'A1' is not a row id" in why(batch[0]).message
    assert why(batch[0]).column == "accountid"


def test_a_lookup_in_a_key_is_known_by_whatever_it_is_given_as(duplicates):
    batch = rows(
        [
            {"primarycontactid@odata.bind": "/contacts(1)"},
            {"primarycontactid.firstname": "Ann", "primarycontactid.lastname": "Lee"},
            {"primarycontactid.firstname": "Ann", "primarycontactid.lastname": "Moe"},
            {"primarycontactid": "ann@example.com"},
            {"primarycontactid": "ANN@example.com"},
            {"primarycontactid": None},
        ]
    )
    duplicates("primarycontactid")(batch)

    assert [one.reject is None for one in batch] == [True, True, True, True, False, False]


def test_the_index_leaves_nothing_on_the_disk(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    import tempfile

    before, tempfile.tempdir = tempfile.tempdir, str(tmp_path)
    try:
        seen = Seen()
        assert list(tmp_path.iterdir())
        seen.close()
        seen.close()
    finally:
        tempfile.tempdir = before
    assert list(tmp_path.iterdir()) == []


@given(
    batches=st.lists(st.lists(st.text(max_size=3), max_size=6), max_size=6),
    recent=st.sampled_from([1, 4, 1_000]),
)
def test_the_index_knows_what_a_dict_knows(batches, recent):
    seen, number = Seen(recent=recent), 0
    known: dict[str, int] = {}
    for texts in batches:
        numbers = list(range(number, number + len(texts)))
        number += len(texts)
        expected = {}
        for place, (text, at) in enumerate(zip(texts, numbers, strict=True)):
            if known.setdefault(text, at) != at:
                expected[place] = known[text]
        assert dict(seen.add(texts, numbers)) == expected
    seen.close()


# -- ids


@given(st.text(max_size=50))
def test_an_id_is_the_uuid_that_the_standard_makes(name):
    made = row_id(name)

    assert uuid.UUID(made).version == 5
    assert made == str(uuid.uuid5(NAMESPACE, name))


def with_ids(stage, batch):
    stage(batch)
    return [one.values.get("accountid") for one in batch]


def test_the_same_key_makes_the_same_id_in_every_run():
    first = with_ids(KeyIds(ACCOUNT, ["accountnumber"]), numbered(*NUMBERS))
    again = with_ids(KeyIds(ACCOUNT, ["accountnumber"]), numbered("a3", "A2 ", "A1"))

    assert first == again[::-1]
    assert len(set(first)) == 3
    # never to change: another id would make every row again
    assert first[0] == "13ccf708-36c5-5a0d-8c07-39773be7bbc4"


def test_the_order_in_which_columns_are_named_makes_no_difference():
    raw = [{"accountnumber": "A", "name": "B"}]

    one = with_ids(KeyIds(ACCOUNT, ["accountnumber", "name"]), rows(raw))
    other = with_ids(KeyIds(ACCOUNT, ["name", "accountnumber"]), rows(raw))
    assert one == other
    assert one != with_ids(
        KeyIds(ACCOUNT, ["accountnumber", "name"]), rows([{"accountnumber": "B", "name": "A"}])
    )


def test_an_id_can_be_made_from_a_column_that_is_not_sent():
    batch = [row(1, {"legacy": 7, "name": "x"}, {"name": "x"})]

    assert with_ids(KeyIds(ACCOUNT, ["legacy"]), batch) == with_ids(
        KeyIds(ACCOUNT, ["legacy"]), [row(1, {"legacy": "7"}, {})]
    )
    assert batch[0].row_id == batch[0].values["accountid"]


def test_a_row_keeps_an_id_of_its_own_and_one_without_a_key_is_refused():
    own = "0f1a7a3c-2b57-4c1d-9f35-3a2a3ac1b001"
    batch = rows([{"accountid": own, "accountnumber": "A"}, {"accountnumber": None}])
    KeyIds(ACCOUNT, ["accountnumber"])(batch)

    assert batch[0].row_id == own
    assert "accountnumber" in why(batch[1]).message


def test_a_delete_sends_the_id_alone():
    batch = numbered("A")
    KeyIds(ACCOUNT, ["accountnumber"], only=True)(batch)

    assert list(batch[0].values) == ["accountid"]


def content_ids(scope, *batches):
    stage = ContentIds(ACCOUNT, scope)
    made = [one for batch in batches for one in with_ids(stage, batch)]
    stage.close()
    return made


def test_without_a_key_a_retry_makes_the_same_ids_and_another_run_others():
    def make():
        return numbered("A", "B", "A"), numbered("A", "C", first=4)

    first = content_ids("dag task run1", *make())

    assert content_ids("dag task run1", *make()) == first
    assert not set(content_ids("dag task run2", *make())) & set(first)
    assert len(set(first)) == 5


def test_equal_rows_are_told_apart_by_their_place_among_their_equals():
    first = content_ids(
        "run", rows([{"name": "a", "revenue": 1}, {"name": "b"}, {"revenue": 1, "name": "a"}])
    )
    again = content_ids(
        "run", rows([{"name": "a", "revenue": 1}, {"name": "a", "revenue": 1}, {"name": "b"}])
    )

    assert first[0] != first[2]
    assert sorted(first) == sorted(again)


def test_accents_tell_rows_apart_whose_ids_are_made_from_them():
    stage = Duplicates(ACCOUNT, ("accountnumber",), made_ids=True)
    batch = numbered("José", "Jose")
    stage(batch)
    stage.close()

    assert [one.reject for one in batch] == [None, None]


def test_a_refused_accent_says_why_it_is_no_other_key(duplicates):
    batch = numbered("José", "Jose")
    duplicates()(batch)

    assert "accents make no other key" in why(batch[1]).message
