"""How an app proves who it is: a secret, a certificate, or a token that somebody else vouches with.

Everything that can be wrong with it is found before a network is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from airflow_provider_dynamics.auth.certificates import KeyPair, ProofError, read_key_pair

__all__ = ["Assertion", "Certificate", "Proof", "ProofError", "Secret"]

_FILE = "Federated token file"


@dataclass(frozen=True)
class Secret:
    """A client secret: the value, not its ID."""

    value: str = field(repr=False)

    def for_msal(self, now: float) -> str:
        """Return what MSAL calls a client credential."""
        return self.value

    @property
    def hidden(self) -> tuple[str, ...]:
        """What must never show in a text."""
        return (self.value,)


@dataclass(frozen=True)
class Certificate:
    """A private key with its certificate; each as text, as a path, or both in one PFX (base64 or a path).

    `send_x5c` sends the whole chain, for app registrations that trust a certificate's subject and issuer.
    https://learn.microsoft.com/entra/identity-platform/certificate-credentials
    """

    private_key: str = field(repr=False)
    passphrase: str | None = field(default=None, repr=False)
    certificate: str | None = None
    send_x5c: bool = False

    def read(self) -> KeyPair:
        """Return key and certificates; raises ProofError. A path is read again each time: certificates are renewed."""
        return read_key_pair(self.private_key, self.passphrase, self.certificate)

    def for_msal(self, now: float) -> dict[str, Any]:
        """Return what MSAL calls a client credential; raises ProofError for what the service would refuse anyway.

        MSAL signs with SHA-256 and sends the certificate alone, unless a SHA-1 thumbprint comes with it: then it
        sends all it is given.
        """
        pair = self.read()
        _check_dates(pair, now)
        public = pair.certificates_pem()
        if self.send_x5c and pair.chain:
            return {
                "private_key": pair.key_pem(),
                "thumbprint": pair.thumbprint,
                "public_certificate": "".join(public),
            }
        return {"private_key": pair.key_pem(), "public_certificate": public[0]}

    @property
    def not_after(self) -> datetime:
        """The moment from which the certificate is no longer accepted; raises ProofError."""
        return self.read().not_after

    @property
    def thumbprint(self) -> str:
        """The SHA-1 fingerprint as the Entra admin center shows it; raises ProofError."""
        return self.read().thumbprint

    @property
    def hidden(self) -> tuple[str, ...]:
        """What must never show in a text."""
        return tuple(filter(None, (self.private_key, self.passphrase)))


@dataclass(frozen=True)
class Assertion:
    """A token of another issuer that the app registration trusts: a file that is read anew each time, or a function.

    https://learn.microsoft.com/entra/workload-id/workload-identity-federation
    """

    source: str | Callable[[], str] = field(repr=False)

    def for_msal(self, now: float) -> dict[str, Any]:
        """Return what MSAL calls a client credential; raises ProofError when there is no token."""
        token = self.read()
        return {"client_assertion": lambda: token}

    def read(self) -> str:
        """Return the token as it is now; raises ProofError."""
        text = self._called() if callable(self.source) else self._file_content(self.source)
        if text.count(".") != 2 or len(text.split()) != 1:
            raise ProofError(f"{self._name} holds no token (a JWT).", f"correct {self._field}")
        return text

    @property
    def hidden(self) -> tuple[str, ...]:
        """What must never show in a text: the token itself is only known while it is used."""
        return ()

    @property
    def _name(self) -> str:
        return "The assertion function's result" if callable(self.source) else f"{_FILE} '{self.source}'"

    @property
    def _field(self) -> str:
        return "the function" if callable(self.source) else _FILE

    def _called(self) -> str:
        assert callable(self.source)  # noqa: S101 - for the type checker
        try:
            found = self.source()
        except Exception as error:
            raise ProofError(
                f"The assertion function failed with {type(error).__name__}.", "correct the function"
            ) from error
        if not isinstance(found, str) or not found.strip():
            raise ProofError("The assertion function returned no text.", "let it return the token")
        return found.strip()

    def _file_content(self, path: str) -> str:
        if not path:
            raise ProofError(
                f"{_FILE} is empty, and the variable AZURE_FEDERATED_TOKEN_FILE is not set on this machine.",
                f"enter the path into {_FILE}, or let the platform's identity webhook set the variable",
            )
        try:
            text = Path(path).expanduser().read_text("utf-8").strip()
        except (OSError, ValueError, RuntimeError):
            raise ProofError(
                f"{_FILE} '{path}' cannot be read on this machine.",
                f"correct {_FILE}, or let the platform mount it into every worker, triggerer and API server",
            ) from None
        if not text:
            raise ProofError(
                f"{_FILE} '{path}' is empty.",
                "check what writes the file: the platform's identity webhook or agent",
            )
        return text


Proof = Secret | Certificate | Assertion


def _check_dates(pair: KeyPair, now: float) -> None:
    moment = datetime.fromtimestamp(now, timezone.utc)
    if moment >= pair.not_after:
        raise ProofError(
            f"Certificate {pair.thumbprint} expired on {pair.not_after:%Y-%m-%d}.",
            "create a new certificate, add it to the app registration, and put it into the connection",
        )
    if moment < pair.not_before:
        raise ProofError(
            f"Certificate {pair.thumbprint} is not valid before {pair.not_before:%Y-%m-%d %H:%M} UTC.",
            "wait until then, or correct this machine's clock",
        )
