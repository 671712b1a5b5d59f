"""What a connection means: the form's fields in, validated settings out, and from those a client.

Airflow's form checks nothing, so everything is checked here, and every complaint names the field by its label
and says what to enter instead. Nothing here imports Airflow: fields come as plain values.
"""

from __future__ import annotations

from airflow_provider_dynamics.connection.fields import SettingsError
from airflow_provider_dynamics.connection.settings import Settings

__all__ = ["Settings", "SettingsError"]
