"""Every trigger of ours goes through Airflow's database and comes out in the triggerer as it went in."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import pytest
from airflow.models.trigger import Trigger

from airflow_provider_dynamics import triggers

ABSTRACT = {"DynamicsClientTrigger", "DynamicsTrigger"}
CLASSES = sorted(
    name for name in triggers.__all__ if name.endswith("Trigger") and name not in ABSTRACT
)  # a new trigger is among them by itself
VALUES: dict[str, Any] = {
    "table": "account",
    "job_id": "00000000-0000-0000-0000-000000000001",
    "kind": "background",
    "place": {
        "environment": "https://a.crm.dynamics.com",
        "link": "https://a/changes?token=1",
        "recent": {"a": 1},
    },
    "select": ["name"],
    "filter": "name eq 'O''Neill {{ ds }}'",
    "answer": {"JobId": "1", "Nested": [{"a": None}]},
    "means": "versions",
    "start": "2026-01-01T00:00:00Z",
    "on_error": "event",
    "environment": "https://b.crm.dynamics.com",
}


def other(parameter: inspect.Parameter) -> Any:
    """Return a value that is not the default."""
    if parameter.name in VALUES:
        return VALUES[parameter.name]
    default = parameter.default
    if isinstance(default, bool):
        return not default
    return f"{default} too" if isinstance(default, str) else (default or 0) + 7


@pytest.mark.parametrize("name", CLASSES)
def test_a_trigger_is_the_same_behind_airflows_database(name):
    cls = getattr(triggers, name)
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
    given = {one.name: other(one) for one in parameters}
    path, arguments = cls(**given).serialize()

    kept = Trigger._decrypt_kwargs(Trigger.encrypt_kwargs(arguments))
    module, _, called = path.rpartition(".")
    again = getattr(import_module(module), called)(**kept)

    assert arguments == given
    assert type(again) is cls
    assert again.serialize() == (path, arguments)
