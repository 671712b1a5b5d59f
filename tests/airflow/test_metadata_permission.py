"""The switch of the connection's form that lets tasks change definitions: off unless somebody switches it on."""

from __future__ import annotations

import pytest

from airflow_provider_dynamics.connection import Settings, SettingsError
from airflow_provider_dynamics.dataverse import errors


def client(**extra):
    return Settings.from_fields(
        host="https://contoso.crm.dynamics.com",
        login="an-app",
        password="a-secret",
        extra={"tenant_id": "contoso.com", **extra},
    ).client()


@pytest.mark.parametrize("value", [None, "", False, "false", "0", "off"])
def test_it_is_off_unless_it_is_switched_on(value):
    with client(allow_metadata_changes=value) as guarded:
        with pytest.raises(errors.MetadataChangesOff, match="Allow metadata changes"):
            guarded.solutions.check_allowed("importing a solution")
        with pytest.raises(errors.MetadataChangesOff, match="the action DeleteOptionValue does"):
            guarded.action("DeleteOptionValue", {})


@pytest.mark.parametrize("value", [True, "true", "1", "yes"])
def test_it_is_on_where_the_form_or_a_uri_says_so(value):
    with client(allow_metadata_changes=value) as free:
        free.solutions.check_allowed("importing a solution")


def test_what_is_neither_is_told_by_its_label():
    with pytest.raises(SettingsError, match="Allow metadata changes must be true or false, not 'perhaps'"):
        client(allow_metadata_changes="perhaps")
