"""Tables are loaded after those they point to, and only what goes round in a circle waits: for any set of tables."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_dynamics.transfers.loads.order import Node, in_turn, ordered
from airflow_provider_dynamics.transfers.loads.passes import Pass

TABLES = "abcdefg"


def node(table, points_to="", operation="upsert"):
    return Node(table, operation, frozenset(points_to))


def order_of(*nodes):
    return "".join(nodes[place.index].table for place in ordered(nodes))


def waits(*nodes):
    return {nodes[place.index].table: "".join(sorted(place.later)) for place in ordered(nodes)}


def test_what_is_pointed_to_goes_first():
    assert order_of(
        node("line", ["order", "product"]), node("order", ["account"]), node("account"), node("product")
    ) == ("accountorderproductline")


def test_tables_without_relationships_keep_their_order():
    assert order_of(node("c"), node("a"), node("b")) == "cab"


def test_in_a_circle_the_one_that_needs_the_fewest_goes_first():
    circle = (node("a", "bc"), node("b", "ca"), node("c", "a"))
    assert order_of(*circle) == "cab"
    assert waits(*circle) == {"c": "abc", "a": "ab", "b": "b"}


def test_what_only_points_into_a_circle_waits_for_nothing():
    nodes = (node("x", "ab"), node("a", "b"), node("b", "a"))
    assert order_of(*nodes) == "abx"
    assert waits(*nodes) == {"a": "abx", "b": "bx", "x": "x"}


def test_rows_that_are_only_updated_are_there_already():
    assert order_of(node("a", "b"), node("b", operation="update")) == "ab"
    assert waits(node("a", "b"), node("b", operation="update")) == {"a": "a", "b": ""}


def test_deletions_come_last_and_what_points_goes_before_what_is_pointed_to():
    nodes = (node("b", operation="delete"), node("a", "b", "delete"), node("c", "b"))
    assert [nodes[place.index].table for place in ordered(nodes)] == ["c", "a", "b"]


def test_passes_of_one_kind_run_before_the_next_kind_starts():
    def of(*kinds):
        return [Pass(number, "update", kind=kind) for number, kind in enumerate(kinds, 1)]

    turns = in_turn(
        [of("rows", "lookups", "state"), of("rows", "owner", "state"), of("rows")], [False, False, True]
    )
    assert [(place, one.kind) for place, one in turns] == [
        (0, "rows"),
        (1, "rows"),
        (0, "lookups"),
        (1, "owner"),
        (0, "state"),
        (1, "state"),
        (2, "rows"),
    ]


NODES = st.lists(
    st.builds(
        Node,
        st.sampled_from(TABLES),
        st.sampled_from(["create", "upsert", "update"]),
        st.frozensets(st.sampled_from(TABLES), max_size=4),
    ),
    max_size=8,
)


def needed(nodes, index):
    return {
        i
        for i, other in enumerate(nodes)
        if i != index and other.creates and other.table in nodes[index].points_to
    }


def reaches(nodes, start):
    found: set[int] = set()
    left = [start]
    while left:
        for other in needed(nodes, left.pop()) - found:
            found.add(other)
            left.append(other)
    return found


@given(NODES)
def test_every_load_has_one_place(nodes):
    assert sorted(place.index for place in ordered(nodes)) == list(range(len(nodes)))


@given(NODES)
def test_a_load_goes_before_one_it_needs_only_inside_a_circle(nodes):
    places = {place.index: number for number, place in enumerate(ordered(nodes))}
    for index in range(len(nodes)):
        for other in needed(nodes, index):
            assert places[other] < places[index] or index in reaches(nodes, other)


@given(NODES)
def test_whatever_a_row_points_to_is_there_when_it_is_sent(nodes):
    """First passes send what does not point to `later` tables, later passes the rest: no load's rows are missing then."""
    placed = ordered(nodes)
    finished: list[int] = []
    for place in placed:
        own = nodes[place.index]
        for table in own.points_to - place.later:
            creating = {i for i, other in enumerate(nodes) if other.creates and other.table == table}
            assert creating <= {*finished}
        finished.append(place.index)
    everything = {node.table for node in nodes if node.creates}
    assert all(place.later <= everything for place in placed)


@given(NODES)
def test_the_same_loads_have_the_same_order_each_time(nodes):
    assert ordered(nodes) == ordered(list(nodes))
