"""A service that answers from a table of what was written down, and solutions as files, for tests of administration."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.protocol.exchange import Request, Response
from airflow_provider_dynamics.dataverse.throttle import Stop

MISSING_XML = (
    "<MissingDependencies><MissingDependency>"
    '<Required key="521" type="59" schemaName="Account Locations" displayName="Account Locations" '
    'parentSchemaName="account" parentDisplayName="Account" solution="Active" id="{00d41375-f98d-e911-a99a-000d3aa2c0c7}" />'
    '<Dependent key="500" type="60" displayName="Information" parentDisplayName="Building" '
    'id="{65e22d70-2665-475d-873d-e23bda6b232a}" /></MissingDependency><MissingDependency>'
    '<Required type="1" schemaName="contoso_region" displayName="Region" solution="contoso_base (1.4.0.0)" />'
    '<Dependent type="2" schemaName="contoso_regionid" parentSchemaName="contoso_building" />'
    "</MissingDependency></MissingDependencies>"
)
"""As import logs list what is missing."""
MISSING_JSON = [
    {
        "RequiredComponentSchemaName": "contoso_region",
        "RequiredComponentDisplayName": "Region",
        "RequiredComponentParentSchemaName": "",
        "RequiredComponentParentDisplayName": "",
        "RequiredComponentId": "3a309204-0f89-eb11-a812-000d3a4f7b30",
        "RequiredSolutionName": "contoso_base (1.4.0.0)",
        "RequiredComponentType": "1",
        "DependentComponentSchemaName": "contoso_regionid",
        "DependentComponentDisplayName": "Region",
        "DependentComponentParentSchemaName": "contoso_building",
        "DependentComponentParentDisplayName": "Building",
        "DependentComponentType": "2",
        "DependentComponentId": "e8d4da0b-0f89-eb11-a812-000d3a4f7b30",
    }
]
"""As staging lists it."""

Answer = dict[str, Any] | Exception | Callable[[Request], Any] | None


class FakeService:
    """Answers each request by its method and the beginning of its target; what nobody wrote down is a 404."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], list[Answer]] = {}
        self.requests: list[Request] = []

    def on(self, method: str, target: str, *answers: Answer) -> FakeService:
        """Answer requests that begin so with these one after the other, the last of them for ever."""
        self.answers[method, target] = list(answers)
        return self

    def send(self, request: Request, stop: Stop | None = None) -> Response:
        self.requests.append(request)
        target = unquote(request.target)
        fitting = [key for key in self.answers if key[0] == request.method and target.startswith(key[1])]
        if not fitting:
            raise errors.NotFound(f"nobody wrote down {request.method} {target}", status=404)
        left = self.answers[max(fitting, key=lambda key: len(key[1]))]
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            answer = answer(request)
        if answer is None:
            return Response(204, {}, b"")
        return Response(200, {"Content-Type": "application/json"}, json.dumps(answer).encode())

    def sent(self, method: str, target: str = "") -> list[Request]:
        return [
            one for one in self.requests if one.method == method and unquote(one.target).startswith(target)
        ]

    def bodies(self, method: str, target: str = "") -> list[Any]:
        return [json.loads(one.body or b"null") for one in self.sent(method, target)]


def solution_zip(
    name: str = "contoso_sales",
    version: str = "1.2.0.0",
    *,
    managed: bool = True,
    variables: Mapping[str, int | None] = MappingProxyType({}),
    references: tuple[str, ...] = (),
) -> bytes:
    """Return a solution's zip as an export writes it, with as much in it as is read here."""
    connections = "".join(
        f'<connectionreference connectionreferencelogicalname="{one}">'
        f"<connectionreferencedisplayname>{one} shown</connectionreferencedisplayname>"
        "<connectorid>/providers/Microsoft.PowerApps/apis/shared_sql</connectorid></connectionreference>"
        for one in references
    )
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as zipped:
        zipped.writestr(
            "solution.xml",
            f"<ImportExportXml><SolutionManifest><UniqueName>{name}</UniqueName><Version>{version}</Version>"
            f"<Managed>{int(managed)}</Managed></SolutionManifest></ImportExportXml>",
        )
        zipped.writestr(
            "customizations.xml",
            f"<ImportExportXml><connectionreferences>{connections}</connectionreferences></ImportExportXml>",
        )
        for one, kind in variables.items():
            zipped.writestr(
                f"environmentvariabledefinitions/{one}/environmentvariabledefinition.xml",
                f'<environmentvariabledefinition schemaname="{one}">'
                f"{'' if kind is None else f'<type>{kind}</type>'}</environmentvariabledefinition>",
            )
    return made.getvalue()


def import_log(*results: str, name: str = "contoso_sales", version: str = "1.2.0.0") -> str:
    """Return an import's log with these elements inside its manifest."""
    return (
        '<importexportxml start="636964156226630101" progress="14.8" processed="true"><solutionManifests>'
        f'<solutionManifest languagecode="1033" id="{name}" LocalizedName="Sales" processed="true">'
        f"<UniqueName>{name}</UniqueName><Version>{version}</Version>{''.join(results)}"
        "</solutionManifest></solutionManifests></importexportxml>"
    )
