"""How long a connection's credential still lasts, worked out from what is known here, without asking anybody.

Microsoft tells no program when a refresh token or a client secret ends, so the rules are Microsoft's published
lifetimes; what nobody can know stays open rather than guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.connection.fields import SettingsError

if TYPE_CHECKING:
    from airflow_provider_dynamics.auth.store import Failure, Record
    from airflow_provider_dynamics.connection.settings import Settings

__all__ = ["ENTRA_DAYS", "Health", "credential_health"]

ENTRA_DAYS = 90.0
"""Days without use after which Entra drops a refresh token; each use starts them anew.

https://learn.microsoft.com/entra/identity-platform/refresh-tokens#token-lifetime
"""

ADFS_DAYS = 8 / 24
"""AD FS ends a refresh token with the single sign-on session: 480 minutes, unless its administrator set another time.

https://learn.microsoft.com/windows-server/identity/ad-fs/operations/ad-fs-single-sign-on-settings
"""

_DAY = timedelta(days=1)
_CURES = {
    "refresh token": "sign in again (Admin > Microsoft Dynamics 365, or `airflow dynamics login`)",
    "client secret": (
        "create a new one (Entra admin center > App registrations > your app > Certificates & secrets), and put its Value "
        "and its end date into the connection"
    ),
    "certificate": (
        "add a new one to the app registration, then put it and its key into the connection; the app may have both at once"
    ),
}
_UNKNOWN = {
    "refresh token": "it is counted from its first renewal by this Airflow, and only where the service has known rules",
    "client secret": "enter it into the connection as Client secret's end date",
}


@dataclass(frozen=True)
class Health:
    """What is known of a credential's end; times are aware, None means that nobody here can know.

    `what` is the part that ends ("refresh token", "certificate", "client secret", "" for nothing). `assumed` says
    that the end follows from a service's default. `failure` is the last sign-in that was refused for good; `dead`
    says that it was refused for this very credential, so that only a new one helps.
    """

    mode: str
    user: str = ""
    rotated_at: datetime | None = None
    days_since_rotation: float | None = None
    what: str = ""
    expires_at: datetime | None = None
    days_left: float | None = None
    failure: Failure | None = None
    assumed: bool = False
    dead: bool = False

    def ends_within(self, days: float) -> bool:
        """Say whether the credential is dead or has less than `days` days left."""
        return self.dead or (self.days_left is not None and self.days_left < days)

    @property
    def sentence(self) -> str:
        """What ends, when, and what to do about it, for people."""
        if self.dead and self.failure is not None:
            return self.failure.text
        if not self.what:
            return f"Nothing of this connection expires by itself ({self.mode})."
        if self.expires_at is None or self.days_left is None:
            return f"When the {self.what} ends is not known: {_UNKNOWN[self.what]}."
        moment = f"{self.expires_at:%Y-%m-%d %H:%M} UTC"
        when = (
            f"ends on {moment}, in {self.days_left:.1f} days" if self.days_left >= 0 else f"ended on {moment}"
        )
        assumed = ", as far as the service's default goes" if self.assumed else ""
        return f"The {self.what} {when}{assumed}: {_CURES[self.what]}."

    def to_json(self) -> dict[str, Any]:
        """Return plain values, without any secret: for XCom, a page, a command's `--json`."""
        return {
            "mode": self.mode,
            "user": self.user,
            "what": self.what,
            "rotated_at": _text(self.rotated_at),
            "days_since_rotation": _rounded(self.days_since_rotation),
            "expires_at": _text(self.expires_at),
            "days_left": _rounded(self.days_left),
            "assumed": self.assumed,
            "dead": self.dead,
            "failure": self.failure.text if self.failure else None,
            "sentence": self.sentence,
        }


def credential_health(settings: Settings, record: Record | None, now: float) -> Health:
    """Say how a connection's credential is, from its fields and what the credential store remembers of it.

    `now` is in epoch seconds. A record of a secret that has been replaced in the connection counts for nothing.
    Raises SettingsError for a certificate that cannot be read.
    """
    moment = _moment(now)
    mine = _mine(record, settings)
    rotated_at = _moment(mine.rotated_at) if mine and mine.rotated_at else None
    what, expires_at, assumed = _end(settings, mine)
    return Health(
        mode=settings.mode,
        user=(mine.user if mine else "") or settings.person,
        rotated_at=rotated_at,
        days_since_rotation=None if rotated_at is None else (moment - rotated_at) / _DAY,
        what=what,
        expires_at=expires_at,
        days_left=None if expires_at is None else (expires_at - moment) / _DAY,
        failure=mine.failure if mine else None,
        assumed=assumed,
        dead=bool(mine and mine.failure and mine.failure.dead),
    )


def _end(settings: Settings, record: Record | None) -> tuple[str, datetime | None, bool]:
    """Return what ends, when, and whether that is a default that somebody may have changed."""
    if settings.auth_type == "refresh_token":
        kind = settings.authority.kind
        return "refresh token", _token_end(kind, record) if record else None, kind == "adfs"
    if settings.auth_type == "certificate":
        return "certificate", _not_after(settings), False
    if settings.auth_type == "client_secret":
        return "client secret", _start_of(settings.credential_end_date), False
    return "", None, False


def _token_end(kind: str, record: Record) -> datetime | None:
    """Return a refresh token's end: Entra counts from its last use, AD FS from its issue, of others nothing is known."""
    counted = {"entra": (record.rotated_at, ENTRA_DAYS), "adfs": (record.issued_at, ADFS_DAYS)}
    since, days = counted.get(kind, (None, 0.0))
    return None if since is None else _moment(since) + timedelta(days=days)


def _not_after(settings: Settings) -> datetime | None:
    from airflow_provider_dynamics.auth.proofs import Certificate, ProofError

    proof = settings.credential().proof
    try:
        return proof.not_after if isinstance(proof, Certificate) else None
    except ProofError as error:
        raise SettingsError(str(error)) from None


def _start_of(day: date | None) -> datetime | None:
    """Return the day's first moment: a secret must be replaced before its last day begins."""
    return None if day is None else datetime(day.year, day.month, day.day, tzinfo=timezone.utc)


def _mine(record: Record | None, settings: Settings) -> Record | None:
    """Return what a record says of the secret that the connection holds now, None where it is about another one."""
    from airflow_provider_dynamics.auth.store import Record, fingerprint

    if record is None:
        return None
    secrets = {"refresh_token": settings.refresh_token, "username_password": settings.user_password}
    secret = secrets.get(settings.auth_type)
    if not secret:
        return Record(failure=record.failure)  # an app's failure, whichever secret it had
    marks = {record.seed, record.failure.dead if record.failure else ""} - {""}
    known = not marks or fingerprint(secret, *settings.credential().identity) in marks
    return record if known else None


def _moment(epoch: float) -> datetime:
    return datetime.fromtimestamp(epoch, timezone.utc)


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")


def _rounded(days: float | None) -> float | None:
    return None if days is None else round(days, 2)
