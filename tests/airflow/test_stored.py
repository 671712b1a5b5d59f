"""Connections in Airflow's real database: what is read, what is kept encrypted, and what is refused."""

from __future__ import annotations

import json

import pytest

from airflow_provider_dynamics.connection import SettingsError
from airflow_provider_dynamics.stored import (
    NotStored,
    check_writable,
    choose_environment,
    forget_sign_in,
    keep_sign_in,
    record_event,
    stored_connection,
    stored_connections,
)

FIELDS = {"tenant_id": "contoso.onmicrosoft.com", "auth_type": "refresh_token"}


@pytest.fixture
def add(airflow_db, monkeypatch):  # noqa: ARG001 - it only has to be there
    """Put connections into the database: ``add(conn_id, **extra)``; they are gone after the test."""
    from airflow.models.connection import Connection
    from airflow.models.crypto import get_fernet
    from airflow.utils.session import create_session
    from cryptography.fernet import Fernet

    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", Fernet.generate_key().decode())
    get_fernet.cache_clear()
    with create_session(scoped=False) as session:
        session.query(Connection).delete()  # what tests of other files have left
    added: list[str] = []

    def put(
        conn_id: str, conn_type: str = "dynamics", host="https://contoso.crm4.dynamics.com", **extra
    ) -> str:
        added.append(conn_id)
        with create_session(scoped=False) as session:
            session.add(
                Connection(
                    conn_id=conn_id,
                    conn_type=conn_type,
                    host=host,
                    login="client",
                    extra=json.dumps({**FIELDS, **extra}),
                )
            )
        return conn_id

    yield put
    with create_session(scoped=False) as session:
        for row in session.query(Connection).filter(Connection.conn_id.in_(added)):
            session.delete(row)
    get_fernet.cache_clear()


def in_the_database(conn_id: str) -> str:
    """Return a connection's extra as the database's file holds it."""
    from airflow.utils.session import create_session
    from sqlalchemy import text

    with create_session(scoped=False) as session:
        query = text("select extra from connection where conn_id = :id")
        return str(session.execute(query, {"id": conn_id}).scalar())


def test_a_sign_in_is_kept_encrypted_and_nothing_else_changes(add):
    add("sales", webhook_secret="kept as it was", auth_type="username_password")

    keep_sign_in("sales", refresh_token="0.the-token", user="ann@contoso.com", tenant_id="other")

    assert dict(stored_connection("sales").extra) == {
        "tenant_id": "contoso.onmicrosoft.com",
        "webhook_secret": "kept as it was",
        "auth_type": "refresh_token",
        "refresh_token": "0.the-token",
        "username": "ann@contoso.com",
    }
    assert in_the_database("sales").startswith("gAAAA")


def test_a_tenant_that_nobody_entered_is_kept_too(add):
    add("sales", tenant_id=None)

    keep_sign_in("sales", refresh_token="0.the-token", user="", tenant_id="found")

    assert stored_connection("sales").extra["tenant_id"] == "found"
    assert "username" not in stored_connection("sales").extra


def test_forgetting_takes_the_token_and_its_renewed_copies(add):
    from airflow_provider_dynamics.auth.store import Record
    from airflow_provider_dynamics.state import credential_store

    add("sales", refresh_token="0.the-token", username="ann@contoso.com")
    key = stored_connection("sales").settings(signing_in=True).store_key
    credential_store().save(key, Record(1, "renewed"), expected=0)

    forget_sign_in("sales")

    assert not stored_connection("sales").extra.get("refresh_token")
    assert credential_store().load(key) is None


def renewed(conn_id: str) -> str:
    """Keep a renewed token of a connection in the credential store; return its key."""
    from airflow_provider_dynamics.auth.store import Record
    from airflow_provider_dynamics.state import credential_store

    key = stored_connection(conn_id).settings(signing_in=True).store_key
    credential_store().save(key, Record(1, "renewed"), expected=0)
    return key


def is_kept(key: str) -> bool:
    from airflow_provider_dynamics.state import credential_store

    return credential_store().load(key) is not None


class TestWhatIsLeftOfAFormerSignIn:
    @pytest.mark.parametrize(
        ("before", "now"),
        [
            pytest.param({"username": "ann@contoso.com"}, {"user": "bob@contoso.com"}, id="another person"),
            pytest.param(
                {"tenant_id": None}, {"user": "", "tenant_id": "found"}, id="a tenant that was found"
            ),
        ],
    )
    def test_its_renewed_token_is_deleted(self, add, before, now):
        key = renewed(add("sales", refresh_token="0.seed", **before))

        left = keep_sign_in("sales", refresh_token="0.the-token", **now)

        assert (left, is_kept(key)) == ("", False)

    def test_it_is_the_same_persons_who_has_signed_in_again(self, add):
        key = renewed(add("sales", refresh_token="0.seed", username="ann@contoso.com"))

        keep_sign_in("sales", refresh_token="0.the-token", user="Ann@contoso.com")

        assert is_kept(key)

    def test_it_stays_while_another_connection_uses_it(self, add):
        key = renewed(add("sales", refresh_token="0.seed", username="ann@contoso.com"))
        add("reports", refresh_token="0.other-seed", username="ann@contoso.com")

        keep_sign_in("sales", refresh_token="0.the-token", user="bob@contoso.com")

        assert is_kept(key)

    def test_a_store_that_does_not_answer_is_told_and_the_sign_in_is_kept(self, add, monkeypatch):
        add("sales", refresh_token="0.seed", username="ann@contoso.com")
        monkeypatch.setenv("AIRFLOW__DYNAMICS__CREDENTIAL_STORE", "nowhere")

        left = keep_sign_in("sales", refresh_token="0.the-token", user="bob@contoso.com")

        assert left.startswith("The renewed token of the sign-in before could not be deleted: [dynamics]")
        assert stored_connection("sales").extra["refresh_token"] == "0.the-token"


class TestForgettingWhatIsShared:
    def test_a_renewed_token_stays_while_another_connection_uses_it(self, add):
        key = renewed(add("sales", refresh_token="0.seed", username="ann@contoso.com"))
        add("reports", refresh_token="0.other-seed", username="ANN@contoso.com")

        assert forget_sign_in("sales") == ["reports"]

        assert is_kept(key)
        assert not stored_connection("sales").extra["refresh_token"]
        assert forget_sign_in("reports") == []
        assert not is_kept(key)

    @pytest.mark.parametrize(
        "other",
        [
            pytest.param({"username": "ann@contoso.com"}, id="nobody is signed in to"),
            pytest.param(
                {"username": "bob@contoso.com", "refresh_token": "0.x"}, id="somebody else is signed in to"
            ),
            pytest.param({"tenant_id": 7.5, "refresh_token": {}}, id="is not valid"),
        ],
    )
    def test_a_connection_keeps_no_others_token_that(self, add, other):
        key = renewed(add("sales", refresh_token="0.seed", username="ann@contoso.com"))
        add("reports", **other)

        assert (forget_sign_in("sales"), is_kept(key)) == ([], False)

    def test_nobody_renews_it_meanwhile(self, add, monkeypatch, tmp_path):
        monkeypatch.setenv("AIRFLOW__DYNAMICS__CREDENTIAL_STORE", f"file://{tmp_path}/store")
        key = renewed(add("sales", refresh_token="0.seed", username="ann@contoso.com"))
        from airflow_provider_dynamics.auth.store import StoreError
        from airflow_provider_dynamics.state import credential_store

        with credential_store().lock(key, 1.0), pytest.raises(StoreError, match="signing in with the same"):
            forget_sign_in("sales", patience=0.0)

        assert is_kept(key)
        assert stored_connection("sales").extra["refresh_token"] == "0.seed"


class TestChoosingAnEnvironment:
    OTHER = "https://fabrikam.crm4.dynamics.com"

    def test_it_becomes_the_connections_and_nothing_else_changes(self, add):
        add("sales", refresh_token="0.seed", webhook_secret="kept as it was")

        choose_environment("sales", self.OTHER)

        after = stored_connection("sales")
        assert after.settings().environment == self.OTHER
        assert after.extra == {**FIELDS, "refresh_token": "0.seed", "webhook_secret": "kept as it was"}
        assert in_the_database("sales").startswith("gAAAA")

    def test_a_port_and_a_path_of_the_former_one_do_not_stay(self, add):
        from airflow.models.connection import Connection
        from airflow.utils.session import create_session

        add("sales", refresh_token="0.seed")
        with create_session(scoped=False) as session:
            row = session.query(Connection).filter_by(conn_id="sales").one()
            row.host, row.port, row.schema = "contoso.crm4.dynamics.com", 443, "https"

        choose_environment("sales", self.OTHER)

        fields = stored_connection("sales").fields
        assert (fields["host"], fields["port"], fields["schema"]) == (self.OTHER, None, None)

    @pytest.mark.parametrize("host", ["https://contoso.crm4.dynamics.com", None], ids=["another", "none"])
    def test_the_renewed_token_moves_with_it(self, add, host):
        """It is kept under a name with the environment in it, and the connection's own may have been used up."""
        from airflow_provider_dynamics.auth.store import Record, fingerprint
        from airflow_provider_dynamics.state import credential_store

        add("sales", host=host, refresh_token="0.seed", username="ann@contoso.com")
        settings = stored_connection("sales").settings(choosing=True)
        seed = fingerprint("0.seed", *settings.credential().identity)
        credential_store().save(settings.store_key, Record(1, "0.renewed", seed), expected=0)

        choose_environment("sales", self.OTHER)

        assert stored_connection("sales").extra["refresh_token"] == "0.renewed"
        assert not is_kept(settings.store_key)

    def test_a_former_sign_ins_renewed_token_does_not(self, add):
        key = renewed(add("sales", refresh_token="0.seed", username="ann@contoso.com"))

        choose_environment("sales", self.OTHER)

        assert (stored_connection("sales").extra["refresh_token"], is_kept(key)) == ("0.seed", False)

    def test_it_stays_for_another_connection_that_uses_it(self, add):
        key = renewed(add("sales", refresh_token="0.seed", username="ann@contoso.com"))
        add("reports", refresh_token="0.seed", username="ann@contoso.com")

        choose_environment("sales", self.OTHER)

        assert is_kept(key)

    def test_while_a_task_renews_it_nothing_changes(self, add, monkeypatch, tmp_path):
        from airflow_provider_dynamics.auth.store import StoreError
        from airflow_provider_dynamics.state import credential_store

        monkeypatch.setenv("AIRFLOW__DYNAMICS__CREDENTIAL_STORE", f"file://{tmp_path}/store")
        key = renewed(add("sales", refresh_token="0.seed", username="ann@contoso.com"))

        with credential_store().lock(key, 1.0), pytest.raises(StoreError, match="signing in with the same"):
            choose_environment("sales", self.OTHER, patience=0.0)

        assert stored_connection("sales").settings().environment == "https://contoso.crm4.dynamics.com"
        assert is_kept(key)


def test_what_is_read_is_masked_in_the_servers_log(add):
    from airflow._shared.secrets_masker import redact

    add("sales", refresh_token="0.a-token-only-of-this-test")
    assert "only-of-this-test" in str(redact("with 0.a-token-only-of-this-test"))

    stored_connection("sales")

    assert "only-of-this-test" not in str(redact("with 0.a-token-only-of-this-test"))


@pytest.mark.parametrize("extra", [pytest.param("[1]", id="a list"), pytest.param("{", id="no JSON")])
def test_an_extra_that_is_no_object_is_told_wherever_it_is_met(add, extra: str):
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session

    add("sales")
    with create_session(scoped=False) as session:
        session.query(Connection).filter(Connection.conn_id == "sales").one()._extra = extra
        session.query(Connection).filter(Connection.conn_id == "sales").one().is_extra_encrypted = False

    (listed,) = stored_connections()

    assert "its extra is not JSON" in listed.trouble
    with pytest.raises(NotStored, match="its extra is not JSON"):
        keep_sign_in("sales", refresh_token="0.the-token", user="")
    with pytest.raises(NotStored, match="its extra is not JSON"):
        forget_sign_in("sales")


def test_a_teams_own_environment_variable_shadows_its_connection(add, monkeypatch):
    from airflow.models.connection import Connection
    from airflow.models.team import Team
    from airflow.utils.session import create_session

    add("sales")
    monkeypatch.setenv("AIRFLOW__CORE__MULTI_TEAM", "True")
    with create_session(scoped=False) as session:
        session.add(Team(name="north"))
        session.flush()
        session.query(Connection).filter(Connection.conn_id == "sales").one().team_name = "north"
    try:
        check_writable("sales")
        monkeypatch.setenv("AIRFLOW_CONN__NORTH___SALES", '{"conn_type": "dynamics"}')
        with pytest.raises(NotStored, match="'sales' lives in an environment variable"):
            check_writable("sales")
    finally:
        with create_session(scoped=False) as session:
            session.query(Connection).delete()
            session.query(Team).delete()


def test_the_audit_log_tells_who_did_what(add):
    from airflow.models.log import Log
    from airflow.utils.session import create_session

    record_event("dynamics_sign_in", "ann", add("sales"), user="ann@contoso.com")

    with create_session(scoped=False) as session:
        (entry,) = session.query(Log).filter(Log.event == "dynamics_sign_in")
        assert (entry.owner, json.loads(entry.extra or "")) == (
            "ann",
            {"connection_id": "sales", "user": "ann@contoso.com"},
        )


def test_only_connections_of_our_type_are_listed(add):
    add("b"), add("a"), add("db", "postgres")

    assert [one.conn_id for one in stored_connections()] == ["a", "b"]


def test_secrets_are_not_in_its_repr(add):
    add("sales", refresh_token="0.the-token")

    assert "0.the-token" not in repr(stored_connection("sales"))


@pytest.mark.parametrize(
    ("conn_id", "words"),
    [
        pytest.param("absent", "'absent' is not in Airflow's database", id="not there"),
        pytest.param("db", "is of type 'postgres'", id="of another type"),
    ],
)
def test_what_is_not_ours_is_refused(add, conn_id: str, words: str):
    add("db", "postgres")

    with pytest.raises(NotStored, match=words):
        check_writable(conn_id)
    with pytest.raises(NotStored, match=words):
        keep_sign_in(conn_id, refresh_token="0.the-token", user="")


def test_a_connection_that_an_environment_variable_shadows_is_refused(add, monkeypatch):
    add("sales")
    monkeypatch.setenv("AIRFLOW_CONN_SALES", '{"conn_type": "dynamics"}')

    with pytest.raises(NotStored, match="'sales' lives in an environment variable"):
        keep_sign_in("sales", refresh_token="0.the-token", user="")

    assert "refresh_token" not in stored_connection("sales").extra


class Vault:
    """A secrets backend; `content` are its connections, None one that is down."""

    def __init__(self) -> None:
        self.content: dict[str, object] | None = {}

    def get_connection(self, conn_id: str):
        if self.content is None:
            raise RuntimeError("denied for token hvs.secret")
        return self.content.get(conn_id)


@pytest.fixture
def vault(add):  # noqa: ARG001 - the database comes first
    """Return a secrets backend that Airflow asks first."""
    from airflow.configuration import ensure_secrets_loaded, secrets_backend_list

    ensure_secrets_loaded()
    backend = Vault()
    secrets_backend_list.insert(0, backend)  # type: ignore[arg-type]  # it has what is asked of it
    yield backend
    secrets_backend_list.remove(backend)  # type: ignore[arg-type]


def test_a_connection_in_a_secrets_backend_is_refused(add, vault):
    add("sales")
    vault.content = {"sales": object()}

    with pytest.raises(NotStored, match=r"lives in a secrets backend \(Vault\)"):
        check_writable("sales")


def test_a_secrets_backend_that_fails_is_named_without_its_words(add, vault):
    add("sales")
    vault.content = None

    with pytest.raises(NotStored, match=r"Vault.*failed.*\(RuntimeError\)") as refused:
        check_writable("sales")

    assert "hvs.secret" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_without_a_fernet_key_nothing_is_kept(add, monkeypatch):
    from airflow.models.crypto import get_fernet

    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "")
    get_fernet.cache_clear()
    add("sales")

    with pytest.raises(NotStored, match="unencrypted, because \\[core\\] fernet_key is empty"):
        keep_sign_in("sales", refresh_token="0.the-token", user="")

    assert "0.the-token" not in in_the_database("sales")


def test_a_row_of_another_fernet_key_is_shown_with_its_trouble_and_hides_no_other(add, monkeypatch):
    from airflow.models.crypto import get_fernet
    from cryptography.fernet import Fernet

    add("old")
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", Fernet.generate_key().decode())
    get_fernet.cache_clear()
    add("young")

    old, young = stored_connections()

    with pytest.raises(SettingsError, match="another Fernet key"):
        old.settings()
    assert young.settings(signing_in=True).client_id == "client"
