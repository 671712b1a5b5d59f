"""How a write is to be carried out, as headers."""

from __future__ import annotations

import pytest

from airflow_provider_dynamics.dataverse import WriteOptions, errors
from airflow_provider_dynamics.dataverse.protocol.options import NO_OPTIONS

ID = "45e0c603-0d0b-466e-a286-d7fc1cda8361"


def test_nothing_is_said_unless_it_is_asked_for():
    assert NO_OPTIONS.headers() == {}
    assert NO_OPTIONS.addressed("accounts") == "accounts"


@pytest.mark.parametrize(
    ("options", "headers"),
    [
        ({"caller_object_id": f"{{{ID.upper()}}}"}, {"CallerObjectId": ID}),
        ({"detect_duplicates": True}, {"MSCRM.SuppressDuplicateDetection": "false"}),
        ({"bypass_business_logic": "async"}, {"MSCRM.BypassBusinessLogicExecution": "CustomAsync"}),
        ({"bypass_steps": [ID, ID]}, {"MSCRM.BypassBusinessLogicExecutionStepIds": f"{ID},{ID}"}),
        ({"bypass_flows": True}, {"MSCRM.SuppressCallbackRegistrationExpanderJob": "true"}),
        ({"solution": "mine"}, {"MSCRM.SolutionUniqueName": "mine"}),
    ],
)
def test_each_option_is_a_header(options, headers):
    assert WriteOptions(**options).headers() == headers


def test_a_tag_goes_into_the_address_as_it_has_no_header():
    assert WriteOptions(tag="a&b").addressed("accounts?$select=name") == "accounts?$select=name&tag=a%26b"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bypass_business_logic": "some"}, "must be one of"),
        ({"bypass_steps": ID}, "not one text"),
        ({"bypass_steps": [ID] * 11}, "takes 10"),
        ({"solution": "Mine, shown so"}, "its unique name"),
        ({"solution": "mine\r\nCallerObjectId: x"}, "its unique name"),
    ],
)
def test_what_is_no_option_is_said_at_once(options, words):
    with pytest.raises(ValueError, match=words):
        WriteOptions(**options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"caller_object_id": "somebody"}, "caller_object_id holds 'somebody'.*object id in Entra"),
        ({"bypass_steps": ["some step"]}, "bypass_steps holds 'some step'"),
    ],
)
def test_an_id_that_is_none_is_refused_before_it_is_sent(options, words):
    with pytest.raises(errors.BadRequest, match=words):
        WriteOptions(**options).headers()
