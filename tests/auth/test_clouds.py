"""Host names and the clouds they belong to."""

from __future__ import annotations

import pytest

from airflow_provider_dynamics.auth.clouds import locate


@pytest.mark.parametrize(
    ("host", "authority"),
    [
        ("contoso.crm.dynamics.com", "login.microsoftonline.com"),
        ("contoso.crm4.dynamics.com", "login.microsoftonline.com"),
        ("contoso.crm9.dynamics.com", "login.microsoftonline.com"),
        ("contoso.crm123.dynamics.com", "login.microsoftonline.com"),
        ("contoso.api.crm4.dynamics.com", "login.microsoftonline.com"),
        ("org-1a2b.crm.microsoftdynamics.us", "login.microsoftonline.us"),
        ("contoso.crm.appsplatform.us", "login.microsoftonline.us"),
        ("Contoso.CRM.dynamics.cn", "login.partner.microsoftonline.cn"),
    ],
)
def test_an_environment_signs_in_at_its_clouds_own_authority(host, authority):
    place = locate(host)
    assert place
    assert place.is_environment
    assert place.cloud.authority_host == authority


@pytest.mark.parametrize(
    "host",
    [
        "crm4.dynamics.com",
        "globaldisco.crm.dynamics.com",
        "disco.crm4.dynamics.com",
        "api.crm.dynamics.com",
        "admin.services.crm4.dynamics.com",
        "admin.services.crm.microsoftdynamics.us",
    ],
)
def test_a_region_and_its_services_are_no_environments(host):
    place = locate(host)
    assert place
    assert not place.is_environment


@pytest.mark.parametrize(
    "host",
    [
        "contoso.crm.dynamics.de",
        "contoso.dynamics.com",
        "contoso.crm.dynamics.com.evil.example",
        "crmdynamics.com",
        "contosocrm4.dynamics.com",
        "",
    ],
)
def test_other_hosts_belong_to_no_cloud(host):
    assert locate(host) is None
