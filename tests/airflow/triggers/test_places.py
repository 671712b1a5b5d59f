"""Where a watcher keeps what it must not forget."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_dynamics.triggers.places import VariablePlace, place_of


class Variables:
    """Airflow's Variables in memory."""

    def __init__(self):
        self.texts = {}

    def get(self, key):
        return self.texts.get(key)

    def put(self, key, text, description):
        assert description
        self.texts[key] = text

    def delete(self, key):
        self.texts.pop(key, None)

    def in_clear(self):
        return False


class OneAsset:
    async def aget(self, key, default=None):
        return default

    async def aset(self, key, value): ...

    async def adelete(self, key): ...


class SeveralAssets(OneAsset):
    async def aget(self, key, default=None):
        raise ValueError("Task has 2 concrete inlets and outlets")


def test_a_variable_keeps_a_value_until_it_is_deleted():
    variables = Variables()

    async def work():
        place = VariablePlace(variables)
        before = await place.aget("k", "none")
        await place.aset("k", {"link": "x"})
        kept = await place.aget("k")
        assert list(variables.texts) == ["dynamics_watcher.k"]
        await place.adelete("k")
        return before, kept, await place.aget("k")

    assert asyncio.run(work()) == ("none", {"link": "x"}, None)


def test_an_assets_own_store_is_used_where_there_is_one():
    store = OneAsset()

    assert asyncio.run(place_of(store, "k")) == store


@pytest.mark.parametrize(
    "store",
    [pytest.param(None, id="Airflow 3.2"), pytest.param(SeveralAssets(), id="one watcher of several assets")],
)
def test_variables_serve_where_there_is_no_store_for_the_watcher_alone(store):
    assert isinstance(asyncio.run(place_of(store, "k")), VariablePlace)
