"""Solutions carried from one emulated environment to another: exported, staged, imported, upgraded, uninstalled."""

from __future__ import annotations

import base64
import io
import zipfile

import pytest
from defusedxml.ElementTree import fromstring

from airflow_provider_dynamics.emulator import Emulator
from tests.emulator.definitions import API, BANK, column, label, lookup, options, table

IN = {"MSCRM.SolutionUniqueName": "banking"}


@pytest.fixture(scope="module")
def two():
    with Emulator(seed=None) as source, Emulator(seed=None) as target:
        yield source, target


@pytest.fixture
def source(two, wire_to):
    two[0].reset()
    return wire_to(two[0])


@pytest.fixture
def target(two, wire_to):
    two[1].reset()
    return wire_to(two[1])


def done(answer, status=204):
    assert answer.status_code == status, answer.text
    return answer.headers.get("OData-EntityId") if status == 204 else answer.json()


def refused(answer):
    return answer.status_code, answer.json()["error"]["code"]


def act(wire, name, status=200, **body):
    return done(wire("POST", f"{API}/{name}", json=body), status)


def new_solution(wire, name="banking", version="1.0.0.0"):
    known = wire.get("/publishers?$filter=uniquename eq 'sample'").json()["value"]
    url = known and f"{wire.emulator.url}{API}/publishers({known[0]['publisherid']})"
    url = url or done(
        wire(
            "POST",
            f"{API}/publishers",
            json={
                "uniquename": "sample",
                "friendlyname": "Sample",
                "customizationprefix": "sample",
                "customizationoptionvalueprefix": 72700,
            },
        )
    )
    body = {
        "uniquename": name,
        "friendlyname": name.title(),
        "version": version,
        "publisherid@odata.bind": url.partition("/v9.2")[2],
    }
    return done(wire("POST", f"{API}/solutions", json=body))


@pytest.fixture
def banking(source):
    """A solution with a table, a choice, a key, a lookup, a variable and a connection reference."""
    new_solution(source)
    done(source("POST", f"{API}/EntityDefinitions", json=table(), headers=IN))
    colors = {**options((727000000, "Red")), "Name": "sample_colors", "DisplayName": label("Colors")}
    url = done(source("POST", f"{API}/GlobalOptionSetDefinitions", json=colors, headers=IN))
    for body in (
        column("Money", "sample_Balance"),
        column("DateTime", "sample_Day", Format="DateOnly", DateTimeBehavior={"Value": "DateOnly"}),
        column("Picklist", "sample_Choice", OptionSet=options((727000000, "Bravo"), (727000001, "Delta"))),
        column("Boolean", "sample_Flag", DefaultValue=True),
        column("Decimal", "sample_Rate", Precision=3, MinValue=0, MaxValue=5),
        column("Image", "sample_Picture"),
        column("Picklist", "sample_Color", **{"GlobalOptionSet@odata.bind": url.partition("/v9.2")[2]}),
    ):
        done(source("POST", f"{BANK}/Attributes", json=body, headers=IN))
    way = lookup("sample_AccountId", "account")
    done(source("POST", f"{API}/RelationshipDefinitions", json=way, headers=IN))
    key = {"SchemaName": "sample_NameKey", "DisplayName": label("Name"), "KeyAttributes": ["sample_name"]}
    done(source("POST", f"{BANK}/Keys", json=key, headers=IN))
    variable = {"schemaname": "sample_Url", "displayname": "Address", "defaultvalue": "https://a.example"}
    done(source("POST", f"{API}/environmentvariabledefinitions", json=variable, headers=IN))
    reference = {
        "connectionreferencelogicalname": "sample_mail",
        "connectionreferencedisplayname": "Mail",
        "connectorid": "/providers/Microsoft.PowerApps/apis/shared_office365",
    }
    done(source("POST", f"{API}/connectionreferences", json=reference, headers=IN))
    source.emulator.jobs.advance(60)
    return source


def export(wire, name="banking", *, managed=True):
    body = act(wire, "ExportSolution", SolutionName=name, Managed=managed)
    return body["ExportSolutionFile"]


def start(wire, file, **more):
    body = {
        "OverwriteUnmanagedCustomizations": False,
        "PublishWorkflows": True,
        "CustomizationFile": file,
        **more,
    }
    return act(
        wire, "ImportSolutionAsync", **{name: value for name, value in body.items() if value is not None}
    )


def finish(wire, begun):
    wire.emulator.jobs.advance(60)
    job = wire.get(f"/asyncoperations({begun['AsyncOperationId']})").json()
    return job["statuscode"], job["message"]


def bring(wire, file, **more):
    begun = start(wire, file, **more)
    assert finish(wire, begun)[0] == 30, finish(wire, begun)
    return begun


def test_an_exported_solution_is_a_zip_with_its_two_files(banking):
    archive = zipfile.ZipFile(io.BytesIO(base64.b64decode(export(banking))))
    names = set(archive.namelist())
    assert {"solution.xml", "customizations.xml", "[Content_Types].xml"} <= names
    assert "environmentvariabledefinitions/sample_Url/environmentvariabledefinition.xml" in names
    manifest = fromstring(archive.read("solution.xml")).find("SolutionManifest")
    told = [manifest.findtext(name) for name in ("UniqueName", "Version", "Managed")]
    assert told == ["banking", "1.0.0.0", "1"]
    assert manifest.findtext("Publisher/CustomizationPrefix") == "sample"
    roots = {(one.get("type"), one.get("schemaName")) for one in manifest.iter("RootComponent")}
    assert {("1", "sample_bankaccount"), ("9", "sample_colors"), ("380", "sample_Url")} <= roots


@pytest.mark.parametrize("managed", [True, False])
def test_an_imported_table_is_as_it_was(banking, target, managed):
    begun = bring(target, export(banking, managed=managed))
    target.emulator.jobs.advance(60)
    for path in ("Attributes", "Keys", "ManyToOneRelationships"):
        kept = {
            "LogicalName",
            "SchemaName",
            "AttributeType",
            "MaxLength",
            "Precision",
            "MinValue",
            "KeyAttributes",
        }
        kept |= {"MaxValue", "Format", "EntityKeyIndexStatus", "ReferencedEntity", "RequiredLevel"}
        here, there = (
            [{name: one.get(name) for name in kept} for one in wire("GET", f"{BANK}/{path}").json()["value"]]
            for wire in (banking, target)
        )
        assert here == there, path
    row = {"sample_name": "A", "sample_balance": 1.5, "sample_choice": 727000001, "sample_color": 727000000}
    assert done(target("POST", f"{API}/sample_bankaccounts", json=row))
    assert target.get("/sample_bankaccounts(sample_name='A')").json()["sample_flag"] is True
    found = target.get("/solutions?$filter=uniquename eq 'banking'").json()["value"][0]
    assert (found["ismanaged"], found["version"]) == (managed, "1.0.0.0")
    job = target.get(f"/importjobs({begun['ImportJobKey']})").json()
    assert (job["progress"], job["solutionname"], job["completedon"] is not None) == (100.0, "banking", True)
    results = fromstring(job["data"]).iter("result")
    assert {one.get("result") for one in results} == {"success"}


def test_an_export_in_the_background_is_fetched_when_it_is_done(banking, target):
    begun = act(banking, "ExportSolutionAsync", SolutionName="banking", Managed=False)
    job = {"ExportJobId": begun["ExportJobId"]}
    assert banking("POST", f"{API}/DownloadSolutionExportData", json=job).status_code == 404
    banking.emulator.jobs.advance(60)
    bring(target, act(banking, "DownloadSolutionExportData", **job)["ExportSolutionFile"])
    assert target.get("/sample_bankaccounts").status_code == 200


def test_progress_and_the_lock_are_seen_while_an_import_runs(banking, target):
    file = export(banking)
    target.emulator.jobs.waiting, target.emulator.jobs.running = 0, 100
    begun = start(target, file)
    target.emulator.jobs.advance(40)
    job = target.get(f"/importjobs({begun['ImportJobKey']})").json()
    assert 39 <= job["progress"] <= 45
    assert target.get("/sample_bankaccounts").status_code == 404
    answer = target("POST", f"{API}/PublishAllXml", json={})
    assert refused(answer) == (429, "0x80071151")
    assert "[PublishAll] because there is another [Import] running" in answer.text
    assert finish(target, begun)[0] == 30 or finish(target, begun)[0] == 30
    assert target("POST", f"{API}/PublishAllXml", json={}).status_code == 204


def test_a_staged_solution_is_imported_with_values_of_this_environment(banking, target):
    staged = act(target, "StageSolution", CustomizationFile=export(banking))["StageSolutionResults"]
    assert (staged["StageSolutionStatus"], staged["SolutionDetails"]["SolutionVersion"]) == (
        "Passed",
        "1.0.0.0",
    )
    names = [one["ComponentTypeName"] for one in staged["SolutionComponentsDetails"]]
    assert names == ["environmentvariabledefinition", "connectionreference"]
    parameters = [
        {
            "@odata.type": "Microsoft.Dynamics.CRM.environmentvariablevalue",
            "schemaname": "sample_Url",
            "value": "https://b.example",
        },
        {
            "@odata.type": "Microsoft.Dynamics.CRM.connectionreference",
            "connectionreferencelogicalname": "sample_mail",
            "connectionid": "0123",
            "connectorid": "/providers/Microsoft.PowerApps/apis/shared_office365",
        },
    ]
    bring(
        target,
        None,
        SolutionParameters={"StageSolutionUploadId": staged["StageSolutionUploadId"]},
        ComponentParameters=parameters,
    )
    path = "/environmentvariabledefinitions?$expand=environmentvariabledefinition_environmentvariablevalue"
    (variable,) = target.get(path).json()["value"]
    (value,) = variable["environmentvariabledefinition_environmentvariablevalue"]
    assert (variable["defaultvalue"], value["value"]) == ("https://a.example", "https://b.example")
    (reference,) = target.get("/connectionreferences").json()["value"]
    assert (reference["connectionid"], reference["ismanaged"]) == ("0123", True)


def test_what_is_missing_is_named_with_its_solution_and_what_needs_it(banking, target):
    new_solution(banking, "branches")
    inside = {"MSCRM.SolutionUniqueName": "branches"}
    done(banking("POST", f"{API}/EntityDefinitions", json=table("sample_Branch"), headers=inside))
    way = lookup("sample_BankId", "sample_bankaccount", "sample_branch")
    done(banking("POST", f"{API}/RelationshipDefinitions", json=way, headers=inside))
    file = export(banking, "branches")
    staged = act(target, "StageSolution", CustomizationFile=file)["StageSolutionResults"]
    (one,) = staged["MissingDependencies"]
    assert staged["StageSolutionStatus"] == "Failed"
    assert one["RequiredComponentSchemaName"] == "sample_bankaccount"
    assert (one["RequiredComponentType"], one["RequiredSolutionName"]) == ("Entity", "Active")
    assert one["DependentComponentSchemaName"] == "sample_branch_sample_bankaccount"
    assert staged["SolutionValidationResults"][0]["ErrorCode"] == -2147188707
    begun = start(target, file)
    state, message = finish(target, begun)
    assert (state, message.startswith("Solution manifest import: FAILURE")) == (31, True)
    job = target.get(f"/importjobs({begun['ImportJobKey']})").json()
    root = fromstring(job["data"])
    required = root.find("solutionManifests/solutionManifest/MissingDependencies/MissingDependency/Required")
    assert (required.get("type"), required.get("schemaName"), required.get("solution")) == (
        "1",
        "sample_bankaccount",
        "Active",
    )
    result = root.find("solutionManifests/solutionManifest/result")
    assert (result.get("result"), result.get("errorcode")) == ("failure", "0x8004801D")
    shown = target.get(f"/RetrieveFormattedImportJobResults(ImportJobId={begun['ImportJobKey']})").json()
    assert "0x8004801d" in shown["FormattedResults"]
    assert target.get("/sample_branches").status_code == 404
    bring(target, export(banking))
    bring(target, file)
    assert target.get("/sample_branches").status_code == 200


def test_a_managed_solution_does_not_come_over_what_was_made_here(banking, target):
    done(target("POST", f"{API}/EntityDefinitions", json=table()))
    begun = start(target, export(banking))
    state, message = finish(target, begun)
    assert state == 31
    assert "cannot overwrite the Entity component sample_bankaccount" in message
    job = target.get(f"/asyncoperations({begun['AsyncOperationId']})").json()
    assert job["errorcode"] == 0x8004F016 - 2**32


@pytest.mark.parametrize(("first", "code"), [(True, "0x80048041"), (False, "0x80048040")])
def test_a_solution_keeps_its_package_type(banking, target, first, code):
    bring(target, export(banking, managed=first))
    begun = start(target, export(banking, managed=not first))
    assert finish(target, begun)[0] == 31
    job = target.get(f"/asyncoperations({begun['AsyncOperationId']})").json()
    assert job["errorcode"] == int(code, 16) - 2**32


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"no zip", "0x80048060"),
        (b"", "0x80040203"),
    ],
)
def test_what_is_no_solution_is_refused_at_once(target, content, code):
    body = {
        "OverwriteUnmanagedCustomizations": False,
        "PublishWorkflows": True,
        "CustomizationFile": base64.b64encode(content).decode(),
    }
    assert refused(target("POST", f"{API}/ImportSolutionAsync", json=body)) == (400, code)


def test_a_lower_version_and_unknown_components_are_not_emulated(banking, target):
    old, solution = (
        export(banking),
        banking.get("/solutions?$filter=uniquename eq 'banking'").json()["value"][0],
    )
    path = f"{API}/solutions({solution['solutionid']})"
    done(banking("PATCH", path, json={"version": "2.0.0.0"}))
    bring(target, export(banking))
    assert target("POST", f"{API}/StageSolution", json={"CustomizationFile": old}).status_code == 501


def change(banking, **values):
    solution = banking.get("/solutions?$filter=uniquename eq 'banking'").json()["value"][0]
    done(banking("PATCH", f"{API}/solutions({solution['solutionid']})", json=values))


def test_an_upgrade_takes_out_what_the_new_version_lacks(banking, target):
    bring(target, export(banking))
    row = done(target("POST", f"{API}/sample_bankaccounts", json={"sample_name": "Stays"}))
    done(banking("DELETE", f"{BANK}/Attributes(LogicalName='sample_rate')"))
    done(banking("POST", f"{BANK}/Attributes", json=column("String", "sample_Iban", MaxLength=34)))
    change(banking, version="2.0.0.0")
    bring(target, export(banking), HoldingSolution=True)
    names = [one["uniquename"] for one in target.get("/solutions?$filter=ismanaged eq true").json()["value"]]
    assert {"banking", "banking_Upgrade"} <= set(names)
    assert {"sample_rate", "sample_iban"} <= set(target("GET", row).json())
    begun = act(target, "DeleteAndPromoteAsync", UniqueName="banking")
    assert finish(target, begun)[0] == 30
    (solution,) = target.get("/solutions?$filter=startswith(uniquename,'banking')").json()["value"]
    assert (solution["uniquename"], solution["version"], solution["friendlyname"]) == (
        "banking",
        "2.0.0.0",
        "Banking",
    )
    shown = target("GET", row).json()
    assert ("sample_rate" in shown, shown["sample_name"], shown["sample_iban"]) == (False, "Stays", None)
    assert refused(target("POST", f"{API}/DeleteAndPromote", json={"UniqueName": "banking"})) == (
        400,
        "0x8004853b",
    )


def test_stage_and_upgrade_is_one_job(banking, target):
    bring(target, export(banking))
    done(banking("DELETE", f"{BANK}/Attributes(LogicalName='sample_rate')"))
    change(banking, version="1.1.0.0")
    body = {
        "OverwriteUnmanagedCustomizations": False,
        "PublishWorkflows": True,
        "CustomizationFile": export(banking),
    }
    begun = act(target, "StageAndUpgradeAsync", **body)
    assert finish(target, begun)[0] == 30
    (solution,) = target.get("/solutions?$filter=startswith(uniquename,'banking')").json()["value"]
    assert solution["version"] == "1.1.0.0"
    assert target("GET", f"{BANK}/Attributes(LogicalName='sample_rate')").status_code == 404


def test_an_update_leaves_changes_made_here_unless_it_overwrites(banking, target):
    bring(target, export(banking))
    where = f"{BANK}/Attributes(LogicalName='sample_rate')"
    done(target("PUT", where, json=column("Decimal", "sample_Rate", DisplayName=label("Ours"))))
    act(target, "PublishAllXml", 204)

    def shown():
        return target("GET", where).json()["DisplayName"]["UserLocalizedLabel"]["Label"]

    change(banking, version="1.0.0.1")
    bring(target, export(banking))
    assert shown() == "Ours"
    bring(target, export(banking), OverwriteUnmanagedCustomizations=True)
    assert shown() == "Rate"


def test_an_uninstalled_managed_solution_takes_its_tables_along(banking, target):
    bring(target, export(banking))
    assert refused(target("DELETE", BANK)) == (400, "0x8004f013")
    (variable,) = target.get("/environmentvariabledefinitions").json()["value"]
    path = f"{API}/environmentvariabledefinitions({variable['environmentvariabledefinitionid']})"
    assert refused(target("DELETE", path)) == (400, "0x8004f013")
    begun = act(target, "UninstallSolutionAsync", SolutionUniqueName="banking")
    assert finish(target, begun)[0] == 30
    assert target.get("/sample_bankaccounts").status_code == 404
    assert target.get("/environmentvariabledefinitions").json()["value"] == []
    assert target.get("/solutions?$filter=uniquename eq 'banking'").json()["value"] == []
    components = target.get("/solutioncomponents").json()["value"]
    assert components == []


def test_a_solution_that_others_need_stays(banking, target):
    bring(target, export(banking))
    done(target("POST", f"{API}/EntityDefinitions", json=table("sample_Branch")))
    way = lookup("sample_BankId", "sample_bankaccount", "sample_branch")
    done(target("POST", f"{API}/RelationshipDefinitions", json=way))
    (solution,) = target.get("/solutions?$filter=uniquename eq 'banking'").json()["value"]
    listed = target.get("/RetrieveDependenciesForUninstall(SolutionUniqueName=@p1)?@p1='banking'").json()[
        "value"
    ]
    bank = target("GET", f"{BANK}?$select=LogicalName").json()["MetadataId"]
    shown = [(one["dependentcomponenttype"], one["requiredcomponentobjectid"]) for one in listed]
    assert shown == [(2, bank)]
    assert listed[0]["requiredcomponentbasesolutionid"] == solution["solutionid"]
    asked = f"/RetrieveDependenciesForDelete(ObjectId={bank},ComponentType=1)"
    assert len(target.get(asked).json()["value"]) == 1
    answer = target("DELETE", f"{API}/solutions({solution['solutionid']})")
    assert refused(answer) == (400, "0x8004f01d")
    assert target.get("/sample_bankaccounts").status_code == 200


def test_an_unmanaged_solution_leaves_its_tables(banking):
    (solution,) = banking.get("/solutions?$filter=uniquename eq 'banking'").json()["value"]
    done(banking("DELETE", f"{API}/solutions({solution['solutionid']})"))
    assert banking.get("/sample_bankaccounts").status_code == 200


def test_an_import_at_once_keeps_its_log_when_it_fails(banking, target):
    new_solution(banking, "branches")
    inside = {"MSCRM.SolutionUniqueName": "branches"}
    done(banking("POST", f"{API}/EntityDefinitions", json=table("sample_Branch"), headers=inside))
    way = lookup("sample_BankId", "sample_bankaccount", "sample_branch")
    done(banking("POST", f"{API}/RelationshipDefinitions", json=way, headers=inside))
    job = "11111111-2222-4333-8444-555555555555"
    body = {
        "OverwriteUnmanagedCustomizations": False,
        "PublishWorkflows": False,
        "CustomizationFile": export(banking, "branches"),
        "ImportJobId": job,
    }
    assert refused(target("POST", f"{API}/ImportSolution", json=body)) == (400, "0x8004801d")
    assert "failure" in target.get(f"/importjobs({job})").json()["data"]
    body |= {"CustomizationFile": export(banking), "ImportJobId": job.replace("1", "2")}
    act(target, "ImportSolution", 204, **body)
    assert target.get("/sample_bankaccounts").status_code == 200


def test_a_failed_or_cancelled_job_leaves_nothing_behind(banking, target):
    file = export(banking)
    target.emulator.jobs.fail("Out of luck", "0x80048033", after=0.5)
    begun = start(target, file)
    assert finish(target, begun) == (31, "Out of luck")
    assert target.get("/sample_bankaccounts").status_code == 404
    begun = start(target, file)
    cancel = {"statecode": 3, "statuscode": 32}
    done(target("PATCH", f"{API}/asyncoperations({begun['AsyncOperationId']})", json=cancel))
    job = target.get(f"/importjobs({begun['ImportJobKey']})").json()
    assert ("failure" in job["data"], job["completedon"] is not None) == (True, True)
    bring(target, file)


def test_system_tables_carry_columns_only(banking, target):
    new_solution(banking, "extras")
    inside = {"MSCRM.SolutionUniqueName": "extras"}
    where = f"{API}/EntityDefinitions(LogicalName='account')/Attributes"
    done(banking("POST", where, json=column("String", "sample_Segment"), headers=inside))
    bring(target, export(banking, "extras"))
    assert done(target("POST", f"{API}/accounts", json={"name": "A", "sample_segment": "x"}))
    begun = act(target, "UninstallSolutionAsync", SolutionUniqueName="extras")
    assert finish(target, begun)[0] == 30
    assert "sample_segment" not in target.get("/accounts?$top=1").json()["value"][0]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"uniquename": "bank ing"}, "0x8004f002"),
        ({"uniquename": "Default"}, "0x8004f022"),
        ({"uniquename": "banking"}, "0x8004f023"),
        ({"version": "one"}, "0x8004f01e"),
    ],
)
def test_a_wrong_solution_is_refused(source, changes, code):
    new_solution(source)
    (publisher,) = source.get("/publishers?$filter=uniquename eq 'sample'").json()["value"]
    body = {
        "uniquename": "other",
        "friendlyname": "Other",
        "version": "1.0",
        "publisherid@odata.bind": f"/publishers({publisher['publisherid']})",
        **changes,
    }
    assert refused(source("POST", f"{API}/solutions", json=body)) == (400, code)


@pytest.mark.parametrize(
    ("name", "body", "code"),
    [
        ("ExportSolution", {"SolutionName": "none", "Managed": True}, (404, "0x80048037")),
        ("ExportSolution", {"SolutionName": "Default", "Managed": True}, (400, "0x80048048")),
        ("UninstallSolutionAsync", {"SolutionUniqueName": "Default"}, (400, "0x8004f005")),
        ("UninstallSolutionAsync", {"SolutionUniqueName": "none"}, (404, "0x80040217")),
    ],
)
def test_a_wrong_request_is_refused(source, name, body, code):
    assert refused(source("POST", f"{API}/{name}", json=body)) == code


def test_a_managed_solution_is_neither_exported_nor_changed(banking, target):
    bring(target, export(banking))
    asked = {"SolutionName": "banking", "Managed": True}
    assert refused(target("POST", f"{API}/ExportSolution", json=asked)) == (400, "0x80048036")
    (solution,) = target.get("/solutions?$filter=uniquename eq 'banking'").json()["value"]
    path = f"{API}/solutions({solution['solutionid']})"
    assert refused(target("PATCH", path, json={"version": "9.0"})) == (400, "0x8004f024")
    answer = target("POST", f"{BANK}/Attributes", json=column("String", "sample_X"), headers=IN)
    assert refused(answer) == (400, "0x8004f024")


def test_a_component_is_put_into_a_solution_by_hand(banking):
    new_solution(banking, "extras")
    entity = banking("GET", f"{BANK}?$select=LogicalName").json()["MetadataId"]
    named = {"ComponentType": 1, "SolutionUniqueName": "extras"}
    made = act(banking, "AddSolutionComponent", ComponentId=entity, AddRequiredComponents=False, **named)
    assert banking.get(f"/solutioncomponents({made['id']})").json()["objectid"] == entity
    assert b"sample_BankAccount" in zipped(export(banking, "extras"))
    component = {"@odata.type": "Microsoft.Dynamics.CRM.solutioncomponent", "solutioncomponentid": entity}
    act(banking, "RemoveSolutionComponent", SolutionComponent=component, **named)
    assert b"sample_BankAccount" not in zipped(export(banking, "extras"))


def zipped(file):
    return zipfile.ZipFile(io.BytesIO(base64.b64decode(file))).read("customizations.xml")


def test_names_of_variables_need_a_prefix(source):
    answer = source("POST", f"{API}/environmentvariabledefinitions", json={"schemaname": "Url"})
    assert refused(answer) == (400, "0x800608ad")


def test_a_server_of_ones_own_exports_and_imports_at_once(wire_to):
    old = "/api/data/v9.1"
    with Emulator(seed=None) as emulator:
        local = wire_to(emulator.add_environment("crm", seed=None, on_premises=True))
        publisher = {"uniquename": "sample", "friendlyname": "Sample", "customizationprefix": "sample"}
        url = done(local("POST", f"{old}/publishers", json=publisher))
        solution = {"uniquename": "banking", "friendlyname": "Banking", "version": "1.0"}
        solution["publisherid@odata.bind"] = url.partition("/v9.1")[2]
        url = done(local("POST", f"{old}/solutions", json=solution))
        done(local("POST", f"{old}/EntityDefinitions", json=table(), headers=IN))
        asked = {"SolutionName": "banking", "Managed": True}
        file = done(local("POST", f"{old}/ExportSolution", json=asked), 200)["ExportSolutionFile"]
        staged = local("POST", f"{old}/StageSolution", json={"CustomizationFile": file})
        assert refused(staged) == (404, "0x8006088a")
        done(local("DELETE", url))
        done(local("DELETE", f"{old}/EntityDefinitions(LogicalName='sample_bankaccount')"))
        body = {
            "OverwriteUnmanagedCustomizations": False,
            "PublishWorkflows": False,
            "CustomizationFile": file,
            "ImportJobId": "11111111-2222-4333-8444-555555555555",
        }
        done(local("POST", f"{old}/ImportSolution", json=body))
        assert local("GET", f"{old}/sample_bankaccounts").json()["value"] == []
