"""Airflow's Variables from wherever we run: tasks and triggers ask their supervisor, the API server and the command line their database.

Neither of Airflow's two classes does for both.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Protocol

from airflow_provider_dynamics.auth.store import StoreError

__all__ = ["AirflowVariables", "Variables", "of_one_thread"]

log = logging.getLogger(__name__)

_RUNNER = "airflow.sdk.execution_time.task_runner"


class Variables(Protocol):
    """Texts by name, written blindly; all raise StoreError."""

    def get(self, key: str) -> str | None: ...

    def put(self, key: str, text: str, description: str) -> None: ...

    def delete(self, key: str) -> None: ...

    def in_clear(self) -> bool: ...


class AirflowVariables:
    """What `airflow.sdk.Variable` and `airflow.models.Variable` do, each where it works."""

    def get(self, key: str) -> str | None:
        """Return a Variable's text, None if there is none."""
        try:
            found = _class().get(key, None) if _is_supervised() else _stored(key)
        except Exception as error:  # whatever lies between here and Airflow's database
            raise _unusable(key, "read", error) from error
        return None if found is None else str(found)

    def put(self, key: str, text: str, description: str) -> None:
        """Write a Variable, whatever it held before."""
        try:
            _class().set(key, text, description=description)
        except Exception as error:
            raise _unusable(key, "written", error) from error

    def delete(self, key: str) -> None:
        """Delete a Variable if there is one."""
        try:
            _class().delete(key)
        except Exception as error:
            raise _unusable(key, "deleted", error) from error

    def in_clear(self) -> bool:
        """Say whether Airflow's encryption can be seen to be off; a worker cannot see it."""
        if _is_supervised():
            return False
        from airflow.models.crypto import get_fernet

        return not get_fernet().is_encrypted


def of_one_thread() -> bool:
    """Say whether only one thread may ask for Airflow's data, as in `dag.test()`, whose supervisor is in this process."""
    found = getattr(sys.modules.get(_RUNNER), "SUPERVISOR_COMMS", None)
    return type(found).__name__ == "InProcessSupervisorComms"


def _is_supervised() -> bool:
    """Say whether this is a task's or a trigger's process, which reaches Airflow's data through its supervisor only."""
    return getattr(sys.modules.get(_RUNNER), "SUPERVISOR_COMMS", None) is not None


def _class() -> Any:
    if _is_supervised():
        from airflow.sdk import Variable

        return Variable
    from airflow.models.variable import Variable as Stored

    return Stored


def _stored(key: str) -> Any:
    """Look where Airflow looks, in its order. Its own way takes a database that is away for one that holds nothing.

    https://airflow.apache.org/docs/apache-airflow/stable/security/secrets/secrets-backend/index.html
    """
    from airflow.configuration import ensure_secrets_loaded
    from airflow.secrets.metastore import MetastoreBackend

    for backend in ensure_secrets_loaded():
        try:
            found = backend.get_variable(key=key)
        except Exception as error:
            if isinstance(backend, MetastoreBackend):
                raise
            log.debug("%s could not be asked (%s)", type(backend).__name__, type(error).__name__)
            continue
        if found is not None:
            return found
    return None


def _unusable(key: str, done: str, error: Exception) -> StoreError:
    denied = isinstance(error, PermissionError)
    reason = "access to it is denied" if denied else type(error).__name__
    return StoreError(f"The Variable {key} could not be {done} ({reason}).", retryable=not denied)
