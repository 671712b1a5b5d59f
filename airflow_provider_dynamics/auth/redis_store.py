"""Keeps credentials in Redis, encrypted, for deployments whose processes share no folder; needs the extra `redis`.

The lock is a key that ends by itself when its holder dies and is prolonged while the holder lives. A record is
compared and replaced in one step on the server.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_dynamics.auth.cipher import Cipher
from airflow_provider_dynamics.auth.store import Record, StoreError, held_too_long

if TYPE_CHECKING:
    import redis

__all__ = ["RedisStore"]

LEASE = 30.0  # seconds a lock outlives a holder that died
_POLL = 0.05  # seconds between two tries to obtain a lock
_TIMEOUT = 5.0  # seconds to connect, and to wait for an answer

_SAVE = """
local found = tonumber(redis.call('HGET', KEYS[1], 'generation') or '0')
if found ~= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'generation', ARGV[2], 'record', ARGV[3])
return 1
"""
_PROLONG = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0"
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class RedisStore:
    """Records as hashes in the Redis at `url` (redis://, rediss:// for TLS); `encryption_key` is a Fernet key.

    https://redis.io/docs/latest/develop/clients/patterns/distributed-locks/
    """

    def __init__(
        self,
        url: str,
        encryption_key: str,
        *,
        lease: float = LEASE,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        try:
            import redis
        except ImportError:
            raise StoreError(
                "The credential store is in Redis, but the Redis client is not installed: "
                "pip install 'airflow-provider-dynamics[redis]'."
            ) from None
        self._cipher = Cipher(encryption_key)
        self._place = urlsplit(url).netloc.rpartition("@")[2]  # without user and password
        self._lease = lease
        self._sleep = sleep
        try:
            self._redis: redis.Redis = redis.Redis.from_url(
                url, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT
            )
        except ValueError:
            raise StoreError(
                "The credential store's address is no Redis URL (redis://host:port/0)."
            ) from None

    def __repr__(self) -> str:
        return f"RedisStore({self._place!r})"

    def load(self, key: str) -> Record | None:
        with self._speaking():
            sealed: Any = self._redis.hget(key, "record")
        return None if sealed is None else self._cipher.open(sealed, f"{key} in Redis at {self._place}")

    def save(self, key: str, record: Record, *, expected: int) -> bool:
        sealed = self._cipher.seal(record)
        with self._speaking():
            given: tuple[Any, ...] = (key, str(expected), str(record.generation), sealed)
            return bool(self._redis.eval(_SAVE, 1, *given))

    def delete(self, key: str) -> None:
        with self._speaking():
            self._redis.delete(key)

    @contextmanager
    def lock(self, key: str, timeout: float) -> Iterator[None]:
        name, owner = f"{key}.lock", secrets.token_hex(16)
        waited = 0.0
        while not self._obtained(name, owner):
            if waited >= timeout:
                raise StoreError(held_too_long(f"Redis at {self._place}", timeout), retryable=True)
            self._sleep(_POLL)
            waited += _POLL
        ended = threading.Event()
        keeper = threading.Thread(target=self._prolong, args=(name, owner, ended), daemon=True)
        keeper.start()
        try:
            yield
        finally:
            ended.set()
            keeper.join()
            self._release(name, owner)

    def _obtained(self, name: str, owner: str) -> bool:
        with self._speaking():
            return bool(self._redis.set(name, owner, nx=True, px=int(self._lease * 1000)))

    def _prolong(self, name: str, owner: str, ended: threading.Event) -> None:
        while not ended.wait(self._lease / 3):
            with suppress(StoreError), self._speaking():  # it has two more chances
                self._redis.eval(_PROLONG, 1, name, owner, str(int(self._lease * 1000)))

    def _release(self, name: str, owner: str) -> None:
        with suppress(StoreError), self._speaking():  # it would end by itself
            self._redis.eval(_RELEASE, 1, name, owner)

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        import redis

        try:
            yield
        except redis.RedisError as error:
            passing = isinstance(error, (redis.ConnectionError, redis.TimeoutError)) and not isinstance(
                error, redis.AuthenticationError
            )
            raise StoreError(
                f"The credential store in Redis at {self._place} cannot be used ({type(error).__name__}). Check "
                "[dynamics] credential_store and that this machine reaches Redis.",
                retryable=passing,
            ) from error
