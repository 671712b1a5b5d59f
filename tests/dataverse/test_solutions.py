"""Solutions against answers as Microsoft's pages give them: what is sent, and what refusals become."""

from __future__ import annotations

import base64

import pytest

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.administration.solutions import Solution, Solutions, Staged
from airflow_provider_dynamics.dataverse.throttle import Stop
from airflow_provider_dynamics.dataverse.transport.metadata_gate import MetadataGate
from tests.dataverse.administering import MISSING_JSON, MISSING_XML, FakeService, import_log, solution_zip

JOB, KEY = "0a1b2c3d-0000-4000-8000-000000000001", "0a1b2c3d-0000-4000-8000-000000000002"
STARTED = {"AsyncOperationId": JOB, "ImportJobKey": KEY, "@odata.context": "…"}


@pytest.fixture
def service():
    return FakeService()


@pytest.fixture
def solutions(service):
    return Solutions(service, MetadataGate(allowed=True), stop=Stop())


def staging(status="Passed", results=(), missing=()):
    return {
        "StageSolutionResults": {
            "StageSolutionUploadId": KEY,
            "StageSolutionStatus": status,
            "SolutionValidationResults": list(results),
            "MissingDependencies": list(missing),
            "SolutionDetails": {"SolutionUniqueName": "contoso_sales"},
        }
    }


def wrong(message, code=-2147188707, level="Error"):
    return {
        "SolutionValidationResultType": level,
        "Message": message,
        "ErrorCode": code,
        "AdditionalInfo": None,
    }


def test_an_installed_solution_is_found_by_its_name(service, solutions):
    row = {
        "solutionid": JOB.upper(),
        "uniquename": "contoso_sales",
        "friendlyname": "Sales",
        "version": "1.0.0.0",
        "ismanaged": True,
    }
    service.on("GET", "solutions?", {"value": [row]}, {"value": []})

    assert solutions.get("contoso_sales") == Solution(JOB, "contoso_sales", "Sales", "1.0.0.0", True)
    assert solutions.get("O'Neil") is None
    assert "uniquename%20eq%20'O''Neil'" in service.requests[-1].target


def test_an_export_is_a_job_and_then_a_file(service, solutions):
    service.on("POST", "ExportSolutionAsync", {"AsyncOperationId": JOB, "ExportJobId": KEY})
    service.on(
        "POST",
        "DownloadSolutionExportData",
        {"ExportSolutionFile": base64.b64encode(solution_zip()).decode()},
    )

    started = solutions.start_export("contoso_sales", managed=True)

    assert (started.job_id, started.answer) == (JOB, {"ExportJobId": KEY})
    assert solutions.download(started.answer["ExportJobId"]) == solution_zip()
    assert service.bodies("POST") == [
        {"SolutionName": "contoso_sales", "Managed": True},
        {"ExportJobId": KEY},
    ]


@pytest.mark.parametrize("sent", [None, "no base64!"])
def test_a_download_that_is_no_file_is_no_solution(service, solutions, sent):
    service.on("POST", "DownloadSolutionExportData", {"ExportSolutionFile": sent})

    if sent is None:
        assert solutions.download(KEY) == b""
    else:
        with pytest.raises(errors.BadResponse):
            solutions.download(KEY)


def test_a_staged_solution_is_imported_by_its_upload_id(service, solutions):
    service.on("POST", "StageSolution", staging(results=[wrong("Mind this.", 0, "Warning")]))
    service.on("POST", "ImportSolutionAsync", STARTED)

    staged = solutions.stage(solution_zip(), "contoso_sales 1.2.0.0")
    started = solutions.start_import(staged=staged, holding=True, parameters=[{"schemaname": "new_Url"}])

    assert staged == Staged(KEY, ("Mind this.",))
    assert (started.job_id, started.answer) == (JOB, {"ImportJobKey": KEY})
    assert service.bodies("POST", "ImportSolutionAsync") == [
        {
            "OverwriteUnmanagedCustomizations": False,
            "PublishWorkflows": True,
            "HoldingSolution": True,
            "SolutionParameters": {"StageSolutionUploadId": KEY},
            "ComponentParameters": [{"schemaname": "new_Url"}],
        }
    ]


def test_a_file_is_imported_as_it_is_where_it_was_not_staged(service, solutions):
    service.on("POST", "ImportSolutionAsync", STARTED)

    solutions.start_import(solution_zip(), overwrite=True, publish_workflows=False)

    [body] = service.bodies("POST")
    assert base64.b64decode(body.pop("CustomizationFile")) == solution_zip()
    assert body == {
        "OverwriteUnmanagedCustomizations": True,
        "PublishWorkflows": False,
        "HoldingSolution": False,
    }


@pytest.mark.parametrize(
    ("given"),
    [
        pytest.param(staging("Failed", missing=MISSING_JSON), id="listed by themselves"),
        pytest.param(staging("Failed", [wrong(f"It cannot: {MISSING_XML}")]), id="inside a message"),
    ],
)
def test_what_is_missing_is_named_before_anything_is_imported(service, solutions, given):
    service.on("POST", "StageSolution", given)

    with pytest.raises(errors.SolutionRefused) as raised:
        solutions.stage(solution_zip(), "contoso_sales 1.2.0.0")

    told = str(raised.value)
    assert "table 'contoso_region', of the solution contoso_base (1.4.0.0), required by the column" in told
    assert not service.sent("POST", "Import")


def test_a_refusal_of_the_whole_request_is_taken_apart_too(service, solutions):
    refusal = errors.SolutionRefused(f"It cannot: {MISSING_XML}", code="0x8004801d", status=400)
    service.on("POST", "StageSolution", refusal)

    with pytest.raises(errors.SolutionRefused, match="required by the column 'contoso_regionid'") as raised:
        solutions.stage(solution_zip(), "contoso_sales 1.2.0.0")

    assert raised.value.status == 400


def test_what_else_is_wrong_is_said_in_the_services_words(service, solutions):
    said = wrong("The solution is already installed as unmanaged but this package is managed.", -2147188672)
    service.on("POST", "StageSolution", staging("Failed", [said]))

    with pytest.raises(errors.SolutionRefused, match="already installed as unmanaged") as raised:
        solutions.stage(solution_zip(), "contoso_sales 1.2.0.0")

    assert raised.value.code == "0x80048040"


@pytest.mark.parametrize(
    ("call", "action", "body"),
    [
        pytest.param("start_upgrade", "DeleteAndPromoteAsync", {"UniqueName": "contoso_sales"}, id="upgrade"),
        pytest.param(
            "start_uninstall",
            "UninstallSolutionAsync",
            {"SolutionUniqueName": "contoso_sales"},
            id="uninstall",
        ),
    ],
)
def test_what_else_is_done_to_a_solution_is_a_job(service, solutions, call, action, body):
    service.on("POST", action, {"AsyncOperationId": JOB})

    assert getattr(solutions, call)("contoso_sales").job_id == JOB
    assert service.bodies("POST", action) == [body]


def test_everything_is_published_by_a_job_and_some_things_at_once(service, solutions):
    service.on("POST", "PublishAllXmlAsync", {"AsyncOperationId": JOB}).on("POST", "PublishXml", None)

    assert solutions.start_publish().job_id == JOB
    solutions.publish(["account", "new_a&b"], ["new_colors"])

    assert service.bodies("POST", "PublishXml") == [
        {
            "ParameterXml": "<importexportxml><entities><entity>account</entity><entity>new_a&amp;b</entity></entities>"
            "<optionsets><optionset>new_colors</optionset></optionsets></importexportxml>"
        }
    ]


def test_an_imports_log_is_read_where_there_is_one(service, solutions):
    service.on("GET", f"importjobs({KEY})?$select=solutionname", {"progress": 40.5, "data": import_log()})

    found = solutions.results(KEY)

    assert found is not None
    assert (found.solution, found.progress) == ("contoso_sales", 40.5)
    assert solutions.results(JOB) is None


def test_progress_is_only_a_number_in_a_log_and_never_an_error(service, solutions):
    service.on("GET", f"importjobs({KEY})?$select=progress", {"progress": 40.5}, errors.ServerError("down"))

    assert solutions.progress(KEY) == 40.5
    assert solutions.progress(KEY) is None
    assert solutions.progress(JOB) is None
    assert all(one.optional for one in service.requests)


def test_what_keeps_a_solution_is_named(service, solutions):
    service.on(
        "GET",
        "RetrieveDependenciesForUninstall(",
        {
            "value": [
                {
                    "dependentcomponenttype": 60,
                    "dependentcomponentobjectid": KEY,
                    "requiredcomponenttype": 1,
                    "requiredcomponentobjectid": JOB,
                    "dependentcomponentbasesolutionid": JOB,
                }
            ]
        },
    )
    service.on("GET", "solutions?", {"value": [{"solutionid": JOB, "uniquename": "contoso_service"}]})

    assert solutions.blocking("contoso_sales") == (
        f"the form {KEY} of the solution contoso_service needs its table {JOB}",
    )


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("stage", (b"", "x")),
        ("start_import", (b"",)),
        ("start_upgrade", ("x",)),
        ("start_uninstall", ("x",)),
    ],
)
def test_what_changes_definitions_is_refused_by_name_before_anything_is_sent(service, call, arguments):
    guarded = Solutions(service, MetadataGate(), stop=Stop())

    with pytest.raises(errors.MetadataChangesOff, match=r"a solution does.* Allow metadata changes"):
        getattr(guarded, call)(*arguments)

    assert service.requests == []


def test_an_import_is_of_a_file_or_of_what_was_staged(solutions):
    for arguments in ({}, {"file": b"", "staged": Staged(KEY)}):
        with pytest.raises(ValueError, match="either a file or what was staged"):
            solutions.start_import(**arguments)
