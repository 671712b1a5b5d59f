"""Who and what exists in every emulated environment: the ids other modules and tests may rely on."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_dynamics.emulator.schema.model import stable_id

ORGANIZATION_ID = "0a1b2c3d-4e5f-4061-8728-394a5b6c7d8e"


@dataclass(frozen=True)
class Organization:
    """The one organization of an environment; ``name`` is unique, ``friendly_name`` what people read."""

    organization_id: str
    name: str
    friendly_name: str
    version: str = "9.2.26043.180"


CONTOSO = Organization(ORGANIZATION_ID, "contoso", "Contoso")
ROOT_UNIT = stable_id("businessunit", "contoso")
DEFAULT_TEAM = stable_id("team", "contoso")
SERVICE_USER = stable_id("systemuser", "administrator")
US_DOLLAR = stable_id("transactioncurrency", "USD")
EURO = stable_id("transactioncurrency", "EUR")
