"""Import logs, and lists of what is missing, become sentences that name component, solution and whoever needs it."""

from __future__ import annotations

from xml.sax.saxutils import quoteattr

import pytest

from airflow_provider_dynamics.dataverse.administration.import_results import refusal_in, results_of
from airflow_provider_dynamics.dataverse.administration.missing import (
    Component,
    MissingDependency,
    kind_of,
    missing_in,
    refused_for,
    without_xml,
)
from tests.dataverse.administering import MISSING_JSON, MISSING_XML, import_log

SENTENCE = (
    "Solution manifest import: FAILURE: The following solution cannot be imported: contoso_sales. Some dependencies are "
    f"missing. The missing dependencies are : {MISSING_XML} , ProductUpdatesOnly : False"
)


def result(text: str, level: str = "failure", code: str = "0x8004801D") -> str:
    return (
        f'<result result="{level}" errorcode="{code}" errortext={quoteattr(text)} datetime="00:47:09.76" />'
    )


def test_a_missing_dependency_names_the_component_its_solution_and_who_requires_it():
    found = results_of({"progress": 14.8, "data": import_log(result(SENTENCE))})

    error = found.refusal("system job (1)")

    assert error is not None
    assert error.code == "0x8004801d"
    told = str(error)
    assert "contoso_sales 1.2.0.0 cannot be imported, because 2 components that it needs are missing" in told
    assert (
        "the chart 'Account Locations' of account, in no solution where it comes from, required by the form 'Information'"
        in told
    )
    assert (
        "the table 'contoso_region', of the solution contoso_base (1.4.0.0), required by the column 'contoso_regionid' "
        "of contoso_building" in told
    )
    assert "Import contoso_base (1.4.0.0) first." in told
    assert "Add what is in no solution" in told
    assert "<" not in told
    assert not error.retryable


def test_staging_lists_the_same():
    [found] = [MissingDependency.of_wire(one) for one in MISSING_JSON]

    assert found == missing_in(SENTENCE)[1]


def test_a_list_that_was_cut_off_says_what_is_whole():
    cut = SENTENCE[: SENTENCE.index("contoso_base") + 3]

    [found] = missing_in(cut)

    assert found.required == Component("chart", "Account Locations", "account", "Active")
    assert "<" not in without_xml(cut)


@pytest.mark.parametrize(
    "text",
    ["", "No document here.", "<MissingDependencies>", "<MissingDependencies><a b=></MissingDependencies>"],
)
def test_what_lists_nothing_is_no_list(text):
    assert missing_in(text) == ()
    assert refusal_in(text, "The solution x", "") is None


def test_a_document_with_entities_is_not_read():
    bomb = '<!DOCTYPE x [<!ENTITY a "b">]><importexportxml>&a;</importexportxml>'

    assert results_of({"progress": 3, "data": bomb}).problems == ()


def test_more_than_a_few_are_counted():
    one = MissingDependency.of_wire(MISSING_JSON[0])
    many = [
        MissingDependency(Component("column", f"contoso_{place}", "account", "base"), one.dependent)
        for place in range(30)
    ]

    told = str(refused_for(many, "The solution x"))

    assert "30 components" in told
    assert "and 26 more" in told
    assert len(told) < 2000


def test_who_needs_the_same_component_is_counted_too():
    one = MissingDependency.of_wire(MISSING_JSON[0])
    others = [MissingDependency(one.required, Component("form", str(place), "account")) for place in range(3)]

    assert "of contoso_building and 3 more" in str(refused_for([one, *others], "The solution x"))


def test_failures_say_where_they_happened():
    log = import_log(
        "<results/>",
        f'<entities><entity id="contoso_building" LocalizedName="Building">'
        f"{result('The name is taken already.', code='0x80047013')}</entity></entities>",
        f'<webResources><webResource name="contoso_/logo.png">{result("", code="0x80040216")}</webResource></webResources>',
    )

    error = results_of({"progress": 62.5, "data": log}).refusal("system job 'Import' (1)")

    told = str(error)
    assert "system job 'Import' (1), 62 % done: " in told
    assert "entity 'Building': The name is taken already (0x80047013)" in told
    assert "webResource 'contoso_/logo.png': no reason is given (0x80040216)" in told


@pytest.mark.parametrize(("code", "passes"), [("0x80071151", True), ("0x8004801D", False)])
def test_a_failure_that_passes_is_worth_a_retry(code, passes):
    found = results_of(
        {"progress": 1, "data": import_log(result("Cannot start another [Import].", code=code))}
    )

    error = found.refusal("system job (1)")

    assert error is not None
    assert error.retryable is passes


def test_warnings_are_no_failures():
    log = import_log(
        result("The process was not activated.", "warning", "0x80045042"), result("", "success", "0")
    )

    found = results_of({"progress": 100, "data": log})

    assert [str(one) for one in found.warnings] == ["The process was not activated (0x80045042)"]
    assert found.refusal("job") is None


@pytest.mark.parametrize("data", [None, "", "<importexportxml", "no document"])
def test_a_log_that_cannot_be_read_still_tells_the_progress(data):
    found = results_of({"progress": 12.5, "solutionname": "contoso_sales", "data": data})

    assert (found.solution, found.progress, found.problems) == ("contoso_sales", 12.5, ())


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (1, "table"),
        ("2", "column"),
        ("380", "environment variable"),
        ("Entity", "table"),
        ("Entity Relationship", "relationship"),
        ("9999", "component of type 9999"),
        ("msdyn_MRFolder", "msdyn_MRFolder"),
        (None, "component"),
    ],
)
def test_components_are_called_by_what_they_are(number, words):
    assert kind_of(number) == words
