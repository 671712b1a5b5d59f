"""What the list shows, to whom, and the headers everything goes out with."""

from __future__ import annotations

import re

import pytest

from airflow_provider_dynamics.auth.store import Failure, Record, StoreError, fingerprint
from tests.sign_in.outside import NOW, Place, Shelf, connection

SECRETS = ("client-secret-that", "seed-that", "refresh-token-that", "access-token-that", "verifier-that")


def card_of(place: Place, conn_id: str, person: str = "ann") -> str:
    """Return the HTML of one connection."""
    html = place.browser(person).get("").text
    start = html.index(f"<h2>{conn_id}</h2>")
    return html[start : html.index("</li>", start)]


def remember(place: Place, conn_id: str, **values) -> None:
    settings = place.shelf.rows[conn_id].settings()
    seed = fingerprint(settings.refresh_token or "", *settings.credential().identity)
    failure = values.pop("failure", None)
    if failure == "dead":
        failure = Failure(text="AADSTS700082 It has expired. What to do: sign in again.", at=NOW, dead=seed)
    place.records[settings.store_key] = Record(1, "rotated", seed, failure=failure, **values)


def test_every_connection_that_may_be_seen_is_listed_once(place: Place):
    place.people.hidden = {"app"}

    html = place.browser().get("").text

    assert [html.count(f"<h2>{conn_id}</h2>") for conn_id in ("sales", "new", "app", "wrong")] == [1, 1, 0, 1]


def test_a_sign_in_is_shown_with_its_user_its_age_and_what_is_left(place: Place):
    remember(place, "sales", user="ann@contoso.com", rotated_at=NOW - 5 * 86_400)

    card = card_of(place, "sales")

    for words in ("Signed in", "ann@contoso.com", "5 days ago", "in 85 days", "Sign in again", "Sign out"):
        assert words in card


def test_a_dead_sign_in_is_shown_with_its_remedy(place: Place):
    remember(place, "sales", user="ann@contoso.com", rotated_at=NOW - 91 * 86_400, failure="dead")

    card = card_of(place, "sales")

    for words in (
        "Sign-in needed",
        "AADSTS700082 It has expired. What to do: sign in again.",
        "24 hours ago",
    ):
        assert words in card


def test_an_end_that_is_near_is_a_warning(place: Place):
    remember(place, "sales", rotated_at=NOW - 80 * 86_400)

    assert "Ends soon" in card_of(place, "sales")


def test_nobody_is_signed_in_yet(place: Place):
    card = card_of(place, "new")

    assert "Nobody is signed in" in card
    assert "Sign out" not in card


def test_an_app_has_no_button_to_sign_in(place: Place):
    card = card_of(place, "app")

    assert "Client secret (application user)" in card
    assert "sign-in" not in card


def test_settings_that_are_not_valid_hide_nothing_else(place: Place):
    assert "Auth type &#39;client_secrets&#39; is not known" in card_of(place, "wrong")
    assert "Signed in" in card_of(place, "sales")


def test_what_a_wrong_field_holds_is_for_those_who_may_change_it(place: Place):
    card = card_of(place, "wrong", "vera")

    assert "Whoever may change the connection is told here" in card
    assert "client_secrets" not in card


def test_a_token_that_was_pasted_with_a_mistake_can_be_replaced_by_signing_in(place: Place):
    place.shelf.rows["sales"] = connection("sales", refresh_token="in two\nlines")

    card = card_of(place, "sales")

    assert "Refresh token has a line break" in card
    assert "Sign in again" in card
    assert place.browser().press("sign-in", "sales").status_code == 200


def test_a_store_that_does_not_answer_hides_nothing_else(place: Place):
    class Away(dict[str, Record]):
        def get(self, key, default=None):
            raise StoreError("Redis does not answer.")

    place.records = Away()

    assert "What became of earlier sign-ins is unknown: Redis does not answer." in card_of(place, "sales")


def test_what_nobody_foresaw_hides_nothing_else_and_says_no_secret(place: Place):
    class Broken(dict[str, Record]):
        def get(self, key, default=None):
            raise RuntimeError("with client-secret-that-nobody-may-see")

    place.records = Broken()
    html = place.browser().get("").text

    assert "could not be worked out (RuntimeError)" in html
    assert "client-secret-that" not in html


def test_who_may_only_look_sees_why_the_buttons_are_off(place: Place):
    card = card_of(place, "sales", "vera")

    assert card.count("disabled") == 4
    assert "You may see this connection, but not change it." in card
    assert "<form" not in card


@pytest.mark.parametrize("person", ["ann", "vera"])
def test_each_button_says_whose_it_is_and_why_it_is_off_is_there_to_be_read(place: Place, person: str):
    html = place.browser(person).get("").text

    buttons = re.findall(r"<(button|a class=\"button)[^>]*>(.*?)</(?:button|a)>", html)
    assert buttons
    assert [words for _, words in buttons if not words.endswith("</span>")] == []
    explained = re.findall(r'aria-describedby="([^"]+)"', html)
    assert explained
    assert [one for one in explained if html.count(f'id="{one}"') != 1] == []


def test_testing_that_airflow_does_not_allow_is_off_with_its_reason(place: Place):
    place.no_test = "Testing connections is switched off."

    assert "Testing connections is switched off." in card_of(place, "app")


def test_who_may_not_see_connections_is_refused(place: Place):
    answer = place.browser("otto").get("")

    assert answer.status_code == 403
    assert "You may not see connections" in answer.text
    assert "Back to the list" not in answer.text
    assert "sales" not in answer.text


def test_who_is_not_logged_in_is_sent_to_the_login_and_back(place: Place):
    answer = place.browser("").get("")

    assert answer.status_code == 303
    assert answer.headers["location"] == "/api/v2/auth/login?next=https%3A%2F%2Fairflow.test%2Fdynamics%2F"


def test_without_connections_it_says_how_to_add_one():
    html = Place(Shelf()).browser().get("").text

    assert "No connection of this type yet" in html
    assert '<a href="/connections">' in html


def test_the_address_to_register_is_shown(place: Place):
    assert "https://airflow.test/dynamics/callback" in place.browser().get("").text


@pytest.mark.parametrize(
    ("base_url", "told"),
    [
        pytest.param("http://airflow.test", True, id="plain http elsewhere"),
        pytest.param("http://localhost:8080", False, id="plain http on this machine"),
        pytest.param("https://airflow.test", False, id="https"),
    ],
)
def test_an_address_that_no_service_comes_back_to_is_told(place: Place, base_url: str, told: bool):
    browser = place.browser()
    place.base_url = base_url

    assert ("https addresses only" in browser.get("").text) is told


def test_without_a_base_url_the_browsers_own_address_counts(place: Place):
    browser = place.browser()
    place.base_url = ""

    assert "https://airflow.test/dynamics/callback" in browser.get("").text


def test_what_people_typed_is_text_and_never_markup():
    name = "<script>alert(1)</script>"
    place = Place(Shelf(connection("sales", refresh_token="x", username=name)))

    html = place.browser().get("").text + place.browser().get("sign-out", connection="sales").text

    assert name not in html
    assert "&lt;script&gt;alert(1)" in html


def test_no_secret_is_on_any_page(place: Place):
    ann = place.browser()
    texts = [ann.get("").text, ann.get("sign-out", connection="sales").text]
    texts += [ann.press(path, "sales").text for path in ("sign-in", "test")]

    assert [secret for secret in SECRETS for text in texts if secret in text] == []


def test_every_page_is_private_unframed_and_runs_no_foreign_script(place: Place):
    ann = place.browser()
    answers = [
        ann.get(""),
        ann.get("callback", state="x"),
        ann.press("sign-in", "new"),
        ann.press("test", "app"),
        ann.get("sign-out", connection="sales"),
        place.browser("otto").get(""),
        place.browser("").get(""),
    ]

    for answer in answers:
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-frame-options"] == "DENY"
        assert "unsafe" not in policy
        assert "style=" not in answer.text
        assert "<script>" not in answer.text


@pytest.mark.parametrize(
    ("name", "status"),
    [
        pytest.param("style.css", 200, id="style"),
        pytest.param("theme.js", 200, id="script"),
        pytest.param("list.html", 404, id="a template is none"),
        pytest.param("..%2fapp.py", 404, id="nor is code"),
    ],
)
def test_style_and_script_are_served_and_nothing_else(place: Place, name: str, status: int):
    assert place.browser("").get(f"static/{name}").status_code == status
