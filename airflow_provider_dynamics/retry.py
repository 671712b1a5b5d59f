"""The one place that turns our errors into Airflow's: fail now, or let the task's retries have another go.

Below this line errors only know whether they can pass; what that means for a task is decided here, for
operators, sensors and transfers and for the task that a trigger wakes up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowOptionalProviderFeatureException,
)

from airflow_provider_dynamics.auth.texts import fitted
from airflow_provider_dynamics.compat import HAS_RETRY_POLICY, RetryDecision, RetryPolicy

if TYPE_CHECKING:
    from airflow_provider_dynamics.auth.causes import Kind

__all__ = [
    "DEFAULT_RETRY_POLICY",
    "DynamicsRetryPolicy",
    "DynamicsRetryableError",
    "Reason",
    "airflow_error",
    "airflow_errors",
    "reason_of",
]


LONGEST_RETRY_REASON = 500  # characters; Airflow cuts the rest off, the remedy with it


class DynamicsRetryableError(AirflowException):
    """Dynamics or its sign-in has a passing problem; Airflow's retries apply.

    ``error_type`` is the class of ours behind it ("Throttled"), ``code`` the service's, ``retry_after`` the
    seconds the service asked to wait.
    """

    def __init__(
        self, text: str, *, error_type: str = "", code: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(fitted(text))
        self.error_type = error_type
        self.code = code
        self.retry_after = retry_after


@dataclass(frozen=True)
class Reason:
    """Why something failed, in a form that can travel in a trigger's event: no token, no body, no secret.

    ``kind`` says who has to act (``transient``: nobody, ``permanent``: whoever owns the connection or the DAG,
    ``needs-interaction``, ``needs-admin``); only what is transient is worth a retry.
    """

    message: str
    error_type: str = ""
    code: str | None = None
    kind: Kind = "permanent"
    retry_after: float | None = None

    @property
    def retryable(self) -> bool:
        return self.kind == "transient"

    def as_event(self) -> dict[str, Any]:
        return {"status": "error", **asdict(self)}

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> Reason:
        known = {name: event[name] for name in cls.__dataclass_fields__ if name in event}
        return cls(**{"message": "The trigger did not say what went wrong.", **known})

    def as_exception(self) -> AirflowException:
        """Return what the task must raise: ``AirflowFailException`` ends it, anything else may be tried again."""
        if not self.retryable:
            return AirflowFailException(self.message)
        return DynamicsRetryableError(
            self.message, error_type=self.error_type, code=self.code, retry_after=self.retry_after
        )


def reason_of(error: BaseException) -> Reason | None:
    """Say why one of our errors happened, or that an optional package is missing; None for errors of others."""
    from airflow_provider_dynamics.auth.causes import AuthenticationError
    from airflow_provider_dynamics.auth.store import StoreError
    from airflow_provider_dynamics.connection import SettingsError
    from airflow_provider_dynamics.dataverse.errors import DataverseError
    from airflow_provider_dynamics.formats import FormatError

    name = type(error).__name__
    if isinstance(error, (DataverseError, AuthenticationError)):
        return Reason(str(error), name, error.code or None, error.kind, error.retry_after)
    if isinstance(error, StoreError):
        return Reason(str(error), name, kind="transient" if error.retryable else "permanent")
    if isinstance(error, (SettingsError, FormatError, AirflowOptionalProviderFeatureException)):
        return Reason(str(error), name)
    return None


def airflow_error(error: BaseException) -> AirflowException | None:
    """Return Airflow's exception for one of our errors; None for an error that is not ours."""
    reason = reason_of(error)
    return reason.as_exception() if reason else None


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Raise our errors as Airflow's inside this block, or in a function decorated with it.

    :raises AirflowFailException: trying again would not help; the text has the service's code and the remedy
    :raises DynamicsRetryableError: it may pass
    """
    try:
        yield
    except Exception as error:
        translated = airflow_error(error)
        if translated is None:
            raise
        raise translated from error


class DynamicsRetryPolicy(RetryPolicy):
    """Retry a Dynamics task as the service asks: after its ``Retry-After``, and not at all where it cannot help.

    On Airflow 3.3 the operators, sensors and transfers here have it unless they are given another
    ``retry_policy``, or None; set it on a task of your own that uses ``DynamicsHook``.

    :raises AirflowOptionalProviderFeatureException: on an older Airflow
    """

    def __init__(self) -> None:
        if not HAS_RETRY_POLICY:
            raise AirflowOptionalProviderFeatureException(
                "DynamicsRetryPolicy needs Airflow 3.3 or newer: leave retry_policy out, and set retries and retry_delay."
            )

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Any = None
    ) -> RetryDecision:
        """Decide by the first of our errors among the exception and its causes; others get Airflow's default."""
        reason = _reason_in_chain(exception)
        if reason is None:
            return RetryDecision.default()
        told = fitted(reason.message, LONGEST_RETRY_REASON)
        if not reason.retryable:
            return RetryDecision.fail(reason=told)
        if reason.retry_after is None:
            return RetryDecision.retry(reason=told)
        asked = f"The service asks to wait for {reason.retry_after:g} s. {reason.message}"
        return RetryDecision.retry(
            delay=timedelta(seconds=reason.retry_after), reason=fitted(asked, LONGEST_RETRY_REASON)
        )

    def serialize(self) -> dict[str, Any]:
        """Return what a policy is rebuilt from: it has no settings."""
        return {}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> DynamicsRetryPolicy:  # noqa: ARG003 - Airflow passes it
        """Return the policy again."""
        return cls()


DEFAULT_RETRY_POLICY: RetryPolicy | None = DynamicsRetryPolicy() if HAS_RETRY_POLICY else None
"""What our tasks carry unless they are told otherwise; None on Airflow 3.2, which has no such thing."""


def _reason_in_chain(exception: BaseException | None) -> Reason | None:
    seen: set[int] = set()
    while exception is not None and id(exception) not in seen:
        seen.add(id(exception))
        if isinstance(exception, DynamicsRetryableError):
            return Reason(
                str(exception), exception.error_type, exception.code, "transient", exception.retry_after
            )
        if reason := reason_of(exception):
            return reason
        exception = exception.__cause__
    return None
