"""Encrypts what a store of our own keeps, since neither a file nor Redis does that."""

from __future__ import annotations

from airflow_provider_dynamics.auth.store import Record, StoreError

__all__ = ["Cipher"]


class Cipher:
    """Fernet with one key, or with several between commas: the first encrypts, all decrypt, as in Airflow.

    Raises StoreError for a key that is none.
    https://airflow.apache.org/docs/apache-airflow/stable/security/secrets/fernet.html
    """

    def __init__(self, encryption_key: str) -> None:
        from cryptography.fernet import Fernet, MultiFernet

        keys = [key.strip() for key in encryption_key.split(",") if key.strip()]
        if not keys:
            raise StoreError(
                "This credential store keeps nothing unencrypted, and there is no encryption key."
            )
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError:
            raise StoreError(
                "The credential store's encryption key is not a Fernet key, which is 32 bytes as 44 characters of base64."
            ) from None

    def seal(self, record: Record) -> bytes:
        return self._fernet.encrypt(record.to_json().encode())

    def open(self, sealed: bytes, place: str) -> Record:
        """Return the record; raises StoreError naming the place where the key is another one or the content damaged."""
        from cryptography.fernet import InvalidToken

        try:
            return Record.from_json(self._fernet.decrypt(sealed).decode())
        except (InvalidToken, ValueError):
            raise StoreError(
                f"{place} was encrypted with another key, or is damaged. Use the key it was written with, or "
                "delete it and sign the connection in again."
            ) from None
