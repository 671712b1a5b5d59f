"""Sensors: wait for something in Dynamics, on a worker or, deferred, in the triggerer.

Names are imported when they are asked for, so that a DAG file loads only what it uses.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_dynamics.sensors.base import DynamicsSensor
    from airflow_provider_dynamics.sensors.changes import DynamicsChangeSensor
    from airflow_provider_dynamics.sensors.credentials import DynamicsCredentialExpirySensor
    from airflow_provider_dynamics.sensors.jobs import DynamicsJobSensor
    from airflow_provider_dynamics.sensors.rows import DynamicsRowSensor

__all__ = [
    "DynamicsChangeSensor",
    "DynamicsCredentialExpirySensor",
    "DynamicsJobSensor",
    "DynamicsRowSensor",
    "DynamicsSensor",
]

_HOMES = {
    "DynamicsChangeSensor": "changes",
    "DynamicsCredentialExpirySensor": "credentials",
    "DynamicsJobSensor": "jobs",
    "DynamicsRowSensor": "rows",
    "DynamicsSensor": "base",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
