"""Keeps credentials in Airflow Variables: the one place that tasks and triggers can write and that Airflow encrypts.

Variables are written blindly, the last one wins. Therefore a token is in one Variable and the failure beside it
in another: whoever marks a token as dead can never overwrite the token that another process has just saved.
"""

from __future__ import annotations

import json
import logging
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from typing import Any

from airflow_provider_dynamics.auth.store import Failure, Record, StoreError, generation
from airflow_provider_dynamics.state.variables import AirflowVariables, Variables, of_one_thread

__all__ = ["VariableCredentialStore"]

log = logging.getLogger(__name__)

_TOKEN = "The newest refresh token of a Microsoft Dynamics 365 connection; delete it to go back to the connection's own"  # noqa: S105 - a description
_FAILURE = (
    "Why a Microsoft Dynamics 365 connection could not sign in; delete it to have it tried again at once"
)


class VariableCredentialStore:
    """Records in Variables; what it compares before it writes may have changed when it writes, and it has no lock.

    That is enough for services that let an old refresh token live on, as Entra does, and for those that allow
    each a single use; those that revoke them all when one is used twice need a store with a lock.
    """

    def __init__(self, variables: Variables | None = None) -> None:
        self._variables = variables or AirflowVariables()

    def __repr__(self) -> str:
        return "VariableCredentialStore()"

    @property
    def of_one_thread(self) -> bool:
        """Whether only the thread that runs the task may ask now."""
        return of_one_thread()

    def load(self, key: str) -> Record | None:
        return _joined(_record(key, self._variables.get(key)), _mark(self._variables.get(_beside(key))))

    def save(self, key: str, record: Record, *, expected: int) -> bool:
        text = self._variables.get(key)
        token = _record(key, text)
        if generation(_joined(token, _mark(self._variables.get(_beside(key))))) != expected:
            return False
        if _token_part(record) == _token_part(token):
            self._save_failure(key, record, of=generation(token))
        else:
            self._save_token(key, record, before=text)
        return True

    def delete(self, key: str) -> None:
        self._variables.delete(key)
        self._variables.delete(_beside(key))

    def lock(self, key: str, timeout: float) -> AbstractContextManager[None]:
        return nullcontext()

    def _save_token(self, key: str, record: Record, *, before: str | None) -> None:
        if self._variables.in_clear():
            raise StoreError(
                f"The refresh token was not saved as Variable {key}, since Airflow would keep it in clear text. Set "
                "[core] fernet_key, or choose another [dynamics] credential_store."
            )
        self._variables.put(key, replace(record, failure=None).to_json(), _TOKEN)
        now = self._variables.get(key)
        if now is None:
            raise StoreError(f"The Variable {key} was written and could not be read again.", retryable=True)
        if now == before:
            raise StoreError(
                f"The Variable {key} was written, but reads as before: a secrets backend or an environment variable "
                "holds one of the same name, which goes first. Delete it there."
            )

    def _save_failure(self, key: str, record: Record, *, of: int) -> None:
        failure = asdict(record.failure) if record.failure else None
        mark = {"of": of, "count": record.generation - of, "failure": failure}
        self._variables.put(_beside(key), json.dumps(mark), _FAILURE)


def _beside(key: str) -> str:
    return f"{key}.failure"


def _joined(token: Record | None, mark: dict[str, Any] | None) -> Record | None:
    """Return a record with the failure beside it, unless that is of an older token and means nothing any more."""
    if mark is None or mark["of"] != generation(token):
        return token
    later = generation(token) + mark["count"]
    return replace(token or Record(), generation=later, failure=mark["failure"])


def _token_part(record: Record | None) -> Record:
    return replace(record or Record(), generation=0, failure=None)


def _record(key: str, text: str | None) -> Record | None:
    if not text:
        return None
    try:
        return Record.from_json(text)
    except ValueError:
        log.warning("The Variable %s holds no refresh token of ours; the connection's own is used.", key)
        return None


def _mark(text: str | None) -> dict[str, Any] | None:
    try:
        mark: Any = json.loads(text or "null")
        failure = Failure(**mark["failure"]) if mark["failure"] else None
        return {"of": int(mark["of"]), "count": int(mark["count"]), "failure": failure}
    except (ValueError, TypeError, KeyError):
        return None
