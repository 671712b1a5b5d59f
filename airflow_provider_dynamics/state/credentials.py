"""Which credential store this deployment has chosen, by `[dynamics] credential_store`.

It is never a connection's choice: people may edit connections who may not choose what code runs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from importlib import import_module
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from airflow_provider_dynamics.auth.store import CredentialStore, NoStore, Record, StoreError
from airflow_provider_dynamics.connection import SettingsError

__all__ = ["credential_store"]

log = logging.getLogger(__name__)

_CHOICES = (
    "variable, none, file:///folder, redis://host:6379/0, rediss://host:6379/0 or the dotted path of a class"
)


def credential_store() -> CredentialStore:
    """Return the deployment's store, one for the process; raises SettingsError where the option or its key is wrong."""
    from airflow.sdk.configuration import conf

    choice = conf.get("dynamics", "credential_store", fallback="") or "variable"
    key = conf.get("dynamics", "credential_store_key", fallback="") or conf.get(
        "core", "fernet_key", fallback=""
    )
    return _store(choice.strip(), key or "")


@lru_cache(maxsize=8)
def _store(choice: str, encryption_key: str) -> CredentialStore:
    try:
        return _chosen(choice, encryption_key)
    except StoreError as error:
        raise SettingsError(
            f"[dynamics] credential_store: {error} The key is [dynamics] credential_store_key, or [core] fernet_key "
            "where that is empty."
        ) from None


def _chosen(choice: str, encryption_key: str) -> CredentialStore:
    scheme, _, rest = choice.partition("://")
    if choice == "variable":
        from airflow_provider_dynamics.state.variable_store import VariableCredentialStore

        return VariableCredentialStore()
    if choice == "none":
        return NoStore()
    if rest and scheme == "file":
        from airflow_provider_dynamics.auth.file_store import FileStore

        return FileStore(_folder(choice), encryption_key)
    if rest and scheme in {"redis", "rediss"}:
        from airflow_provider_dynamics.auth.redis_store import RedisStore

        return RedisStore(choice, encryption_key)
    return _custom(choice)


def _folder(address: str) -> PurePosixPath:
    parts = urlsplit(address)
    folder = PurePosixPath(unquote(parts.path))
    if parts.netloc not in {"", "localhost"} or len(folder.parts) < 2:
        raise SettingsError(
            f"[dynamics] credential_store is '{address}'. A folder is written with three slashes: file:///var/lib/airflow/dynamics."
        )
    return folder


def _custom(path: str) -> CredentialStore:
    """Make a store of the deployment's own class, which is called without arguments."""
    module, _, name = path.rpartition(".")
    if not module or not path.replace(".", "").isidentifier():
        shown = (
            path if "://" not in path else f"{path.partition('://')[0]}://…"
        )  # an address may hold a password
        raise SettingsError(f"[dynamics] credential_store is '{shown}'. Use {_CHOICES}.")
    try:
        store = getattr(import_module(module), name)()
    except (ImportError, AttributeError, TypeError) as error:
        raise SettingsError(f"[dynamics] credential_store '{path}' cannot be made: {error}.") from error
    except StoreError:
        raise
    except Exception as error:  # its words may hold what it connects with
        raise SettingsError(
            f"[dynamics] credential_store '{path}' cannot be made: it raised {type(error).__name__}."
        ) from error
    missing = [
        part for part in ("load", "save", "delete", "lock") if not callable(getattr(store, part, None))
    ]
    if missing:
        raise SettingsError(f"[dynamics] credential_store '{path}' has no {' and no '.join(missing)}.")
    return _Foreign(store, path)


class _Foreign:
    """A deployment's own store, of which every error is one that sign-ins know how to take."""

    def __init__(self, store: CredentialStore, path: str) -> None:
        self._store = store
        self._path = path

    def __repr__(self) -> str:
        return repr(self._store)

    def load(self, key: str) -> Record | None:
        with self._asking():
            return self._store.load(key)

    def save(self, key: str, record: Record, *, expected: int) -> bool:
        with self._asking():
            return self._store.save(key, record, expected=expected)

    def delete(self, key: str) -> None:
        with self._asking():
            self._store.delete(key)

    @contextmanager
    def lock(self, key: str, timeout: float) -> Iterator[None]:
        with self._asking():
            held = self._store.lock(key, timeout)
            held.__enter__()
        try:
            yield
        finally:
            self._release(held)

    def _release(self, held: AbstractContextManager[None]) -> None:
        """Give the lock back; what was done under it is done, so a failure here is only told."""
        try:
            held.__exit__(None, None, None)
        except Exception as error:  # noqa: BLE001 - the deployment's own code, which may raise anything
            log.warning("%s did not give its lock back (%s).", self._path, type(error).__name__)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except Exception as error:
            raise StoreError(f"{self._path} raised {type(error).__name__}.", retryable=True) from error
