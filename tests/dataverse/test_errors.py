"""Every answer becomes the right error, with the right words."""

from __future__ import annotations

import json
import pickle

import pytest

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.protocol import codes
from airflow_provider_dynamics.dataverse.protocol.answers import from_response

NOW = 1_800_000_000.0


def answered(status: int, body: bytes | dict[str, object] = b"", **headers: str) -> errors.DataverseError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return from_response(
        "GET accounts", status, {k.replace("_", "-"): v for k, v in headers.items()}, raw, now=NOW
    )


def fault(code: str, message: str = "Said so.") -> dict[str, object]:
    return {"error": {"code": code, "message": message}}


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        pytest.param(404, "0x80040217", errors.RowNotFound, id="a row that is not there"),
        pytest.param(404, "0x80060891", errors.RowNotFound, id="a key no row has"),
        pytest.param(400, "0x80041102", errors.UnknownTable, id="no such table"),
        pytest.param(400, "0x80041103", errors.UnknownColumn, id="no such column"),
        pytest.param(400, "0x80060890", errors.UnknownKey, id="no such key"),
        pytest.param(412, "0x80040237", errors.DuplicateKey, id="an id that exists"),
        pytest.param(412, "0x80060892", errors.DuplicateKey, id="an alternate key that exists"),
        pytest.param(
            500, "0x80040333", errors.Conflict, id="a detected duplicate, shown as 500 by an older page"
        ),
        pytest.param(
            412, "0x80040333", errors.Conflict, id="a detected duplicate, shown as 412 by a newer page"
        ),
        pytest.param(412, "0x80060882", errors.ConcurrencyMismatch, id="a stale etag"),
        pytest.param(400, "0x80040265", errors.PluginRefused, id="a plug-in"),
        pytest.param(400, "0x80044352", errors.DeltaLinkExpired, id="an old delta link"),
        pytest.param(400, "0x80072491", errors.ChangeTrackingOff, id="no change tracking"),
        pytest.param(403, "0x80040220", errors.Forbidden, id="a missing privilege"),
        pytest.param(403, "0x80072560", errors.Forbidden, id="no application user"),
        pytest.param(429, "0x80072321", errors.Throttled, id="too much execution time"),
        pytest.param(429, "0x80072322", errors.Throttled, id="too many requests"),
        pytest.param(429, "0x80072326", errors.Throttled, id="too many at once"),
        pytest.param(400, "0x80048544", errors.Throttled, id="query throttling, which is no 429"),
        pytest.param(429, "0x80071151", errors.CustomizationRunning, id="another import, which is a 429"),
        pytest.param(400, "0x8004801d", errors.SolutionRefused, id="a missing dependency"),
        pytest.param(400, "0x80048644", errors.BadRequest, id="a leading wildcard"),
        pytest.param(500, "0x80044150", errors.ServerError, id="a SQL error"),
        pytest.param(500, "0x80044151", errors.ServerTimeout, id="a SQL timeout"),
        pytest.param(400, "0x80081111", errors.ServerTimeout, id="a slow plug-in"),
        pytest.param(500, "0x80040216", errors.ServerError, id="something unexpected"),
        pytest.param(400, "0x80060888", errors.BadRequest, id="OData's code for anything"),
        pytest.param(400, "0x8004e023", errors.AggregateLimit, id="an aggregate over the limit"),
    ],
)
def test_the_code_of_dataverse_decides(status, code, kind):
    error = answered(status, fault(code))
    assert type(error) is kind
    assert error.code == code
    assert error.status == status


@pytest.mark.parametrize(
    ("code", "todo"),
    [
        pytest.param("0x8004430a", "divide the rows by a condition", id="too many rows without a cookie"),
        pytest.param("0x8004430c", "join equal ones with is_in", id="too many conditions"),
        pytest.param("0x8004430d", "in a query of their own", id="too many joins"),
        pytest.param("0x8004430e", "some of them at a time", id="too many values"),
    ],
)
def test_a_query_over_a_limit_is_told_how_to_stay_below(code, todo):
    error = answered(400, fault(code))
    assert todo in error.remedy
    assert not error.retryable


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        pytest.param(400, errors.BadRequest, False, id="400"),
        pytest.param(401, errors.Unauthorized, False, id="401"),
        pytest.param(403, errors.Forbidden, False, id="403"),
        pytest.param(404, errors.NotFound, False, id="404"),
        pytest.param(405, errors.BadRequest, False, id="405"),
        pytest.param(412, errors.Conflict, False, id="412"),
        pytest.param(413, errors.TooLarge, False, id="413"),
        pytest.param(418, errors.BadRequest, False, id="an unexpected 4xx"),
        pytest.param(429, errors.Throttled, True, id="429"),
        pytest.param(500, errors.ServerError, True, id="500"),
        pytest.param(501, errors.BadRequest, False, id="501 not emulated"),
        pytest.param(502, errors.ServerError, True, id="502"),
        pytest.param(503, errors.ServerError, True, id="503"),
        pytest.param(504, errors.ServerError, True, id="504"),
        pytest.param(302, errors.BadResponse, False, id="a redirect"),
    ],
)
@pytest.mark.parametrize("code", [pytest.param("", id="no code"), pytest.param("0x0", id="the code 0x0")])
def test_without_a_code_the_status_decides(status, kind, retryable, code):
    error = answered(status, fault(code))
    assert type(error) is kind
    assert error.code == ""
    assert error.retryable is retryable


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b"", "gave no reason", id="nothing"),
        pytest.param(
            b"<html><head><title>Service\n Unavailable</title></head><body>x</body></html>",
            "Service Unavailable",
            id="a web page",
        ),
        pytest.param(b"<h1>Bad Gateway</h1><p>Try later", "Bad Gateway Try later", id="half a web page"),
        pytest.param(b"The service is unavailable.", "The service is unavailable.", id="plain text"),
        pytest.param(b'{"error":{"code":"0x80040216","message":"It bro', "It bro", id="half an error"),
        pytest.param(
            b'\xef\xbb\xbf{"error":{"message":"With a mark"}}', "With a mark", id="a byte order mark"
        ),
        pytest.param(b'{"Message":"Older shape"}', "Older shape", id="the older shape"),
        pytest.param(b'["what"]', "what", id="a list"),
        pytest.param(b'{"error":"text"}', "text", id="a text as error"),
        pytest.param(b"\xff\xfe\x00", "", id="no text at all"),
    ],
)
def test_any_body_is_survived(body, message):
    assert message in answered(503, body).message


@pytest.mark.parametrize(
    ("rest", "message"), [(',"message":"Refused by', "Refused by"), (',"messa', "The service gave no reason")]
)
def test_half_an_error_still_has_its_code(rest, message):
    error = answered(400, b'{"error":{"code":"0x80040265"' + rest.encode())
    assert (type(error), error.message) == (errors.PluginRefused, message)


def test_codes_are_compared_in_one_spelling():
    assert type(answered(404, fault("0X80040217"))) is errors.RowNotFound
    assert type(answered(404, {"error": {"code": -2147220969, "message": "x"}})) is errors.RowNotFound


def test_the_text_says_what_was_asked_what_came_back_and_what_to_do():
    error = answered(
        403, fault("0x80042f09", "User has no roles."), x_ms_service_request_id="7341c0c1, 1ee13aa7"
    )
    assert str(error) == (
        "GET accounts: User has no roles (HTTP 403, 0x80042f09, request id 1ee13aa7). "
        "What to do: Give the user a security role in this environment: Power Platform admin center "
        "(https://admin.powerplatform.microsoft.com) > Environments > this environment > Settings > Users + permissions."
    )


@pytest.mark.parametrize("header", ["x-ms-service-request-id", "REQ_ID"])
def test_the_request_id_is_taken_from_either_header(header):
    assert from_response("x", 500, {header: "1ee13aa7"}, b"", now=NOW).request_id == "1ee13aa7"


def test_a_long_answer_is_cut():
    error = answered(400, fault("", "long " * 1000))
    assert len(str(error)) < 700


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param("17", 17.0, id="seconds"),
        pytest.param("0", 0.0, id="zero"),
        pytest.param(" 2.5 ", 2.5, id="a fraction"),
        pytest.param("Fri, 15 Jan 2027 08:00:17 GMT", 17.0, id="a date"),
        pytest.param("Fri, 15 Jan 2027 07:59:00 GMT", 0.0, id="a date that has passed"),
        pytest.param("-5", None, id="negative"),
        pytest.param("soon", None, id="a word"),
        pytest.param("", None, id="empty"),
        pytest.param("99999999999999", None, id="an absurd number"),
    ],
)
def test_retry_after_is_read_in_all_its_forms(header, expected):
    assert answered(429, Retry_After=header).retry_after == expected


def test_a_retry_date_is_compared_with_the_services_own_clock():
    error = answered(429, Retry_After="Fri, 15 Jan 2027 10:00:30 GMT", Date="Fri, 15 Jan 2027 10:00:00 GMT")
    assert error.retry_after == 30.0


# --- who has to act -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        pytest.param(403, "0x80072560", "needs-admin", id="no application user"),
        pytest.param(403, "0x80040220", "needs-admin", id="a missing privilege"),
        pytest.param(400, "0x80072491", "needs-admin", id="change tracking is off"),
        pytest.param(429, "0x80072322", "transient", id="throttling"),
        pytest.param(503, "", "transient", id="a fault of the service"),
        pytest.param(404, "0x80040217", "permanent", id="no such row"),
        pytest.param(401, "", "permanent", id="a token for somewhere else"),
        pytest.param(302, "", "permanent", id="a redirect"),
    ],
)
def test_every_error_says_who_has_to_act(status, code, kind):
    assert answered(status, fault(code)).kind == kind


def test_cancelled_work_may_go_on_elsewhere_but_is_not_repeated_here():
    stopped = errors.Interrupted("The work was cancelled")
    assert (stopped.kind, stopped.retryable) == ("transient", False)


def test_a_missing_application_user_is_named_as_far_as_it_is_known():
    told = from_response("GET accounts", 403, {}, json.dumps(fault("0x80072560")).encode(), now=NOW)
    assert "Add the app registration as an application user" in str(told)
    assert "Environments > this environment > Settings" in str(told)
    assert "{" not in str(told)


@pytest.mark.parametrize(
    "said",
    [
        "Principal user (Id=b06e8494, type=8, roleCount=8), is missing prvReadAccount privilege (Id=a49) on OTC=1 for entity 'account'.",
        "Principal user (Id=b06e8494) is missing 'prvReadAccount' privilege (Id=a49)",
    ],
    ids=["without quotes", "with quotes"],
)
def test_a_missing_privilege_is_named_in_the_remedy(said):
    error = answered(403, fault("0x80040220", said))
    assert error.remedy.startswith(
        "Give the user a security role with the privilege prvReadAccount: Power Platform"
    )


def test_a_column_that_odata_does_not_find_is_told_from_its_other_errors():
    message = "Could not find a property named 'nme' on type 'Microsoft.Dynamics.CRM.account'."
    assert type(answered(400, fault("0x80060888", message))) is errors.UnknownColumn
    assert type(answered(400, fault("0x80060888", "Something else."))) is errors.BadRequest


def test_an_option_that_change_tracking_does_not_take_says_what_to_do():
    message = 'The "$filter" query parameter isn\'t supported when Change Tracking is enabled.'
    assert "choose among the rows that come" in str(answered(400, fault("0x80060888", message)))


def test_a_refusal_that_is_a_web_page_is_not_taken_for_dataverses():
    error = answered(403, b"<html><title>Blocked</title></html>", Content_Type="text/html; charset=utf-8")
    assert "not Dataverse's" in error.remedy
    assert "security role" not in error.remedy


def test_no_error_is_longer_than_airflow_shows():
    for code in codes.BY_CODE:
        body = json.dumps(fault(code, "prvReadAccount long " * 900)).encode()
        error = from_response(
            "GET " + "x" * 9000,
            403,
            {},
            body,
            now=NOW,
            environment="https://" + "e" * 250,
            client_id="c" * 40,
        )
        assert len(str(error)) <= 2000


@pytest.mark.parametrize("spelled", ["0x80072560", "0X80072560", " 0x80072560 ", "-2147015328"])
def test_a_code_is_explained_however_it_is_spelled(spelled):
    found = codes.explain(spelled)
    assert found is not None
    assert (found.code, found.name, found.kind) == ("0x80072560", "UserNotMemberOfOrg", "needs-admin")
    assert "Application users > New app user" in found.remedy
    assert found.link.startswith("https://learn.microsoft.com/")


def test_a_code_of_microsofts_list_without_a_remedy_of_ours_has_its_name():
    found = codes.explain("0x80044a13")
    assert found is None
    found = codes.explain("0x8004025c")
    assert found is not None
    assert (found.name, found.cause) == ("CrmMalformedExpressionError", "Crm malformed expression error.")


@pytest.mark.parametrize("code", ["0x8fffffff", "AADSTS7000222", "invalid_grant", "", "0x0"])
def test_what_is_no_code_of_dataverse_is_not_explained(code):
    assert codes.explain(code) is None


def test_every_code_is_explained_in_whole_sentences():
    for code in codes.BY_CODE:
        found = codes.explain(code)
        assert found is not None
        assert found.cause.endswith(".")
        assert found.remedy == "" or found.remedy.endswith(".")
        assert "{" not in found.remedy


def test_an_error_survives_being_pickled():
    error = answered(429, fault("0x80072322"), Retry_After="5")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes
    assert str(again) == str(error)
    assert (type(again), again.retry_after) == (errors.Throttled, 5.0)


def test_the_picture_shows_the_whole_tree():
    drawn = errors.__doc__ or ""
    for name in errors.__all__:
        assert f" {name}" in drawn


def test_every_remedy_is_a_sentence():
    for kind, remedy in codes.BY_CODE.values():
        words = remedy if remedy is not None else (kind.default_remedy if kind else "")
        assert words == "" or words.endswith(".")
