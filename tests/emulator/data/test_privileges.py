"""Security roles, the privileges they give, and the refusal of what none of them allows."""

from __future__ import annotations

import pytest

from airflow_provider_dynamics.emulator.directory import OTHER_USER, USER
from airflow_provider_dynamics.emulator.privileges import privilege_named
from airflow_provider_dynamics.emulator.schema.model import stable_id
from airflow_provider_dynamics.emulator.seed.identities import ROOT_UNIT

FUNCTION = "Microsoft.Dynamics.CRM.RetrieveUserPrivileges()"
ALEX, SAM = (stable_id("systemuser", one.user_name) for one in (USER, OTHER_USER))


@pytest.fixture(scope="module")
def company_of_this_module(shared_sample):
    return type(shared_sample)("sample")


@pytest.fixture
def company(company_of_this_module):
    """The sample company, for tests that also write; nobody lacks a privilege at the start."""
    yield company_of_this_module
    company_of_this_module.api.faults.clear()


def held(service, user):
    answer = service.get(f"systemusers({user})/{FUNCTION}")
    assert answer.status == 200
    return {one["PrivilegeName"]: one for one in answer.json["RolePrivileges"]}


def test_privileges_are_told_with_their_depth_and_unit(company):
    me = company.get("WhoAmI").json
    answer = company.get(f"systemusers({me['UserId']})/{FUNCTION}")
    assert answer.json["@odata.context"].endswith("#Microsoft.Dynamics.CRM.RetrieveUserPrivilegesResponse")
    assert held(company, me["UserId"])["prvReadAccount"] == {
        "Depth": "Global",
        "PrivilegeId": "886b280c-6396-4d56-a0a3-2c1b0a50ceb0",
        "BusinessUnitId": me["BusinessUnitId"],
        "PrivilegeName": "prvReadAccount",
        "RecordFilterId": "00000000-0000-0000-0000-000000000000",
        "RecordFilterUniqueName": "",
    }


def test_an_administrator_may_do_everything_and_a_salesperson_less(company):
    everything, less = held(company, ALEX), held(company, SAM)
    assert less.keys() < everything.keys()
    assert {"prvWriteUser", "prvReadcontoso_Shipment", "prvDeleteIncident"} <= everything.keys() - less.keys()
    assert {"prvReadUser", "prvCreateAccount", "prvReadActivity"} <= less.keys()
    assert (less["prvReadAccount"]["Depth"], less["prvCreateAccount"]["Depth"]) == ("Global", "Basic")


def test_a_user_who_was_just_made_holds_none(company):
    unit = company.get("WhoAmI").json["BusinessUnitId"]
    body = {"domainname": "new@contoso.example", "businessunitid@odata.bind": f"/businessunits({unit})"}
    new = company("POST", "systemusers", body).entity_id
    assert held(company, new) == {}
    assert company.get(f"systemusers({new})/systemuserroles_association").rows == []


def test_the_function_takes_a_user_who_exists_and_get(company):
    assert company.get(f"systemusers({stable_id('nobody')})/{FUNCTION}").status == 404
    assert company("POST", f"systemusers({ALEX})/{FUNCTION}", {}).status == 405
    assert company.get(f"teams({company.get('teams').rows[0]['teamid']})/{FUNCTION}").status == 501


# --- roles --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "role"),
    [
        pytest.param(ALEX, "System Administrator", id="an administrator"),
        pytest.param(SAM, "Salesperson", id="a user"),
    ],
)
def test_roles_are_read_from_the_user(company, user, role):
    rows = company.get(f"systemusers({user})/systemuserroles_association?$select=name").rows
    assert [row["name"] for row in rows] == [role]
    expanded = company.get(
        f"systemusers({user})?$select=fullname&$expand=systemuserroles_association($select=name)"
    )
    assert [row["name"] for row in expanded.json["systemuserroles_association"]] == [role]


def test_roles_are_expanded_for_each_of_many_users(company):
    rows = company.get(
        "systemusers?$select=domainname&$expand=systemuserroles_association($select=name)"
    ).rows
    found = {row["domainname"]: [role["name"] for role in row["systemuserroles_association"]] for row in rows}
    assert found[USER.user_name] == ["System Administrator"]
    assert found[OTHER_USER.user_name] == ["Salesperson"]


def test_users_are_found_by_role_and_read_from_it(company):
    condition = "systemuserroles_association/any(r:r/name eq 'Salesperson')"
    found = {row["systemuserid"] for row in company.get(f"systemusers?$filter={condition}").rows}
    (role,) = company.get("roles?$filter=name eq 'Salesperson'").rows
    from_role = company.get(f"roles({role['roleid']})/systemuserroles_association?$select=fullname").rows
    assert found == {row["systemuserid"] for row in from_role}
    assert SAM in found
    assert ALEX not in found


def test_the_relationship_is_described(company):
    path = "EntityDefinitions(LogicalName='role')/ManyToManyRelationships"
    (found,) = company.get(path).rows
    assert (found["SchemaName"], found["IntersectEntityName"]) == (
        "systemuserroles_association",
        "systemuserroles",
    )
    assert (found["Entity1LogicalName"], found["Entity2LogicalName"]) == ("systemuser", "role")


def test_a_role_is_given_and_taken_away(company):
    (role,) = company.get("roles?$filter=name eq 'Salesperson'").rows
    body = {
        "domainname": "fresh@contoso.example",
        "businessunitid@odata.bind": f"/businessunits({ROOT_UNIT})",
    }
    user = company("POST", "systemusers", body).entity_id
    roles = f"systemusers({user})/systemuserroles_association"
    link = {"@odata.id": f"roles({role['roleid']})"}
    assert company("POST", f"{roles}/$ref", link).status == 204
    assert "prvCreateAccount" in held(company, user)
    assert company("POST", f"{roles}/$ref", link).error == "0x80040237"
    assert company("DELETE", f"{roles}({role['roleid']})/$ref").status == 204
    assert held(company, user) == {}


# --- refusals -----------------------------------------------------------------------------------------------------


def row_of(service, path):
    """Put the id of any row where the path leaves it open."""
    name = path.partition("(")[0]
    return path.replace("(…)", f"({service.get(name).rows[0][f'{name[:-1]}id']})") if "(…)" in path else path


@pytest.mark.parametrize(
    ("method", "path", "missing"),
    [
        pytest.param("GET", "contoso_shipments", "prvReadcontoso_Shipment", id="reading"),
        pytest.param("GET", "contoso_shipments/$count", "prvReadcontoso_Shipment", id="counting"),
        pytest.param("POST", "incidents", "prvCreateIncident", id="creating"),
        pytest.param("PATCH", "incidents(…)", "prvWriteIncident", id="changing"),
        pytest.param("PATCH", f"incidents({stable_id('new')})", "prvCreateIncident", id="creating by change"),
        pytest.param("DELETE", "incidents(…)", "prvDeleteIncident", id="deleting"),
        pytest.param("PUT", "incidents(…)/title", "prvWriteIncident", id="changing one column"),
        pytest.param(
            "POST",
            "incidents/Microsoft.Dynamics.CRM.CreateMultiple",
            "prvCreateIncident",
            id="creating several",
        ),
    ],
)
def test_what_no_role_allows_is_refused_by_name(company, method, path, missing):
    path = row_of(company, path)
    allowed = company(method, path, {}, mscrmcallerid=ALEX)
    refused = company(method, path, {}, mscrmcallerid=SAM)
    assert allowed.status != 403
    assert (refused.status, refused.error) == (403, "0x80040220")
    assert f"(Id={SAM}, " in refused.message
    assert f"is missing {missing} privilege" in refused.message


def test_what_a_role_allows_is_done(company):
    assert company("POST", "accounts", {"name": "Sam's"}, mscrmcallerid=SAM).status == 204
    assert company("GET", "incidents?$top=1", None, mscrmcallerid=SAM).status == 200


def test_a_privilege_that_was_taken_is_neither_held_nor_usable(company):
    company.api.faults.privileges_taken.add((None, "prvReadContact"))
    assert "prvReadContact" not in held(company, ALEX)
    assert company.get("contacts").error == "0x80040220"
    assert company.get("accounts?$top=1").status == 200


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("accounts?$top=1&$expand=primarycontactid($select=fullname)", id="expanded"),
        pytest.param("leads?$top=1&$expand=parentaccountid($expand=primarycontactid)", id="expanded twice"),
        pytest.param("accounts(…)/contact_customer_accounts", id="below a row"),
    ],
)
def test_related_rows_need_their_own_privilege(company, path):
    path = row_of(company, path)
    assert company.get(path).status == 200
    company.api.faults.privileges_taken.add((None, "prvReadContact"))
    assert "prvReadContact" in company.get(path).message


def test_one_person_alone_loses_a_privilege(company):
    company.api.faults.privileges_taken.add((SAM, "prvReadAccount"))
    assert company("GET", "accounts?$top=1", None, mscrmcallerid=SAM).error == "0x80040220"
    assert company("GET", "accounts?$top=1", None, mscrmcallerid=ALEX).status == 200


def test_who_impersonates_needs_the_privilege_as_well(company):
    service_user = company.get("WhoAmI").json["UserId"]
    company.api.faults.privileges_taken.add((service_user, "prvReadAccount"))
    refused = company("GET", "accounts?$top=1", None, mscrmcallerid=ALEX)
    assert f"(Id={service_user}, " in refused.message
    assert f"context.Caller={ALEX}." in refused.message


def test_privileges_are_named_in_any_case_of_letters():
    assert privilege_named("PRVREADACCOUNT") == "prvReadAccount"
    with pytest.raises(ValueError, match="no privilege 'prvFlyAccount'"):
        privilege_named("prvFlyAccount")


@pytest.mark.parametrize(
    "query",
    [
        "$filter=primarycontactid/fullname eq 'x/y'",
        "$filter=name eq 'x' and contact_customer_accounts/any(c:c/fullname eq 'x')",
        "$orderby=primarycontactid/fullname desc",
        "$apply=groupby((primarycontactid/fullname))",
        "$apply=filter(primarycontactid/fullname eq 'x')/aggregate($count as n)",
        "$filter=parentaccountid/primarycontactid/fullname eq 'x'",
    ],
)
def test_rows_that_only_decide_must_be_readable_too(sample, query):
    assert sample.get(f"accounts?{query}").status == 200
    sample.api.faults.privileges_taken.add((None, "prvReadContact"))
    try:
        answer = sample.get(f"accounts?{query}")
        unrelated = sample.get("accounts?$filter=name eq 'primarycontactid/fullname'")
    finally:
        sample.api.faults.clear()
    assert (answer.status, answer.error) == (403, "0x80040220")
    assert "prvReadContact" in answer.message
    assert unrelated.status == 200
