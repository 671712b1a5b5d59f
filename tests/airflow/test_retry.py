"""Our errors as Airflow's: what ends a task, what its retries may repeat, and what a trigger's event carries."""

from __future__ import annotations

import json
from contextlib import nullcontext
from datetime import timedelta

import pytest
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowOptionalProviderFeatureException,
)

from airflow_provider_dynamics.auth.causes import AuthenticationError
from airflow_provider_dynamics.auth.store import StoreError
from airflow_provider_dynamics.compat import HAS_RETRY_POLICY
from airflow_provider_dynamics.connection import SettingsError
from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.formats import FormatError
from airflow_provider_dynamics.retry import (
    DEFAULT_RETRY_POLICY,
    DynamicsRetryableError,
    DynamicsRetryPolicy,
    Reason,
    airflow_error,
    airflow_errors,
    reason_of,
)

FORBIDDEN = errors.Forbidden(
    "Principal user is missing prvReadAccount privilege",
    asked="GET accounts",
    status=403,
    code="0x80040220",
    request_id="4f1c",
)
THROTTLED = errors.Throttled("Number of requests exceeded", status=429, code="0x80072322", retry_after=17.0)
SIGN_IN = AuthenticationError(
    "Signing in failed: AADSTS7000222: the client secret has expired. Create a new one.", code="AADSTS7000222"
)
DEAD_SIGN_IN = AuthenticationError("Signing in failed: sign in again.", kind="needs-interaction", dead=True)
BUSY_SIGN_IN = AuthenticationError("Signing in failed: try later.", code="AADSTS90033", retryable=True)


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(FORBIDDEN, id="a missing privilege"),
        pytest.param(errors.UnknownTable("no table 'acount'"), id="an unknown table"),
        pytest.param(SIGN_IN, id="an expired secret"),
        pytest.param(DEAD_SIGN_IN, id="a sign-in that somebody has to renew"),
        pytest.param(StoreError("The key is wrong."), id="a credential store that cannot be read"),
        pytest.param(SettingsError("Tenant ID is missing."), id="a connection that is not filled in"),
        pytest.param(FormatError("x.parquet is not a Parquet file"), id="a file that is not what it says"),
        pytest.param(
            AirflowOptionalProviderFeatureException("Parquet needs pyarrow"),
            id="a package that is not installed",
        ),
    ],
)
def test_what_cannot_pass_ends_the_task_with_the_whole_sentence(error):
    with pytest.raises(AirflowFailException) as raised, airflow_errors():
        raise error

    assert str(raised.value) == str(error)
    assert raised.value.__cause__ is error


def test_the_sentence_has_code_request_id_and_remedy():
    text = str(airflow_error(FORBIDDEN))

    assert "GET accounts" in text
    assert "0x80040220" in text
    assert "4f1c" in text
    assert "security role" in text


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(THROTTLED, id="throttling that lasted too long"),
        pytest.param(errors.ServerError("Internal error", status=503), id="a fault of the service"),
        pytest.param(errors.Unreachable("The connection was refused"), id="a network that is down"),
        pytest.param(BUSY_SIGN_IN, id="a sign-in service that is busy"),
        pytest.param(StoreError("No answer.", retryable=True), id="a credential store that is away"),
        pytest.param(errors.Interrupted("The work was cancelled"), id="a worker that is being shut down"),
    ],
)
def test_what_may_pass_leaves_the_task_its_retries(error):
    with pytest.raises(DynamicsRetryableError) as raised, airflow_errors():
        raise error

    assert not isinstance(raised.value, AirflowFailException)
    assert str(raised.value) == str(error)
    assert raised.value.error_type == type(error).__name__


def test_a_throttled_task_knows_how_long_the_service_asked_to_wait():
    translated = airflow_error(THROTTLED)

    assert isinstance(translated, DynamicsRetryableError)
    assert (translated.code, translated.retry_after) == ("0x80072322", 17.0)


@pytest.mark.parametrize(
    "error", [ValueError("not ours"), AirflowException("Airflow's own"), KeyError("x")], ids=repr
)
def test_errors_that_are_not_ours_pass_unchanged(error):
    with pytest.raises(type(error)) as raised, airflow_errors():
        raise error

    assert raised.value is error
    assert airflow_error(error) is None


def test_it_decorates_a_function_too():
    @airflow_errors()
    def refused():
        raise FORBIDDEN

    with pytest.raises(AirflowFailException):
        refused()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        pytest.param(FORBIDDEN, "needs-admin", id="a missing privilege"),
        pytest.param(THROTTLED, "transient", id="throttling"),
        pytest.param(SIGN_IN, "permanent", id="an expired secret"),
        pytest.param(DEAD_SIGN_IN, "needs-interaction", id="a dead sign-in"),
        pytest.param(BUSY_SIGN_IN, "transient", id="a busy sign-in service"),
    ],
)
def test_a_reason_survives_the_way_through_a_triggers_event(error, kind):
    reason = reason_of(error)
    assert reason is not None

    again = Reason.from_event(json.loads(json.dumps(reason.as_event())))

    assert again == reason
    assert again.kind == kind
    assert type(again.as_exception()) is type(airflow_error(error))


def test_a_retryable_error_survives_airflows_serialisation():
    translated = airflow_error(THROTTLED)
    assert isinstance(translated, DynamicsRetryableError)

    path, arguments, _ = translated.serialize()

    assert path.endswith("DynamicsRetryableError")
    assert str(DynamicsRetryableError(*arguments)) == str(THROTTLED)


needs_policy = pytest.mark.skipif(not HAS_RETRY_POLICY, reason="retry policies came with Airflow 3.3")


@needs_policy
def test_the_policy_waits_as_long_as_the_service_asks():
    decision = DynamicsRetryPolicy().evaluate(THROTTLED, 1, 3)

    assert decision.action.value == "retry"
    assert decision.retry_delay == timedelta(seconds=17)
    assert str(decision.reason).startswith("The service asks to wait for 17 s. ")
    assert "0x80072322" in str(decision.reason)


@needs_policy
def test_the_policy_reads_the_error_an_operator_has_translated():
    translated = airflow_error(THROTTLED)
    assert translated is not None

    decision = DynamicsRetryPolicy().evaluate(translated, 1, 3)

    assert (decision.action.value, decision.retry_delay) == ("retry", timedelta(seconds=17))


@needs_policy
def test_the_policy_finds_our_error_behind_somebody_elses():
    error = RuntimeError("my task failed")
    error.__cause__ = FORBIDDEN

    decision = DynamicsRetryPolicy().evaluate(error, 1, 3)

    assert decision.action.value == "fail"
    assert decision.reason == str(FORBIDDEN)


@needs_policy
def test_the_policy_keeps_the_tasks_own_delay_where_the_service_names_none():
    decision = DynamicsRetryPolicy().evaluate(errors.ServerError("Internal error"), 1, 3)

    assert (decision.action.value, decision.retry_delay) == ("retry", None)


@needs_policy
@pytest.mark.parametrize("retry_after", [None, 30.0])
def test_a_long_reason_fits_into_airflows_500_characters_with_its_remedy(retry_after):
    error = DynamicsRetryableError("x" * 900 + " What to do: wait.", retry_after=retry_after)

    reason = DynamicsRetryPolicy().evaluate(error, 1, 3).reason or ""

    assert len(reason) <= 500
    assert reason.endswith("What to do: wait.")


@needs_policy
def test_the_policy_leaves_other_errors_to_airflow():
    assert DynamicsRetryPolicy().evaluate(ValueError("boom"), 1, 3).action.value == "default"


@needs_policy
def test_the_policy_is_rebuilt_from_what_it_serialises():
    policy = DynamicsRetryPolicy()

    again = DynamicsRetryPolicy.deserialize(json.loads(json.dumps(policy.serialize())))

    assert isinstance(again, DynamicsRetryPolicy)


def test_our_tasks_have_the_policy_where_airflow_has_policies():
    assert isinstance(DEFAULT_RETRY_POLICY, DynamicsRetryPolicy) is HAS_RETRY_POLICY


def test_only_an_airflow_without_retry_policies_refuses_it_and_says_so():
    refused = pytest.raises(AirflowException, match=r"needs Airflow 3\.3")

    with nullcontext() if HAS_RETRY_POLICY else refused:
        assert callable(DynamicsRetryPolicy().evaluate)
