"""Several environments of one tenant, the discovery service that lists them, and servers of one's own."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from airflow_provider_dynamics.emulator import Emulator

INSTANCES = "/api/discovery/v2.0/Instances"


@pytest.fixture
def ask(emulator):
    """Ask anything with a token."""
    with requests.Session() as session:
        session.trust_env = False

        def go(url, token=None, method="GET", **options):
            headers = {
                **options.pop("headers", {}),
                **({"Authorization": f"Bearer {token}"} if token else {}),
            }
            return session.request(
                method, url, headers=headers, verify=emulator.ca_bundle, timeout=20, **options
            )

        yield go


@pytest.fixture
def discover(emulator, ask):
    """Ask the discovery service as a person."""

    def go(rest="", user=None):
        token = emulator.access_token(user=user or emulator.user_name, resource=emulator.discovery_url)
        return ask(f"{emulator.discovery_url}{INSTANCES}{rest}", token)

    return go


def data(environment, rest, version="v9.2"):
    return f"{environment.url}/api/data/{version}/{rest}"


# -- environments ---------------------------------------------------------------------------------------


def test_an_added_environment_has_its_own_rows_and_organization(emulator, ask):
    other = emulator.add_environment("fabrikam", seed=None, rows={"account": 3})
    token = other.access_token()
    assert ask(data(other, "accounts/$count"), token).text.endswith("3")
    found = ask(data(other, "organizations"), token).json()["value"]
    assert [(row["name"], row["friendlyname"]) for row in found] == [("fabrikam", "Fabrikam")]
    who = ask(data(other, "WhoAmI"), token).json()
    assert (
        who["OrganizationId"] == other.organization.organization_id != emulator.organization.organization_id
    )
    assert ask(data(other, "accounts"), token, "POST", json={"name": "theirs"}).status_code == 204
    assert all(row["name"] != "theirs" for row in emulator.rows("account"))
    assert [one.path for one in other.requests][-1].endswith("/accounts")
    assert emulator.requests == []


def test_a_token_opens_the_environment_it_was_made_for_alone(emulator, ask):
    other = emulator.add_environment("fabrikam", seed=None)
    refused = ask(data(other, "WhoAmI"), emulator.access_token())
    assert refused.status_code == 401
    assert other.url in refused.headers["WWW-Authenticate"]
    assert ask(data(emulator, "WhoAmI"), other.access_token()).status_code == 401


def test_who_is_a_user_of_one_environment_need_not_be_of_another(emulator, ask):
    other = emulator.add_environment(
        "fabrikam", seed=None, members=[emulator.user_name], application_user=False
    )
    assert ask(data(other, "WhoAmI"), other.access_token(user=emulator.user_name)).status_code == 200
    for token in (other.access_token(user=emulator.other_user_name), other.access_token()):
        answer = ask(data(other, "WhoAmI"), token)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "0x80072560")
    assert ask(data(emulator, "WhoAmI"), emulator.access_token()).status_code == 200


def test_faults_and_limits_of_one_environment_leave_the_others_alone(emulator, ask):
    other = emulator.add_environment("fabrikam", seed=None)
    other.fault("error", status=503)
    assert ask(data(other, "WhoAmI"), other.access_token()).status_code == 503
    assert ask(data(emulator, "WhoAmI"), emulator.access_token()).status_code == 200
    other.clear_faults()
    assert ask(data(other, "WhoAmI"), other.access_token()).status_code == 200


def token_of(emulator, ask, **form):
    given = {"client_id": emulator.client_id, "client_secret": emulator.client_secret, **form}
    return ask(f"{emulator.authority}/oauth2/v2.0/token", method="POST", data=given)


def test_one_tenant_gives_tokens_for_every_environment(emulator, ask):
    other = emulator.add_environment("fabrikam", seed=None)
    for place in (emulator, other):
        made = token_of(emulator, ask, grant_type="client_credentials", scope=f"{place.url}/.default")
        assert ask(data(place, "WhoAmI"), made.json()["access_token"]).status_code == 200
    unknown = token_of(
        emulator, ask, grant_type="client_credentials", scope="https://nowhere.crm.dynamics.com/.default"
    )
    assert "AADSTS500011" in unknown.json()["error_description"]


def test_one_refresh_token_is_good_for_discovery_and_for_what_it_lists(emulator, ask):
    other = emulator.add_environment("fabrikam", seed=None)
    refresh = emulator.refresh_token()
    for audience, path in ((emulator.discovery_url, INSTANCES), (other.url, "/api/data/v9.2/WhoAmI")):
        made = token_of(
            emulator,
            ask,
            grant_type="refresh_token",
            refresh_token=refresh,
            scope=f"{audience}/user_impersonation offline_access",
        ).json()
        refresh = made["refresh_token"]
        assert ask(f"{audience}{path}", made["access_token"]).status_code == 200


def test_a_person_signs_in_for_discovery(emulator, web_app, ask):
    app, back = web_app(), "https://airflow.example/callback"
    emulator.redirect_uris.add(back)
    scopes = [f"{emulator.discovery_url}/user_impersonation"]
    flow = app.initiate_auth_code_flow(scopes, redirect_uri=back, response_mode="form_post")
    page = emulator.sign_in(flow["auth_uri"].replace("response_mode=form_post", "response_mode=query"))
    made = app.acquire_token_by_auth_code_flow(flow, dict(parse_qsl(urlsplit(page).query)))
    assert "access_token" in made, made
    assert ask(f"{emulator.discovery_url}{INSTANCES}", made["access_token"]).status_code == 200


def test_a_reset_takes_added_environments_away(emulator, ask):
    other = emulator.add_environment("fabrikam", seed=None)
    emulator.list_instance("Adatum", "https://adatum.crm.dynamics.com")
    emulator.reset()
    assert emulator.environments.all == ()
    assert emulator.environments.instances == []
    with pytest.raises(requests.ConnectionError):
        ask(data(other, "WhoAmI"), other.access_token())
    refused = token_of(emulator, ask, grant_type="client_credentials", scope=f"{other.url}/.default")
    assert refused.status_code == 400


@pytest.mark.parametrize(
    "described",
    [
        {"name": "contoso"},
        {"name": "no name"},
        {"name": "crm", "in_path": True},
        {"name": "crm", "versions": ["9.0"]},
        {"name": "crm", "on_premises": True, "versions": ["9.2"]},
        {"name": "crm", "members": ["nobody@contoso.example"]},
    ],
)
def test_an_environment_that_cannot_be_is_refused(emulator, described):
    with pytest.raises(ValueError, match=r"\w"):
        emulator.add_environment(**described)
    assert emulator.environments.all == ()


def test_environments_are_added_and_told_from_elsewhere(emulator, ask):
    url = f"{emulator.url}/_emulator/environments"
    told = ask(url, method="POST", json={"name": "fabrikam", "friendly_name": "Fabrikam, Inc."}).json()
    assert list(told["environments"]) == ["fabrikam"]
    assert told["discovery_url"] == emulator.discovery_url
    listed = {"friendly_name": "Adatum", "url": "https://adatum.crm.dynamics.com"}
    ask(url, method="POST", json={"instance": listed})
    assert ask(url).json()["environments"] == told["environments"]
    assert ask(url, method="POST", json={"name": "fabrikam"}).status_code == 400
    there = f"{told['environments']['fabrikam']}/_emulator"
    assert len(ask(f"{there}/rows/organization").json()) == 1
    assert ask(f"{there}/environments").status_code == 400
    ask(f"{emulator.url}/_emulator/reset", method="POST")
    assert emulator.environments.all == ()


def test_environments_that_are_added_before_the_start_are_served():
    emulator = Emulator(seed=None)
    other = emulator.add_environment("fabrikam", seed=None)
    with emulator:
        first = other.url
        answer = requests.get(data(other, "WhoAmI"), verify=emulator.ca_bundle, timeout=20)
        assert answer.status_code == 401
    with emulator:
        assert other.url == first
        token = {"Authorization": f"Bearer {other.access_token()}"}
        answer = requests.get(data(other, "WhoAmI"), headers=token, verify=emulator.ca_bundle, timeout=20)
        assert answer.json()["OrganizationId"] == other.organization.organization_id


# -- discovery ------------------------------------------------------------------------------------------


def test_a_person_is_shown_the_environments_that_know_the_person(emulator, discover):
    emulator.add_environment("fabrikam", seed=None, members=[emulator.user_name])
    emulator.add_environment("northwind", seed=None, members=[emulator.other_user_name])
    emulator.add_environment("server", seed=None, on_premises=True)
    emulator.list_instance("Adatum", "https://adatum.crm.dynamics.com", users=[emulator.user_name], State=1)
    found = discover().json()["value"]
    assert [one["FriendlyName"] for one in found] == ["Contoso", "Fabrikam", "Adatum"]
    assert [one["IsUserSysAdmin"] for one in found] == [True, True, False]
    assert [one["State"] for one in found] == [0, 0, 1]
    assert {one["TenantId"] for one in found} == {emulator.tenant_id}
    others = discover(user=emulator.other_user_name).json()["value"]
    assert [one["UniqueName"] for one in others] == ["contoso", "northwind"]
    nobody = discover(user=emulator.outsider_name)
    assert (nobody.status_code, nobody.json()["value"]) == (200, [])


@pytest.mark.parametrize(
    ("rest", "names"),
    [
        ("?$filter=contains(FriendlyName,'abri')", ["Fabrikam"]),
        ("?$filter=contains(FriendlyName,'fab')", []),
        ("?$filter=FriendlyName eq 'fabrikam'", []),
        ("?$filter=startswith(FriendlyName,'C') or endswith(FriendlyName,'kam')", ["Contoso", "Fabrikam"]),
        ("?$filter=not contains(FriendlyName,'Con') and IsUserSysAdmin eq true", ["Fabrikam"]),
        ("?$filter=(State ne 1 and Region eq 'NA')", ["Contoso", "Fabrikam"]),
        ("(UniqueName='fabrikam')", ["Fabrikam"]),
        ("(UniqueName='Fabrikam')", []),
        ("(State=0)?$filter=UrlName eq 'contoso'", ["Contoso"]),
        ("(Region='EMEA')", []),
        ("(0a1b2c3d-4e5f-4061-8728-394a5b6c7d8e)", ["Contoso"]),
        ("(00000000-0000-0000-0000-000000000001)", []),
    ],
)
def test_instances_are_picked_by_filters_and_by_keys_and_always_come_as_a_list(
    emulator, discover, rest, names
):
    emulator.add_environment("fabrikam", seed=None)
    answer = discover(rest)
    assert answer.status_code == 200, answer.text
    assert [one["FriendlyName"] for one in answer.json()["value"]] == names


def test_selected_properties_come_alone_and_the_context_names_an_internal_host(discover):
    body = discover("?$select=ApiUrl,FriendlyName").json()
    assert body["@odata.context"].endswith("/api/discovery/v2.0/$metadata#Instances(ApiUrl,FriendlyName)")
    assert body["@odata.context"].startswith("https://10.")
    assert [set(one) for one in body["value"]] == [{"ApiUrl", "FriendlyName"}]


@pytest.mark.parametrize(
    ("rest", "status"),
    [
        ("?$select=Nothing", 400),
        ("?$filter=Nothing eq 1", 400),
        ("?$orderby=Url", 501),
        ("(Purpose='x')", 501),
        ("/more", 404),
    ],
)
def test_what_the_discovery_service_does_not_know_is_refused(discover, rest, status):
    assert discover(rest).status_code == status


def test_the_discovery_service_wants_a_persons_token_that_is_meant_for_it(emulator, ask):
    url = f"{emulator.discovery_url}{INSTANCES}"
    for token in (
        None,
        emulator.access_token(resource=emulator.discovery_url),
        emulator.access_token(user=emulator.user_name),
    ):
        answer = ask(url, token)
        assert answer.status_code == 401
        assert f"resource_id={emulator.discovery_url}/" in answer.headers["WWW-Authenticate"]
    assert [one.status for one in emulator.environments.discovery_requests][-3:] == [401, 401, 401]


def test_the_first_environments_origin_lists_them_too(emulator, ask):
    emulator.add_environment("fabrikam", seed=None)
    token = emulator.access_token(user=emulator.user_name)
    found = ask(f"{emulator.url}{INSTANCES}?$select=UniqueName", token).json()["value"]
    assert [one["UniqueName"] for one in found] == ["contoso", "fabrikam"]
    assert ask(f"{emulator.url}{INSTANCES}", emulator.access_token()).status_code == 401


def test_the_discovery_service_describes_itself(emulator, ask):
    token = emulator.access_token(user=emulator.user_name, resource=emulator.discovery_url)
    root = f"{emulator.discovery_url}/api/discovery/v2.0/"
    assert ask(root, token).json()["value"] == [
        {"name": "Instances", "kind": "EntitySet", "url": "Instances"}
    ]
    document = ask(f"{root}$metadata", token).text
    assert '<Property Name="ApiUrl" Type="Edm.String" />' in document
    assert ask(root, token, "POST").status_code == 405


# -- on premises ----------------------------------------------------------------------------------------


@pytest.fixture
def server(emulator):
    return emulator.add_environment("crm", on_premises=True, in_path=True, versions=["8.2", "9.0"])


@pytest.fixture
def adfs_token(emulator, ask):
    def get(resource):
        form = {
            "grant_type": "password",
            "client_id": emulator.client_id,
            "client_secret": emulator.client_secret,
            "username": emulator.user_name,
            "password": emulator.user_password,
            "resource": resource,
        }
        return ask(f"{emulator.adfs_authority}/oauth2/token", method="POST", data=form)

    return get


def test_the_organization_stands_in_the_path_and_in_every_link(server, ask):
    token = server.access_token()
    two = {"Prefer": "odata.maxpagesize=2"}
    page = ask(data(server, "accounts?$select=name", "v9.0"), token, headers=two).json()
    assert page["@odata.nextLink"].startswith(f"{server.url}/api/data/v9.0/accounts?")
    assert len(ask(page["@odata.nextLink"], token, headers=two).json()["value"]) == 2
    made = ask(data(server, "accounts", "v8.2"), token, "POST", json={"name": "here"})
    assert made.headers["OData-EntityId"].startswith(f"{server.url}/api/data/v8.2/accounts(")
    bound = {"primarycontactid@odata.bind": ask_first(ask, server, token)}
    assert ask(made.headers["OData-EntityId"], token, "PATCH", json=bound).status_code == 204
    elsewhere = data(server, "accounts", "v9.0").replace("/crm/", "/other/")
    assert ask(elsewhere, token).status_code == 404


def ask_first(ask, server, token):
    row = ask(data(server, "contacts?$top=1&$select=fullname", "v9.0"), token).json()["value"][0]
    return f"/crm/api/data/v9.0/contacts({row['contactid']})"


def test_a_batch_goes_through_the_organizations_path(server, ask):
    text = (
        "--b\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        f"GET {data(server, 'WhoAmI', 'v9.0')} HTTP/1.1\r\n\r\n\r\n--b--\r\n"
    )
    answer = ask(
        data(server, "$batch", "v9.0"),
        server.access_token(),
        "POST",
        data=text,
        headers={"Content-Type": "multipart/mixed; boundary=b"},
    )
    assert (answer.status_code, "HTTP/1.1 200" in answer.text) == (200, True)


@pytest.mark.parametrize(("version", "status"), [("v8.2", 200), ("v9.0", 200), ("v9.1", 501), ("v9.2", 501)])
def test_a_version_the_server_lacks_is_not_implemented(server, ask, version, status):
    answer = ask(data(server, "WhoAmI", version), server.access_token())
    assert answer.status_code == status
    if status == 501:
        assert "v8.2, v9.0" in answer.json()["error"]["message"]


def test_what_only_the_cloud_has_is_missing(server, ask):
    token = server.access_token()
    answer = ask(data(server, "accounts?$top=1", "v9.0"), token)
    assert not [name for name in answer.headers if "ratelimit" in name or "dop" in name]
    rows = {"Targets": [{"@odata.type": "Microsoft.Dynamics.CRM.account", "name": "x"}]}
    bulk = ask(
        data(server, "accounts/Microsoft.Dynamics.CRM.CreateMultiple", "v9.0"), token, "POST", json=rows
    )
    assert (bulk.status_code, bulk.json()["error"]["code"]) == (404, "0x8006088a")
    where = "?$filter=sdkmessageid/name eq 'CreateMultiple'"
    assert ask(data(server, f"sdkmessagefilters{where}", "v9.0"), token).json()["value"] == []
    assert "CreateMultiple" not in ask(data(server, "$metadata", "v9.0"), token).text
    for absent in ("contoso_sensordatas", "backgroundoperations"):
        assert ask(data(server, absent, "v9.0"), token).status_code == 404


def test_work_for_the_background_is_done_at_once(server, ask):
    server.service.operations.add(custom("contoso_Now"))
    answer = ask(
        data(server, "contoso_Now", "v9.0"),
        server.access_token(),
        "POST",
        json={},
        headers={"Prefer": "respond-async"},
    )
    assert (answer.status_code, answer.json()["Output"]) == (200, 1)


def custom(name):
    from airflow_provider_dynamics.emulator.custom_apis import custom_api

    return custom_api(name, {"Output": 1}, result={"Output": "Edm.Int32"})


def test_people_sign_in_at_ad_fs_and_entra_does_not_know_the_server(emulator, server, adfs_token, ask):
    for resource in (f"{server.url}/", server.url.removesuffix("crm")):
        made = adfs_token(resource)
        if made.status_code == 200:
            assert ask(data(server, "WhoAmI", "v9.0"), made.json()["access_token"]).status_code == 200
    assert adfs_token(f"{server.url}/").status_code == 200
    assert adfs_token("https://other.example/").status_code == 400
    refused = token_of(emulator, ask, grant_type="client_credentials", scope=f"{server.url}/.default")
    assert refused.status_code == 400
    challenge = ask(data(server, "WhoAmI", "v9.0")).headers["WWW-Authenticate"]
    assert "/adfs/oauth2/authorize" in challenge


def test_the_organization_can_be_the_host(emulator, ask):
    server = emulator.add_environment("ifd", seed=None, on_premises=True)
    assert ask(data(server, "WhoAmI", "v9.1"), server.access_token()).status_code == 200
    assert ask(data(server, "WhoAmI", "v9.2"), server.access_token()).status_code == 501
    (row,) = ask(data(server, "organizations", "v9.1"), server.access_token()).json()["value"]
    assert row["version"].startswith("9.1")
    told = ask(data(server, "RetrieveVersion()", "v9.1"), server.access_token()).json()["Version"]
    assert told == row["version"]


def test_a_connection_to_an_added_environment_says_how_to_sign_in(emulator):
    other = emulator.add_environment("fabrikam", seed=None)
    (text,) = other.airflow_connection("fabrikam").values()
    assert other.url in text
    assert emulator.authority in text
