"""What Airflow is told, held against Airflow's own schemas, its own masking, and what `connection` really reads."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources import files

import pytest
from airflow.sdk.log import redact  # type: ignore[attr-defined]  # it is what masks, and not exported
from jsonschema import Draft7Validator  # type: ignore[import-untyped]  # it ships no types

from airflow_provider_dynamics.auth.clouds import CLOUDS
from airflow_provider_dynamics.connection import fields
from airflow_provider_dynamics.provider_info import get_provider_info

INFO = get_provider_info()
CONNECTION = INFO["connection-types"][0]
FIELDS = CONNECTION["conn-fields"]
SECRETS = {name for name, field in FIELDS.items() if field["schema"].get("format") == "password"}


def schema(name):
    return json.loads(files("airflow").joinpath(name).read_text())


@pytest.fixture(scope="module")
def installed():
    try:
        distribution(INFO["package-name"])
    except PackageNotFoundError:
        pytest.skip("the package is not installed here")


def test_the_schema_airflow_checks_at_run_time_accepts_it():
    Draft7Validator(schema("provider_info.schema.json")).validate(INFO)


@pytest.mark.parametrize("part", [key for key in INFO if key not in {"package-name", "name", "description"}])
def test_the_stricter_schema_of_airflows_own_providers_accepts_its(part):
    strict = schema("provider.yaml.schema.json")
    Draft7Validator({**strict["properties"][part], "definitions": strict["definitions"]}).validate(INFO[part])


def test_the_strict_schema_would_notice_a_typing_error():
    strict = Draft7Validator(schema("provider.yaml.schema.json")["properties"]["connection-types"])
    assert not strict.is_valid(
        [{**CONNECTION, "conn-fields": {"x": {"labl": "X", "schema": {"type": "string"}}}}]
    )


@pytest.mark.usefixtures("installed")
def test_it_is_named_like_its_distribution():
    """A wrong name here would stop every airflow command."""
    assert distribution(INFO["package-name"]).metadata["Name"] == INFO["package-name"]


def test_the_form_has_exactly_the_fields_that_are_read():
    assert set(FIELDS) == set(fields.EXTRA)


def test_the_form_and_the_errors_use_the_same_labels():
    standard = {name: field.label for name, field in fields.STANDARD.items()}
    assert CONNECTION["ui-field-behaviour"]["relabeling"] == standard
    assert {name: field["label"] for name, field in FIELDS.items()} == {
        name: field.label for name, field in fields.EXTRA.items()
    }


def test_the_secrets_of_the_form_are_the_secrets_of_the_connection():
    assert {name for name, field in fields.EXTRA.items() if field.secret} == SECRETS


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_airflow_masks_a_field_by_its_name_if_and_only_if_it_is_secret(name):
    shown = redact({name: "some-value"})[name]
    assert (shown == "***") is (name in SECRETS)


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_a_field_may_stay_empty_has_its_help_and_its_section(name):
    field = FIELDS[name]
    assert "null" in field["schema"]["type"] or "default" in field["schema"]
    assert field["description"].endswith(".")
    assert field["schema"]["section"]


@pytest.mark.parametrize("name", [name for name in FIELDS if "enum" in FIELDS[name]["schema"]])
def test_a_drop_down_says_every_value_in_words_and_its_default_is_one(name):
    found = FIELDS[name]["schema"]
    assert list(found["values_display"]) == found["enum"]
    assert found["default"] in found["enum"]


def test_the_drop_downs_offer_what_is_read():
    assert FIELDS["auth_type"]["schema"]["enum"] == list(fields.AUTH_TYPES)
    assert FIELDS["cloud"]["schema"]["enum"] == ["auto", *CLOUDS]
    assert set(FIELDS["authority_type"]["schema"]["enum"]) == {"entra", "adfs"}


@pytest.mark.parametrize("name", [name for name in FIELDS if "default" in FIELDS[name]["schema"]])
def test_a_default_of_the_form_is_a_value_that_is_read(name):
    default = FIELDS[name]["schema"]["default"]
    assert fields.read(name, default) == default


@pytest.mark.parametrize("name", ["request_timeout", "max_concurrency"])
def test_the_bounds_of_the_form_are_the_bounds_of_the_connection(name):
    low, high = FIELDS[name]["schema"]["minimum"], FIELDS[name]["schema"]["maximum"]
    assert (fields.read(name, low), fields.read(name, high)) == (low, high)
    for outside in (low - 1, high + 1):
        with pytest.raises(fields.SettingsError, match=f"from {low} to {high}"):
            fields.read(name, outside)


def test_importing_it_imports_nothing_heavy():
    """Every airflow command does."""
    script = (
        "import sys; before = set(sys.modules); from airflow_provider_dynamics.provider_info import get_provider_info;"
        "get_provider_info(); print(' '.join(set(sys.modules) - before))"
    )
    done = subprocess.run(  # our own words
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60
    )
    new = {name.partition(".")[0] for name in done.stdout.split()} - {"airflow_provider_dynamics"}
    assert new <= sys.stdlib_module_names


@pytest.mark.usefixtures("installed")
def test_airflow_finds_the_connection_type_and_the_asset_scheme():
    from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

    from airflow_provider_dynamics import assets

    manager = ProvidersManagerTaskRuntime()
    hook = manager.hooks["dynamics"]
    assert hook
    assert hook.connection_id_attribute_name == "dynamics_conn_id"
    assert manager.asset_uri_handlers["dataverse"] is assets.sanitize_uri
    assert manager.asset_factories["dataverse"] is assets.create_asset


@pytest.mark.usefixtures("installed")
def test_airflow_finds_the_links_and_they_are_there():
    from airflow.sdk import BaseOperatorLink

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Airflow's own affairs
        from airflow.providers_manager import ProvidersManager

        found = {name for name in ProvidersManager().extra_links_class_names if "dynamics" in name}
    assert found == set(INFO["extra-links"])
    for name in found:
        module, _, kind = name.rpartition(".")
        assert issubclass(getattr(import_module(module), kind), BaseOperatorLink)


@pytest.mark.usefixtures("installed")
def test_airflow_finds_the_form_and_the_options():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Airflow's own affairs
        from airflow.providers_manager import ProvidersManager

        manager = ProvidersManager()
        manager.initialize_providers_configuration()
    assert {
        name.removeprefix("extra__dynamics__")
        for name in manager.connection_form_widgets
        if "dynamics" in name
    } >= SECRETS
    assert any("dynamics" in section for _, section in manager.provider_configs)
