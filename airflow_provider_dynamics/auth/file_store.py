"""Keeps credentials as encrypted files in a folder, for deployments whose processes share one.

A lock file makes one process at a time redeem a refresh token, and a file is replaced as a whole, so that a
process that dies in between leaves the old one.
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from airflow_provider_dynamics.auth.cipher import Cipher
from airflow_provider_dynamics.auth.store import Record, StoreError, generation, held_too_long

__all__ = ["FileStore"]

_POLL = 0.02  # seconds between two looks at a lock that another process holds
_SAVE_TIMEOUT = 10.0  # seconds; a save is a matter of milliseconds
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,249}")


class FileStore:
    """Records as files, readable by their owner only; `encryption_key` is a Fernet key.

    The folder is made where it is missing. On a network share the file system must support locks (NFS 4 does).
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        encryption_key: str,
        *,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._folder = Path(folder)
        self._cipher = Cipher(encryption_key)
        self._sleep = sleep

    def __repr__(self) -> str:
        return f"FileStore({str(self._folder)!r})"

    def load(self, key: str) -> Record | None:
        path = self._path(key)
        try:
            sealed = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable("read", error) from error
        return self._cipher.open(sealed, str(path))

    def save(self, key: str, record: Record, *, expected: int) -> bool:
        path = self._path(key)
        with self._locked(f"{path}.save.lock", _SAVE_TIMEOUT):
            if generation(self.load(key)) != expected:
                return False
            try:
                self._replace(path, self._cipher.seal(record))
            except OSError as error:
                raise self._unusable("written", error) from error
            return True

    def delete(self, key: str) -> None:
        path = self._path(key)
        with self._locked(f"{path}.save.lock", _SAVE_TIMEOUT):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise self._unusable("deleted from", error) from error

    @contextmanager
    def lock(self, key: str, timeout: float) -> Iterator[None]:
        with self._locked(f"{self._path(key)}.lock", timeout):
            yield

    def _path(self, key: str) -> Path:
        if not _PLAIN.fullmatch(key):
            raise StoreError(f"{key!r} cannot be the name of a file of credentials.")
        return self._folder / f"{key}.fernet"

    @contextmanager
    def _locked(self, path: str, timeout: float) -> Iterator[None]:
        """Hold an exclusive lock, which the operating system ends with the process; the empty file stays."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._unusable("written", error) from error
        try:
            waited = 0.0
            while not self._obtained(handle):
                if waited >= timeout:
                    raise StoreError(held_too_long(path, timeout), retryable=True)
                self._sleep(_POLL)
                waited += _POLL
            yield
        finally:
            os.close(handle)

    def _obtained(self, handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise self._unusable("locked", error) from error
        return True

    def _replace(self, path: Path, content: bytes) -> None:
        handle, temporary = tempfile.mkstemp(dir=self._folder, prefix=".", suffix=".new")  # mode 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(temporary).unlink()
            raise
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _unusable(self, done: str, error: OSError) -> StoreError:
        return StoreError(
            f"The credential store's folder {self._folder} cannot be {done}: {error.strerror or error}. It must "
            "exist and belong to the user Airflow runs as, on every machine.",
            retryable=not isinstance(error, (PermissionError, NotADirectoryError, FileExistsError)),
        )
