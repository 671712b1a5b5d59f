"""Who and what exists in every emulated environment: the ids other modules and tests may rely on."""

from __future__ import annotations

from airflow_provider_dynamics.emulator.schema.model import stable_id

ORGANIZATION_ID = "0a1b2c3d-4e5f-4061-8728-394a5b6c7d8e"
ROOT_UNIT = stable_id("businessunit", "contoso")
DEFAULT_TEAM = stable_id("team", "contoso")
SERVICE_USER = stable_id("systemuser", "administrator")
US_DOLLAR = stable_id("transactioncurrency", "USD")
EURO = stable_id("transactioncurrency", "EUR")
