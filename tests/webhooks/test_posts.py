"""What is read of a post: the table, the message, ids of rows; and nothing that they hold."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_dynamics.webhooks.posts import NotAPost, read_post
from tests.webhooks.bodies import NOBODY, ROW, SECRET_VALUE, body, target

OTHER = "0a81597f-0f9f-e711-8122-000d3aa2331c"


def test_an_update_names_its_row_and_none_of_its_values():
    post = read_post(body())

    assert (post.table, post.message, post.complete) == ("contact", "Update", True)
    assert post.changes == ({"row_id": ROW, "operation": "upsert"},)
    assert SECRET_VALUE not in repr(post)


@pytest.mark.parametrize(
    ("message", "operation"),
    [
        ("Create", "upsert"),
        ("Update", "upsert"),
        ("Upsert", "upsert"),
        ("Assign", "upsert"),
        ("SetState", "upsert"),
        ("SetStateDynamicEntity", "upsert"),
        ("Associate", "upsert"),
        ("Delete", "delete"),
    ],
)
def test_a_message_changes_a_row_or_deletes_it(message: str, operation: str):
    (change,) = read_post(body(MessageName=message)).changes

    assert change == {"row_id": ROW, "operation": operation}


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param(
            [{"key": "EntityMoniker", "value": {"Id": ROW, "LogicalName": "contact"}}], id="EntityMoniker"
        ),
        pytest.param([target()], id="Target"),
        pytest.param(
            [{"key": "Targets", "value": {"Entities": [{"Id": ROW, "LogicalName": "contact"}]}}], id="Targets"
        ),
        pytest.param(
            [{"key": "Targets", "value": [{"Id": ROW, "LogicalName": "contact"}]}], id="Targets as a list"
        ),
    ],
)
def test_where_no_primary_row_is_named_the_parameters_name_it(parameters: list[dict[str, Any]]):
    post = read_post(body(PrimaryEntityId=NOBODY, PrimaryEntityName="none", InputParameters=parameters))

    assert (post.table, [one["row_id"] for one in post.changes]) == ("contact", [ROW])


def test_a_create_of_many_names_each_of_them():
    rows = {"Entities": [{"Id": NOBODY, "LogicalName": "contact"}] * 2, "EntityName": "contact"}
    post = read_post(
        body(
            MessageName="CreateMultiple",
            PrimaryEntityId=NOBODY,
            InputParameters=[{"key": "Targets", "value": rows}],
            OutputParameters=[{"key": "Ids", "value": [ROW, OTHER]}],
        )
    )

    assert [one["row_id"] for one in post.changes] == [ROW, OTHER]
    assert post.complete


def test_a_post_over_256_kb_still_names_its_row():
    post = read_post(body(InputParameters=None, ParentContext=None, PostEntityImages=None))

    assert post.complete
    assert [one["row_id"] for one in post.changes] == [ROW]


def test_a_create_of_many_over_256_kb_still_names_each_of_them():
    made = [{"key": "Ids", "value": [ROW, OTHER]}]

    post = read_post(
        body(
            MessageName="CreateMultiple", PrimaryEntityId=NOBODY, InputParameters=None, OutputParameters=made
        )
    )

    assert ([one["row_id"] for one in post.changes], post.complete) == ([ROW, OTHER], True)


def test_an_update_of_many_over_256_kb_says_that_it_names_none():
    post = read_post(
        body(MessageName="UpdateMultiple", PrimaryEntityId=NOBODY, InputParameters=None, OutputParameters=[])
    )

    assert (post.changes, post.complete) == ((), False)


def test_the_same_post_has_the_same_key_and_every_other_one_another():
    first = body(OperationId=OTHER, CorrelationId=OTHER)
    changed = {
        "MessageName": "Create",
        "PrimaryEntityId": OTHER,
        "PrimaryEntityName": "account",
        "OperationId": ROW,
        "CorrelationId": ROW,
        "OrganizationId": ROW,
    }

    keys = [
        read_post(body(**{"OperationId": OTHER, "CorrelationId": OTHER, name: value})).key
        for name, value in changed.items()
    ]

    assert read_post(first).key == read_post(body(OperationId=OTHER, CorrelationId=OTHER, Depth=2)).key
    assert len({read_post(first).key, *keys}) == len(changed) + 1


@pytest.mark.parametrize("without", [{"OperationId": NOBODY}, {"OperationId": OTHER, "Mode": 0}])
def test_without_a_job_only_the_same_body_is_the_same_post_as_one_request_may_change_a_row_twice(without):
    once, again = (body(CorrelationId=ROW, Depth=depth, **without) for depth in (1, 2))

    assert read_post(once).key == read_post(once).key
    assert read_post(once).key != read_post(again).key


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"{", id="half of it"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'"Update"', id="a text"),
        pytest.param(b"{}", id="no message"),
        pytest.param(body(MessageName=7), id="a number for a message"),
        pytest.param(body(PrimaryEntityName="none", InputParameters=[]), id="no table"),
        pytest.param(body(PrimaryEntityName="contact/../account"), id="a path for a table"),
        pytest.param(body(PrimaryEntityName="x" * 200), id="a long table"),
        pytest.param(
            body(InputParameters={"Target": 1}, PrimaryEntityId=None), id="parameters of another kind"
        ),
        pytest.param(
            body(PrimaryEntityId=NOBODY, InputParameters=[{"key": "Target", "value": 7}]),
            id="a number for a row",
        ),
        pytest.param(
            body(PrimaryEntityId=None, InputParameters=[target(table="lead")]), id="another table's row"
        ),
        pytest.param(b"[" * 100_000, id="very deep"),
        pytest.param(b'{"MessageName":"\xff"}', id="no UTF-8"),
    ],
)
def test_what_dataverse_does_not_post_is_refused_in_words_that_repeat_nothing_of_it(wrong: bytes):
    with pytest.raises(NotAPost) as refused:
        read_post(wrong)

    assert SECRET_VALUE not in str(refused.value)
    assert refused.value.__cause__ is None


def test_members_of_a_newer_platform_are_passed_over():
    assert read_post(body(SomethingNew={"deep": [1, 2]})).table == "contact"
