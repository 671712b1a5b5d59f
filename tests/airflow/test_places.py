"""Which environment a sign-in is for: another one than the connection's, and one that is still to be chosen."""

from __future__ import annotations

import pytest

from airflow_provider_dynamics.auth.authorities import MODES
from airflow_provider_dynamics.connection import Settings, SettingsError
from tests.airflow.filled_in import CLIENT, ENVIRONMENT, SECRET, TENANT

OTHER = "https://fabrikam.crm11.dynamics.com"
ADFS = {"authority_type": "adfs", "authority": "https://adfs.contoso.com/adfs", "tenant_id": None}
ON_PREMISES = "https://sales.contoso.com"
SEED = "0.refresh-token-of-ann"


def settings(
    environment=None,
    *,
    host=ENVIRONMENT,
    allowed=("adfs.contoso.com",),
    choosing=False,
    signing_in=False,
    **extra,
):
    return Settings.from_fields(
        host=host,
        login=CLIENT,
        password=None if extra.get("auth_type") else SECRET,
        extra={"tenant_id": TENANT, **extra},
        allowed_authorities=allowed,
        environment=environment,
        choosing=choosing,
        signing_in=signing_in,
    )


def person(environment=None, **more):
    return settings(environment, auth_type="refresh_token", refresh_token=SEED, **more)


def refusal(*arguments, **more):
    with pytest.raises(SettingsError) as caught:
        settings(*arguments, **more)
    assert SECRET not in str(caught.value)
    return str(caught.value)


class TestAnotherEnvironment:
    def test_tokens_are_for_it_and_come_from_the_connections_own_sign_in_service(self):
        found = settings(OTHER)

        assert found.environment == OTHER
        assert found.sign_in().scopes == [f"{OTHER}/.default"]
        assert found.authority == settings().authority

    @pytest.mark.parametrize("environment", [None, "", "  "])
    def test_nothing_means_the_connections_own(self, environment):
        assert settings(environment) == settings()

    def test_it_may_be_written_like_the_connections(self):
        assert settings("fabrikam.crm11.dynamics.com/").environment == OTHER

    def test_one_of_another_cloud_gets_no_token(self):
        said = refusal("https://fabrikam.crm.microsoftdynamics.us")

        assert "The task's environment 'https://fabrikam.crm.microsoftdynamics.us' cannot be used" in said
        assert "'US Government GCC High'" in said
        assert "tokens do not leave their cloud" in said

    def test_gcc_is_in_the_public_clouds_own_domain(self):
        assert settings("https://agency.crm9.dynamics.com").authority.host == "login.microsoftonline.com"

    @pytest.mark.parametrize(
        "environment",
        [
            "https://evil.test",
            "https://contoso.crm4.dynamics.com.evil.test",
            "https://user@evil.test",
            "file:///x",
        ],
    )
    def test_what_is_no_environment_gets_no_token(self, environment):
        assert "cannot be used" in refusal(environment)

    def test_what_is_no_text_is_told_as_the_tasks(self):
        assert "The task's environment" in refusal({"url": OTHER})

    def test_a_password_in_it_is_not_repeated(self):
        said = refusal("https://ann:password-of-ann@fabrikam.crm11.dynamics.com")

        assert "'fabrikam.crm11.dynamics.com' cannot be used" in said
        assert "password-of-ann" not in said

    def test_a_clouds_token_does_not_go_to_this_machine(self):
        assert "on this machine" in refusal("https://127.0.0.1:9999")

    def test_this_machines_token_does_not_leave_it(self):
        said = refusal(OTHER, host="https://127.0.0.1:8765")

        assert "on this machine" in said

    def test_on_this_machine_the_secret_goes_where_the_connection_says(self):
        found = settings("https://127.0.0.2:1111", host="https://127.0.0.1:8765")

        assert found.environment == "https://127.0.0.2:1111"
        assert found.authority.url == "https://127.0.0.1:8765"

    def test_a_scope_for_the_connections_environment_does_not_fit_another_one(self):
        assert "Empty Scope" in refusal(OTHER, scope=f"{ENVIRONMENT}/.default")
        assert settings(OTHER, scope="api://dataverse/.default").environment == OTHER

    @pytest.mark.parametrize("host", [ENVIRONMENT, None], ids=["with", "without an Environment URL"])
    def test_nor_does_a_scope_for_any_other_one(self, host):
        for scope in (
            "https://third.crm4.dynamics.com/.default",
            "openid HTTPS://Third.crm4.dynamics.com//.default",
        ):
            assert "Scope names third.crm4.dynamics.com" in refusal(OTHER, host=host, scope=scope)
        assert settings(OTHER, host=host, scope=f"{OTHER}/.default").environment == OTHER

    def test_a_connection_may_name_none_and_leave_it_to_its_tasks(self):
        found = settings(OTHER, host=None)

        assert found.environment == OTHER
        assert found.authority.host == "login.microsoftonline.com"
        assert "Environment URL is missing" in refusal(host=None)

    def test_the_cloud_that_such_a_connection_names_holds_for_its_tasks(self):
        assert "lies in cloud 'Public'" in refusal(OTHER, host=None, cloud="china")

    def test_a_task_does_not_choose_the_cloud_that_such_a_connections_secret_goes_to(self):
        said = refusal("https://fabrikam.crm.dynamics.cn", host=None)
        found = settings("https://fabrikam.crm.dynamics.cn", host=None, cloud="china")

        assert "the connection in 'Public'" in said
        assert "without one Cloud does: china" in said
        assert found.authority.host == "login.partner.microsoftonline.cn"

    def test_nor_this_machine(self):
        assert "on this machine" in refusal("https://127.0.0.1:9999", host=None)
        found = settings("https://127.0.0.1:9999", host=None, authority="https://127.0.0.1:8765")
        assert found.environment == "https://127.0.0.1:9999"

    def test_blanks_are_no_choice(self):
        """They would have the connection sign in nowhere in particular."""
        assert person("  ", host=None, choosing=True) == person(host=None, choosing=True)


class TestOnPremises:
    def test_an_organization_beside_it_may_be_asked_for(self):
        found = settings("https://service.contoso.com", host=ON_PREMISES, **ADFS)

        assert found.environment == "https://service.contoso.com"
        assert found.sign_in().resource == "https://service.contoso.com/"

    def test_an_organization_may_stand_in_the_path(self):
        found = settings("https://crm.contoso.com/service/", host="https://crm.contoso.com/sales", **ADFS)

        assert found.environment == "https://crm.contoso.com/service"
        assert found.sign_in().resource == "https://crm.contoso.com/"

    def test_one_outside_the_domain_of_the_sign_in_service_gets_no_token(self):
        said = refusal("https://crm.evil.test", host=ON_PREMISES, **ADFS)

        assert "not in the domain" in said

    @pytest.mark.parametrize(
        "environment",
        [
            "https://evil.test\\.contoso.com",
            "\\\\evil.test\\.contoso.com",
            "https://evil.test\N{FULLWIDTH REVERSE SOLIDUS}.contoso.com",
            "https://evil.test%2f.contoso.com",
            "https://evil.test;.contoso.com",
            "https://evil.test\x00.contoso.com",
            "https://evil.test\N{IDEOGRAPHIC FULL STOP}contoso.com",
        ],
    )
    @pytest.mark.parametrize("own", [False, True], ids=["the task's", "the connection's"])
    def test_a_host_that_others_read_differently_gets_no_token(self, environment, own):
        """What sends the request takes the first one for evil.test."""
        said = refusal(*([] if own else [environment]), host=environment if own else ON_PREMISES, **ADFS)

        assert "is not a web address" in said

    @pytest.mark.parametrize(
        ("pasted", "meant"),
        [
            ("/sales/main.aspx", "/sales"),
            ("/sales/main.aspx?etn=account", "/sales"),
            ("/sales/api/data/v9.1/", "/sales"),
            ("/main.aspx", ""),
            ("/sales/../service", "/sales"),
            ("/sales\\service", ""),
            ("//evil.test", ""),
            ("/sales%0d%0a", ""),
        ],
    )
    def test_a_page_of_an_organization_is_not_its_address(self, pasted, meant):
        said = refusal(host=f"https://crm.contoso.com{pasted}", **ADFS)

        assert f"organization's address only: use https://crm.contoso.com{meant}." in said

    def test_organizations_that_share_a_host_share_a_scope(self):
        host, scope = "https://crm.contoso.com/sales", "https://crm.contoso.com/.default"
        found = settings("https://crm.contoso.com/service", host=host, scope=scope, **ADFS)

        assert found.environment == "https://crm.contoso.com/service"

    def test_unless_the_deployment_lists_it(self):
        allowed = ("adfs.contoso.com", "crm.partner.test")
        found = settings("https://crm.partner.test", host=ON_PREMISES, allowed=allowed, **ADFS)

        assert found.environment == "https://crm.partner.test"

    def test_the_cloud_gets_no_token_of_it(self):
        assert "lies in Microsoft's cloud" in refusal(OTHER, host=ON_PREMISES, **ADFS)

    @pytest.mark.parametrize("host", [ON_PREMISES, None], ids=["with", "without an Environment URL"])
    def test_this_machine_gets_no_token_of_it(self, host):
        assert "on this machine" in refusal("https://127.0.0.1:9999", host=host, **ADFS)

    def test_a_connection_may_leave_the_organization_to_its_tasks(self):
        assert settings(ON_PREMISES, host=None, **ADFS).environment == ON_PREMISES
        assert "not in the domain" in refusal("https://crm.evil.test", host=None, **ADFS)

    def test_the_newest_web_api_is_older_there(self):
        assert settings(host=ON_PREMISES, **ADFS).api_version == "v9.1"
        assert settings(host=ON_PREMISES, api_version="8.2", **ADFS).api_version == "v8.2"
        assert settings().api_version == "v9.2"

    def test_nobody_lists_its_organizations(self):
        found = settings(host=ON_PREMISES, **ADFS)

        with pytest.raises(SettingsError, match="for Microsoft's clouds only"):
            found.environments()


class TestWhereASignInIsKept:
    def test_a_persons_is_one_in_every_environment(self):
        """A server may allow each refresh token one use, so two records of one would end each other."""
        assert person(OTHER).store_key == person().store_key

    def test_an_apps_is_told_apart(self):
        assert settings(OTHER).store_key != settings().store_key

    def test_a_persons_without_an_own_environment_is_one_too(self):
        assert person(OTHER, host=None).store_key == person(ENVIRONMENT, host=None).store_key

    def test_the_tenant_is_the_one_of_the_connections_environment(self):
        assert person(OTHER, tenant_id=None).sign_in().tenant_of == ENVIRONMENT
        assert settings(OTHER, tenant_id=None).sign_in().tenant_of == ""
        assert person(OTHER, host=None, tenant_id=None).sign_in().tenant_of == ""


class TestChoosing:
    @pytest.mark.parametrize(
        ("cloud", "directory"),
        [
            (None, "https://globaldisco.crm.dynamics.com"),
            ("auto", "https://globaldisco.crm.dynamics.com"),
            ("gcc", "https://globaldisco.crm9.dynamics.com"),
            ("gcc_high", "https://globaldisco.crm.microsoftdynamics.us"),
            ("dod", "https://globaldisco.crm.appsplatform.us"),
            ("china", "https://globaldisco.crm.dynamics.cn"),
        ],
    )
    def test_without_an_environment_the_clouds_own_list_is_signed_in_to(self, cloud, directory):
        found = person(host=None, cloud=cloud, choosing=True)

        assert (found.environment, found.directory, found.chosen) == (directory, directory, False)

    @pytest.mark.parametrize(
        ("host", "directory"),
        [
            (ENVIRONMENT, "https://globaldisco.crm.dynamics.com"),
            ("https://agency.crm9.dynamics.com", "https://globaldisco.crm9.dynamics.com"),
            ("https://agency.crm.appsplatform.us", "https://globaldisco.crm.appsplatform.us"),
        ],
    )
    def test_with_one_its_cloud_has_the_list(self, host, directory):
        found = person(host=host)

        assert (found.environment, found.directory, found.chosen) == (host, directory, True)

    def test_on_this_machine_the_sign_in_service_has_it_too(self):
        found = person(host=None, authority="https://127.0.0.1:8765", choosing=True)

        assert found.directory == found.environment == "https://127.0.0.1:8765"
        assert not found.chosen

    def test_only_persons_may_be_without_one(self):
        assert "Environment URL is missing" in refusal(host=None, choosing=True)
        assert not person(host=None, signing_in=True).chosen
        with pytest.raises(SettingsError, match=r"missing: enter .* or sign in and choose one under Admin"):
            person(host=None)

    def test_on_premises_there_is_no_list_to_choose_from(self):
        assert "Environment URL is missing" in refusal(
            host=None, auth_type="refresh_token", refresh_token=SEED, choosing=True, **ADFS
        )

    @pytest.mark.parametrize("auth_type", ["managed_identity", None])
    def test_an_app_is_told_that_lists_are_for_persons_before_anything_is_sent(self, auth_type):
        from airflow_provider_dynamics.dataverse import errors

        login = {"auth_type": auth_type, "managed_identity_client_id": CLIENT} if auth_type else {}
        found = Settings.from_fields(
            host=ENVIRONMENT,
            login=None if auth_type else CLIENT,
            password=None if auth_type else SECRET,
            extra=login,
        )

        with pytest.raises(errors.BadRequest, match="listed for persons") as caught:
            found.environments()

        assert MODES[auth_type or "client_secret"] in str(caught.value)
