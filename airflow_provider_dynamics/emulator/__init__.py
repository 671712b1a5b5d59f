"""A Dataverse environment and its sign-in services that run on this machine: for tests, for the demo, for a first try.

Importing this costs nothing; the server and its libraries are loaded with the first use of `Emulator`. Where to read
on: `faults` (what can be made to fail), `jobs` (how system jobs go), `webhooks` (how registered webhooks are posted to),
`environments` (more environments, on premises too, and the discovery service), `custom_apis` (operations of one's own),
`customizing` (tables and columns that are made and changed), `solutions` (carried from one environment to another),
`sign_ins` (what can be turned at the sign-in services), `directory` (which applications and people there are), `identity`
(ids, certificates and tokens for clients).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_dynamics.emulator.emulator import Emulator

__all__ = ["Emulator"]

NEEDED = ("cryptography", "odata_query", "sqlalchemy", "uvicorn")
INSTALL = 'pip install "airflow-provider-dynamics[emulator]"'


def __getattr__(name: str) -> Any:
    if name != "Emulator":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from airflow_provider_dynamics.emulator.emulator import Emulator
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in NEEDED:
            raise
        raise ImportError(f"the emulator needs {missing}, which is not installed: {INSTALL}") from error
    return Emulator
