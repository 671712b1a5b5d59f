"""Signing in, signing out and testing, button by button, and every way in which that is refused."""

from __future__ import annotations

import httpx
import pytest

from airflow_provider_dynamics.sign_in.cards import anchor
from tests.sign_in.outside import CODE, REFRESH_TOKEN, VERIFIER, Place, Shelf, connection


def alert(answer: httpx.Response) -> str:
    """Return what a refusal says."""
    start = answer.text.index('role="alert">') + len('role="alert">')
    return answer.text[start : answer.text.index("</p>", start)]


def test_a_sign_in_is_kept_in_its_connection_and_the_list_says_so(place: Place):
    ann = place.browser()

    asked = ann.leave("new")
    back = ann.come_back(asked)

    assert (back.status_code, back.headers["location"]) == (303, f"/dynamics/#{anchor('new')}")
    assert place.shelf.kept == [("new", REFRESH_TOKEN, "ann@contoso.com", "tenant")]
    assert place.masked == [REFRESH_TOKEN]
    assert "Signed in as ann@contoso.com. Connected to https://contoso.crm4" in ann.get("").text
    assert "Signed in as ann@contoso.com. Connected" not in ann.get("").text, "it is said once"


def test_who_signed_in_and_out_is_in_the_audit_log(place: Place):
    ann = place.browser()

    ann.come_back(ann.leave("new"))
    ann.press("sign-out", "new")

    assert place.shelf.events == [
        ("dynamics_sign_in", "ann", "new", {"user": "ann@contoso.com"}),
        ("dynamics_sign_out", "ann", "new", {}),
    ]


def test_the_service_is_asked_to_come_back_to_the_registered_address_with_the_known_user(place: Place):
    asked = place.browser().leave("sales")

    (started,) = place.service.started
    assert asked["redirect_uri"] == started["redirect_uri"] == "https://airflow.test/dynamics/callback"
    assert started["login_hint"] == "ann@contoso.com"


def test_another_api_server_finishes_what_one_began(place: Place):
    one, other = place.browser(), place.browser()

    asked = one.leave("new")
    other.cookies = one.cookies
    other.come_back(asked)

    assert [kept[0] for kept in place.shelf.kept] == ["new"]


def test_it_works_below_a_base_path_and_its_cookies_stay_there(place: Place):
    place.base_url = "https://airflow.test/team/airflow"
    ann = place.browser()

    answer = ann.press("sign-in", "new")

    assert place.service.started[0]["redirect_uri"] == "https://airflow.test/team/airflow/dynamics/callback"
    assert "; Path=/team/airflow/dynamics;" in answer.headers["set-cookie"]
    assert ann.come_back(ann.leave("new")).headers["location"].startswith("/team/airflow/dynamics/#")


def test_the_cookie_is_for_this_page_alone_and_tells_nothing(place: Place):
    answer = place.browser().press("sign-in", "new")

    cookie = answer.headers["set-cookie"]
    for rule in ("HttpOnly", "SameSite=lax", "Secure", "Path=/dynamics;", "Max-Age=600"):
        assert rule in cookie
    assert VERIFIER not in cookie
    assert VERIFIER not in answer.text


def test_over_plain_http_on_this_machine_the_cookie_is_not_secure_or_it_would_not_come_back(place: Place):
    place.base_url = "http://airflow.test"

    assert "Secure" not in place.browser().press("sign-in", "new").headers["set-cookie"]


def test_somebody_elses_sign_in_than_before_is_told(place: Place):
    place.service.user = "Bob@contoso.com"
    ann = place.browser()

    ann.come_back(ann.leave("sales"))

    assert "Signed in as Bob@contoso.com. Before, it was ann@contoso.com." in ann.get("").text


def test_a_sign_in_that_dataverse_refuses_is_kept_and_told(place: Place):
    place.outcome = (False, "The user is not a member of the organization.")
    ann = place.browser()

    ann.come_back(ann.leave("new"))

    assert place.shelf.kept
    assert "Signed in as ann@contoso.com. The user is not a member" in ann.get("").text


def test_what_is_left_of_a_former_sign_in_is_told(place: Place):
    place.shelf.left = "The renewed token of the sign-in before could not be deleted: Redis does not answer."
    ann = place.browser()

    ann.come_back(ann.leave("sales"))

    assert "Connected to https://contoso.crm4.dynamics.com" in (text := ann.get("").text)
    assert "Redis does not answer." in text
    assert '<p class="notice warning"' in text


def test_where_testing_is_switched_off_a_sign_in_is_kept_untested(place: Place):
    place.no_test = "Testing connections is switched off."
    ann = place.browser()

    ann.come_back(ann.leave("new"))

    assert (len(place.shelf.kept), place.tested) == (1, [])


class TestRefusedAnswers:
    def test_an_answer_is_taken_once(self, place: Place):
        ann = place.browser()
        asked = ann.leave("new")
        ann.come_back(asked)
        place.service.redeemed.clear()  # a service that would take the code again

        again = ann.come_back(asked)

        assert again.status_code == 400
        assert "was used before" in alert(again)
        assert len(place.shelf.kept) == 1

    def test_a_state_that_this_page_did_not_make_is_refused(self, place: Place):
        ann = place.browser()
        asked = ann.leave("new")

        answer = ann.come_back({"state": asked["state"][:-10]})

        assert (answer.status_code, place.shelf.kept) == (400, [])
        assert "does not belong to a sign-in begun here" in alert(answer)
        assert ann.come_back(asked).status_code == 303, "a foreign answer does not end the real sign-in"

    def test_a_form_token_is_no_state(self, place: Place):
        ann = place.browser()
        ann.leave("new")

        assert ann.come_back({"state": ann.token()}).status_code == 400

    def test_somebody_elses_state_is_refused(self, place: Place):
        ann, bob = place.browser("ann"), place.browser("bob")

        answer = bob.come_back(ann.leave("new"))

        assert (answer.status_code, place.shelf.kept) == (400, [])
        assert "begun by somebody else" in alert(answer)

    def test_a_state_without_the_browser_that_began_is_refused(self, place: Place):
        asked = place.browser().leave("new")

        answer = place.browser().come_back(asked)

        assert (answer.status_code, place.shelf.kept) == (400, [])
        assert "another browser" in alert(answer)

    def test_of_two_sign_ins_in_one_browser_the_later_counts(self, place: Place):
        ann = place.browser()
        first, second = ann.leave("new"), ann.leave("sales")

        answer = ann.come_back(first)

        assert "Another sign-in was begun in this browser" in alert(answer)
        assert ann.come_back(second).status_code == 303
        assert [kept[0] for kept in place.shelf.kept] == ["sales"]

    def test_ten_minutes_are_the_limit(self, place: Place):
        ann = place.browser()
        asked = ann.leave("new")
        place.now += 601

        answer = ann.come_back(asked)

        assert "more than 10 minutes ago" in alert(answer)
        assert place.shelf.kept == []

    def test_who_lost_the_permission_meanwhile_is_refused(self, place: Place):
        ann = place.browser()
        asked = ann.leave("new")
        place.people.editors.clear()
        place.people.lookers.add("ann")

        answer = ann.come_back(asked)

        assert (answer.status_code, place.shelf.kept) == (403, [])

    def test_a_declined_consent_is_told_and_may_be_tried_again(self, place: Place):
        ann = place.browser()

        answer = ann.come_back(ann.leave("new"), error="access_denied", error_description="<b>no</b>")

        assert answer.status_code == 502
        assert alert(answer) == "The person declined. What to do: sign in again and accept."
        assert 'href="/dynamics/"' in answer.text

    def test_a_refused_code_is_told_without_the_code(self, place: Place):
        place.service.redeemed.add(CODE)
        ann = place.browser()

        answer = ann.come_back(ann.leave("new"))

        assert "AADSTS54005" in alert(answer)
        assert CODE not in answer.text

    def test_whose_airflow_session_ended_is_not_sent_anywhere_with_the_code(self, place: Place):
        ann = place.browser()
        asked = ann.leave("new")
        ann.cookies.delete("_token")

        answer = ann.come_back(asked)

        assert answer.status_code == 401
        assert "location" not in answer.headers
        assert CODE not in answer.text
        assert "next=https%3A%2F%2Fairflow.test%2Fdynamics%2F" in answer.text

    @pytest.mark.parametrize(
        "changed",
        [
            pytest.param({"login": "00000000-0000-0000-0000-00000000c12e"}, id="another app"),
            pytest.param({"host": "https://other.crm4.dynamics.com"}, id="another environment"),
        ],
    )
    def test_a_connection_that_was_changed_meanwhile_gets_no_sign_in(self, place: Place, changed):
        ann = place.browser()
        asked = ann.leave("new")
        place.shelf.rows["new"].fields.update(changed)  # type: ignore[attr-defined]  # a dict here

        answer = ann.come_back(asked)

        assert (answer.status_code, place.shelf.kept, place.service.redeemed) == (400, [], set())
        assert "was changed while you were signing in" in alert(answer)

    def test_whatever_goes_wrong_the_cookie_is_used_up_and_nothing_of_it_is_shown(self, place: Place, caplog):
        def fails(*_args, **_options):
            raise RuntimeError(f"with {CODE}")

        place.shelf.keep_sign_in = fails  # type: ignore[method-assign]
        ann = place.browser()
        asked = ann.leave("new")

        answer = ann.come_back(asked)

        assert answer.status_code == 500
        assert "was used before" in alert(ann.come_back(asked))
        assert CODE not in answer.text + caplog.text
        assert "RuntimeError" in caplog.text

    def test_asking_for_the_headers_alone_does_nothing(self, place: Place):
        ann = place.browser()
        asked = ann.leave("new")

        answer = ann.ask("HEAD", f"callback?state={asked['state']}&code={CODE}")

        assert (answer.status_code, place.shelf.kept) == (405, [])
        assert ann.come_back(asked).status_code == 303

    def test_a_code_is_not_sent_on_to_another_address(self, place: Place):
        ann = place.browser()

        answer = ann.ask("GET", f"callback/?state=x&code={CODE}")

        assert (answer.status_code, "location" in answer.headers) == (404, False)

    def test_nobody_is_sent_to_an_address_that_is_not_https(self, place: Place):
        place.service.page = "javascript:alert(1)//"

        answer = place.browser().press("sign-in", "new")

        assert answer.status_code == 400
        assert "no https address" in alert(answer)

    def test_the_page_names_the_host_that_the_browser_is_sent_to(self, place: Place):
        place.service.page = "https://elsewhere.example/authorize"

        assert "<strong>elsewhere.example</strong>" in place.browser().press("sign-in", "new").text


class TestRefusedForms:
    @pytest.mark.parametrize(
        ("kind", "body"),
        [
            pytest.param("multipart/form-data; boundary=x", b"--x\r\nbroken", id="not as a form is sent"),
            pytest.param("application/json", b"{}", id="as JSON"),
            pytest.param("application/x-www-form-urlencoded", b"csrf=" + b"x" * 9_000, id="too long"),
            pytest.param("application/x-www-form-urlencoded", b"a=1&" * 50, id="with too many fields"),
        ],
    )
    def test_what_is_no_form_of_this_page_is_refused(self, place: Place, kind: str, body: bytes):
        answer = place.browser().ask("POST", "test", content=body, headers={"Content-Type": kind})

        assert answer.status_code == 400
        assert "Go back to the list" in alert(answer)

    @pytest.mark.parametrize(
        "conn_id", [pytest.param("a\0b", id="with a zero byte"), pytest.param("x" * 251, id="too long")]
    )
    def test_what_can_be_no_id_is_not_repeated(self, place: Place, conn_id: str):
        place.people.connections.add(conn_id)

        answer = place.browser().get("sign-out", connection=conn_id)

        assert answer.status_code == 403
        assert "no connection &#39;&#39; that you may change" in alert(answer)

    @pytest.mark.parametrize("path", ["sign-in", "test", "sign-out"])
    @pytest.mark.parametrize(
        "token",
        [
            pytest.param(lambda _: "", id="without a token"),
            pytest.param(lambda _: "forged", id="with a forged token"),
            pytest.param(lambda place: place.browser("bob").token(), id="with somebody else's token"),
        ],
    )
    def test_a_form_that_this_page_did_not_make_does_nothing(self, place: Place, path, token):
        answer = place.browser().post(path, csrf=token(place), connection="sales")

        assert answer.status_code == 400
        assert "The form was not made by this page for you" in alert(answer)
        assert (place.service.started, place.tested, place.shelf.forgotten) == ([], [], [])

    def test_a_page_that_stayed_open_overnight_is_to_be_opened_again(self, place: Place):
        ann = place.browser()
        token = ann.token()
        place.now += 12 * 3600 + 1

        assert ann.post("test", csrf=token, connection="sales").status_code == 400

    @pytest.mark.parametrize("path", ["sign-in", "test", "sign-out"])
    def test_who_may_only_look_may_press_nothing(self, place: Place, path):
        place.shelf.rows["sales"] = connection("sales", refresh_token="x")
        vera = place.browser("vera")
        token = place.outside().seal.form_token("id-of-vera")

        answer = vera.post(path, csrf=token, connection="sales")

        assert answer.status_code == 403
        assert "There is no connection &#39;sales&#39; that you may change" in alert(answer)

    @pytest.mark.parametrize("path", ["sign-in", "test", "sign-out"])
    def test_nothing_is_done_by_following_a_link(self, place: Place, path):
        answer = place.browser().get(path, connection="sales")

        assert answer.status_code == (200 if path == "sign-out" else 405)
        assert (place.service.started, place.tested, place.shelf.forgotten) == ([], [], [])

    def test_a_connection_out_of_sight_is_not_told_from_one_that_is_not_there(self, place: Place):
        place.people.hidden = {"new"}
        ann = place.browser()

        hidden, absent = (ann.press("sign-in", conn_id) for conn_id in ("new", "none"))

        assert (hidden.status_code, absent.status_code) == (403, 403)
        assert alert(hidden).replace("new", "none") == alert(absent)


class TestRefusedConnections:
    def test_an_app_has_nobody_to_sign_in(self, place: Place):
        answer = place.browser().press("sign-in", "app")

        assert answer.status_code == 400
        assert "there is nobody to sign in" in alert(answer)
        assert "Signed-in user" in alert(answer)

    def test_a_password_connection_is_told_how_to_sign_in_with_a_browser(self):
        place = Place(
            Shelf(connection("pw", auth_type="username_password", username="a@b.c", user_password="x" * 9))
        )
        token = place.outside().seal.form_token("id-of-ann")

        answer = place.browser().post("sign-in", csrf=token, connection="pw")

        assert "set its Auth type to Signed-in user" in alert(answer)

    def test_settings_that_are_not_valid_are_told_by_their_label(self, place: Place):
        answer = place.browser().press("sign-in", "wrong")

        assert answer.status_code == 409
        assert "Auth type &#39;client_secrets&#39; is not known" in alert(answer)

    def test_a_client_id_has_to_be_there(self, place: Place):
        place.shelf.rows["new"].fields["login"] = None  # type: ignore[index]  # a dict here

        assert "Client ID is missing" in alert(place.browser().press("sign-in", "new"))

    def test_a_connection_that_cannot_be_written_is_refused_before_anybody_signs_in(self, place: Place):
        place.shelf.refused["new"] = "Connection 'new' lives in an environment variable."

        answer = place.browser().press("sign-in", "new")

        assert (answer.status_code, place.service.started) == (409, [])
        assert "lives in an environment variable" in alert(answer)

    def test_a_service_that_does_not_answer_is_told(self, place: Place):
        place.service.down = True

        assert "does not answer" in alert(place.browser().press("sign-in", "new"))


class TestSigningOut:
    def test_it_is_asked_for_first(self, place: Place):
        answer = place.browser().get("sign-out", connection="sales")

        assert "Sign out of sales?" in answer.text
        assert "ann@contoso.com" in answer.text
        assert place.shelf.forgotten == []

    def test_the_sign_in_is_forgotten(self, place: Place):
        ann = place.browser()

        answer = ann.press("sign-out", "sales")

        assert (answer.status_code, place.shelf.forgotten) == (303, ["sales"])
        assert "Signed out: the refresh token" in ann.get("").text

    def test_a_copy_that_stays_for_another_connection_is_told_and_only_who_may_see_that_one_is_told_its_id(
        self, place: Place
    ):
        place.shelf.sharing, place.people.hidden = ["app", "wrong"], {"wrong"}
        ann = place.browser()

        ann.press("sign-out", "sales")

        text = ann.get("").text
        assert "because &#39;app&#39; signs in as the same person" in text
        assert "wrong" not in text

    def test_nobody_is_told_of_a_connection_out_of_sight(self, place: Place):
        place.shelf.sharing, place.people.hidden = ["app"], {"app"}
        ann = place.browser()

        ann.press("sign-out", "sales")

        assert "because another connection signs in as the same person" in ann.get("").text


class TestTesting:
    def test_what_came_of_it_is_told_to_nobody_else_in_the_same_browser(self, place: Place):
        browser = place.browser("ann")
        browser.press("test", "app")
        browser.cookies.set("_token", "bob", domain="airflow.test", path="/")

        assert "Connected to" not in browser.get("").text

    @pytest.mark.parametrize(
        ("outcome", "kind"),
        [
            pytest.param((True, "Connected to it."), "ok", id="worked"),
            pytest.param((False, "AADSTS7000215 Wrong <secret>."), "error", id="failed"),
        ],
    )
    def test_it_says_what_airflows_own_button_says(self, place: Place, outcome, kind):
        place.outcome = outcome
        ann = place.browser()

        ann.press("test", "app")

        shown = outcome[1].replace("<", "&lt;").replace(">", "&gt;")
        assert place.tested == ["app"]
        assert f'<p class="notice {kind}"' in (text := ann.get("").text)
        assert shown in text

    def test_it_is_refused_where_airflow_does_not_test(self, place: Place):
        place.no_test = "Testing connections is switched off."

        answer = place.browser().press("test", "app")

        assert (answer.status_code, place.tested) == (403, [])

    def test_a_sentence_as_long_as_they_get_fits_into_the_cookie(self, place: Place):
        place.outcome = (False, "".join(chr(0x20AC + n % 700) for n in range(2000)))
        ann = place.browser()

        answer = ann.press("test", "app")

        assert len(answer.headers["set-cookie"]) < 4096
