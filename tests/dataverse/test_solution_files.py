"""What a solution's file says of itself, and what is no solution."""

from __future__ import annotations

import io
import tracemalloc
import zipfile

import pytest

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.administration.solution_files import manifest_of
from tests.dataverse.administering import solution_zip


def zipped(**files: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("_", "."), text)
    return made.getvalue()


def test_a_file_names_its_solution_and_what_it_wants_to_be_told():
    found = manifest_of(
        solution_zip(variables={"new_Url": 100000000, "new_Key": None}, references=("new_sql",))
    )

    assert (found.name, found.version, found.managed) == ("contoso_sales", "1.2.0.0", True)
    assert found.variables == {"new_Url": 100000000, "new_Key": None}
    assert found.connections == {
        "new_sql": ("/providers/Microsoft.PowerApps/apis/shared_sql", "new_sql shown")
    }


def test_an_unmanaged_one_is_told_apart():
    assert not manifest_of(solution_zip(managed=False)).managed


@pytest.mark.parametrize(
    ("file", "why"),
    [
        pytest.param(b"", "no zip file", id="nothing"),
        pytest.param(b"PK but not really", "no zip file", id="no zip"),
        pytest.param(solution_zip()[:-30], "no zip file", id="cut off"),
        pytest.param(zipped(readme_txt="x"), "no solution.xml", id="another zip"),
        pytest.param(zipped(solution_xml="<ImportExportXml/>"), "names no solution", id="no name"),
        pytest.param(zipped(solution_xml="<Import"), "cannot be read", id="no XML"),
        pytest.param(
            zipped(solution_xml='<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>'), "cannot be read", id="entities"
        ),
    ],
)
def test_what_is_no_solution_is_said_before_anything_is_sent(file, why):
    with pytest.raises(errors.SolutionRefused, match=rf"lake/x\.zip is no solution: .*{why}"):
        manifest_of(file, "lake/x.zip")


def test_a_damaged_member_is_no_solution():
    whole = zipped(solution_xml="<a>" + "x" * 500)
    deflated = io.BytesIO()
    with zipfile.ZipFile(deflated, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("solution.xml", "".join(map(str, range(2000))))
    file = bytearray(deflated.getvalue())
    file[60:200] = bytes(140)

    for broken in (bytes(file), whole.replace(b"xxx", b"yyy", 1)):
        with pytest.raises(errors.SolutionRefused, match="is no solution"):
            manifest_of(broken)


def test_customizations_may_be_larger_than_memory_should_be():
    filling = "".join(f"<Entity><Name>{number}</Name></Entity>" for number in range(120_000))
    found = zipped(
        solution_xml="<x><SolutionManifest><UniqueName>a</UniqueName><Version>1</Version></SolutionManifest></x>",
        customizations_xml=f"<x><Entities>{filling}</Entities><connectionreferences>"
        '<connectionreference connectionreferencelogicalname="new_sql"><connectorid>sql</connectorid>'
        "</connectionreference></connectionreferences></x>",
    )
    tracemalloc.start()
    manifest = manifest_of(found)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert manifest.connections == {"new_sql": ("sql", "")}
    assert most < 16 * 2**20  # all of its elements together take three times that
