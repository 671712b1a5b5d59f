"""The port that waits for the browser, visited the way browsers and others do."""

from __future__ import annotations

import socket
import threading

import pytest
import requests

from airflow_provider_dynamics.commands.loopback import Loopback


@pytest.fixture
def loopback():
    with Loopback() as waiting:
        yield waiting


@pytest.fixture
def visit(loopback):
    """Visit the redirect URI: `visit(code=…, state=…)`."""

    def go(path="/", **query):
        with requests.Session() as session:
            session.trust_env = False
            return session.get(f"http://127.0.0.1:{loopback.port}{path}", params=query, timeout=10)

    return go


@pytest.fixture
def waiting(loopback):
    """Wait for the sign-in whose state is `s-1`, in a thread; the answers it got are in the list."""
    answers: list[dict[str, str]] = []
    thread = threading.Thread(target=lambda: answers.append(dict(loopback.wait(20))), daemon=True)
    loopback.expect("s-1")
    thread.start()

    def came():
        thread.join(20)
        return answers

    return came


def test_the_redirect_uri_is_this_machine(loopback):
    assert loopback.redirect_uri == f"http://localhost:{loopback.port}"


def test_the_answer_with_the_right_state_is_passed_on(visit, waiting):
    page = visit(code="abc", state="s-1", session_state="x")
    assert page.status_code == 200
    assert waiting() == [{"code": "abc", "state": "s-1", "session_state": "x"}]


def test_a_refusal_of_the_service_is_passed_on_too(visit, waiting):
    page = visit(error="access_denied", error_description="no", state="s-1")
    assert "was not completed" in page.text
    assert waiting()[0]["error"] == "access_denied"


def test_the_page_repeats_nothing_and_loads_nothing(visit, waiting):
    page = visit(code="abc", state="s-1", note="<script>")
    assert "abc" not in page.text
    assert "<script>" not in page.text
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert waiting()


@pytest.mark.parametrize(
    "query",
    [
        pytest.param({"code": "evil", "state": "other"}, id="another sign-in's state"),
        pytest.param({"code": "evil"}, id="no state"),
        pytest.param({"state": "s-1"}, id="neither code nor error"),
        pytest.param({"code": "evil", "state": "ü"}, id="a state beyond ASCII"),
    ],
)
def test_a_stranger_is_refused_and_changes_nothing(visit, waiting, query):
    assert visit(**query).status_code == 400
    assert visit(code="abc", state="s-1").status_code == 200
    assert waiting() == [{"code": "abc", "state": "s-1"}]


def test_an_answer_that_comes_before_anybody_waits_is_kept(loopback, visit):
    loopback.expect("s-1")
    visit(code="abc", state="s-1")
    assert loopback.wait(0.01)["code"] == "abc"


def test_nothing_counts_before_the_sign_in_has_begun(loopback, visit):
    assert visit(code="abc", state="").status_code == 400
    with pytest.raises(TimeoutError):
        loopback.wait(0.01)


def test_other_paths_do_not_exist(visit, waiting):
    assert visit("/favicon.ico", code="abc", state="s-1").status_code == 404
    visit(code="abc", state="s-1")
    assert len(waiting()) == 1


def test_a_connection_that_says_nothing_holds_nobody_up(loopback, visit, waiting):
    with socket.create_connection(("127.0.0.1", loopback.port)):
        assert visit(code="abc", state="s-1").status_code == 200
    assert waiting()


def test_nobody_comes():
    with Loopback() as loopback, pytest.raises(TimeoutError):
        loopback.wait(0.01)


def test_a_taken_port_is_an_error():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        Loopback(taken.getsockname()[1])


def test_a_port_whose_other_half_is_taken_is_not_used():
    with (
        socket.create_server(("::1", 0), family=socket.AF_INET6) as taken,
        pytest.raises(OSError, match="in use"),
    ):
        Loopback(taken.getsockname()[1])


def test_the_port_is_free_again_afterwards():
    with Loopback() as first:
        port = first.port
    with Loopback(port) as second:
        assert second.port == port
