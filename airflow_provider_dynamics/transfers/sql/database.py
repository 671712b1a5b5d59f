"""The way into a database: from a connection's id to an engine, and from a driver's error to a sentence without values.

What drivers say may hold a row's values or the connection's password, so it is quoted only where it cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowNotFoundException

from airflow_provider_dynamics.formats.arrow import need
from airflow_provider_dynamics.retry import DynamicsRetryableError

if TYPE_CHECKING:
    import sqlalchemy as sa

__all__ = ["Database"]

T = TypeVar("T")

PASSING = ("08", "40", "53", "55", "57", "58")
"""Classes of SQLSTATE that trying again may heal.

https://www.postgresql.org/docs/current/errcodes-appendix.html
"""
WITHOUT_VALUES = ("08", "25", "28", "3D", "3F", "40", "42", "53", "55", "57", "58")
"""Classes whose messages name tables, columns and rights, never a value."""
FOR_GOOD = (
    "password authentication failed",
    "does not exist",
    "no pg_hba.conf entry",
    "unable to open",
    "readonly",
)
"""What a driver says without a code where trying again does not help."""
REMEDIES = {
    "23": "Another constraint of the table refuses a row: drop the constraint, or write to a table of its own.",
    "28": "Correct the connection.",
    "3D": "Correct the connection's database.",
    "3F": "Create the schema, or correct the argument schema.",
    "42501": "Grant the connection's user what the task needs: docs/sql.md lists it.",
    "42": "Let the operator make the table, or make the table's columns what docs/sql.md says.",
    "22": "A value does not fit its column in the table: docs/sql.md says what types the columns need.",
}
PASSING_KINDS = frozenset({"OperationalError", "InterfaceError", "TimeoutError"})
"""Classes of errors without a code that trying again may heal: the connection is lost, or was never there."""
PASSING_IN_SQLITE = ("is locked", "disk is full", "disk I/O error")
"""What SQLite says where trying again may help; it has one class for everything, and no codes before Python 3.11."""
KINDS = {"IntegrityError": "23000", "DataError": "22000", "ProgrammingError": "42000"}
"""What SQLAlchemy's classes stand for, for databases that have codes of their own."""


@dataclass(frozen=True)
class Database:
    """The database of a connection.

    :param conn_id: the id of a connection of any type whose hook is a `DbApiHook`
    """

    conn_id: str

    @cached_property
    def engine(self) -> sa.Engine:
        """The engine that the connection's hook makes.

        :raises AirflowFailException: there is no such connection, or its type is no SQL database
        :raises AirflowOptionalProviderFeatureException: the extra `sql` is not installed
        """
        pools = need("sqlalchemy.pool", "sql", "Writing to a database")
        hook = self._hook()
        options = {"hide_parameters": True, "poolclass": pools.NullPool}
        if hook.conn_type == "postgres" and "sqlalchemy_scheme" not in hook.connection_extra:
            # the hook's URL leaves out what the connection says of TLS and the like
            options["creator"] = lambda: _with_plain_rows(hook.get_conn())
        engine = self._made(hook, options)
        if engine.dialect.name == "sqlite":
            _with_plain_transactions(engine)
        return engine

    def _made(self, hook: Any, options: dict[str, Any]) -> sa.Engine:
        import sqlalchemy as sa

        try:
            engine: sa.Engine = hook.get_sqlalchemy_engine(options)
        except (ImportError, NotImplementedError, sa.exc.NoSuchModuleError) as error:
            missing = str(error)[:200]  # the name of a module
        else:
            return engine
        raise AirflowFailException(
            f"SQLAlchemy cannot reach the database of {self.conn_id!r}: {missing}. Install its driver and its SQLAlchemy "
            "dialect where tasks run."
        )

    def _hook(self) -> Any:
        hooks = need("airflow.providers.common.sql.hooks.sql", "sql", "Writing to a database")
        kind = None
        try:
            kind = BaseHook.get_connection(self.conn_id).conn_type
            hook = BaseHook.get_hook(self.conn_id)
        except AirflowNotFoundException:
            raise AirflowFailException(
                f"There is no connection {self.conn_id!r}: create it, or correct sql_conn_id."
            ) from None
        except AirflowException as error:
            raise AirflowFailException(
                f"The connection {self.conn_id!r} is of type {kind!r}, for which no provider is installed: install the "
                f"database's, such as apache-airflow-providers-postgres ({type(error).__name__})."
            ) from None
        if not isinstance(hook, hooks.DbApiHook):
            raise AirflowFailException(
                f"The connection {self.conn_id!r} is of type {kind!r}, which is no SQL database: give sql_conn_id "
                "a connection whose hook is a common.sql DbApiHook, such as postgres, mysql, mssql or sqlite."
            )
        return hook

    @contextmanager
    def connection(self) -> Iterator[sa.Connection]:
        """Open one connection for a block and leave nothing of it behind."""
        engine = self.engine
        try:
            with engine.connect() as connection:
                _have_transactions(connection)
                yield connection
        finally:
            engine.dispose()

    def attempt(self, work: Callable[[], T]) -> T:
        """Do work with the database; what its driver raises comes out as Airflow's, without any value.

        :raises AirflowFailException: trying again would not help
        :raises DynamicsRetryableError: it may pass
        """
        failure: AirflowException
        try:
            return work()
        except Exception as error:
            if not self._is_driver_error(error):
                raise
            failure = self._told(error)
        raise failure  # outside of the handler: Airflow logs what an error was raised from, values and all

    def _is_driver_error(self, error: Exception) -> bool:
        import sqlalchemy as sa

        if isinstance(error, sa.exc.SQLAlchemyError):
            return True
        dbapi = getattr(self.__dict__.get("engine"), "dialect", None)
        kinds = getattr(getattr(dbapi, "loaded_dbapi", None), "Error", ())
        return isinstance(error, kinds)

    def _told(self, error: Exception) -> AirflowException:
        driver: Any = getattr(error, "orig", None) or error
        code = _code(driver)
        said = _said(driver, code, self._password)
        kind = code if len(code) == 5 else KINDS.get(type(error).__name__, "")
        remedy = next((text for start, text in REMEDIES.items() if kind.startswith(start)), "")
        text = f"The database of {self.conn_id!r} refuses: {said}. {remedy}".strip()
        if _may_pass(error, driver, code, said):
            return DynamicsRetryableError(
                f"{text} It may pass.", error_type=type(driver).__name__, code=code or None
            )
        return AirflowFailException(text)

    @property
    def _password(self) -> str | None:
        return self.engine.url.password if "engine" in self.__dict__ else None


def _may_pass(error: Exception, driver: Exception, code: str, said: str) -> bool:
    if len(code) == 5:
        return code.startswith(PASSING)
    if type(driver).__module__.startswith("sqlite3"):
        return any(part in said for part in PASSING_IN_SQLITE)
    # by name: what a COPY raises is the driver's own
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return bool(kinds & PASSING_KINDS) and not any(part in said for part in FOR_GOOD)


def _code(error: Any) -> str:
    """Return SQLSTATE, where the driver gives it, else the number of the database's own error, else nothing."""
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    number = error.args[0] if getattr(error, "args", ()) else None
    return str(state or (number if isinstance(number, int) else ""))


def _said(error: Any, code: str, password: str | None) -> str:
    """Return what may be told of a driver's error: its kind and code, what it names, and its text where that has no value."""
    kind = type(error).__name__
    diagnosis = getattr(error, "diag", None)
    told = [f"{kind} {code}".strip()]
    for what in ("table_name", "column_name", "constraint_name"):
        if named := getattr(diagnosis, what, None):
            told.append(f"{what.split('_')[0]} {named}")
    module = type(error).__module__
    if code.startswith(WITHOUT_VALUES) and len(code) == 5:
        text = getattr(diagnosis, "message_primary", None) or ""
    elif module.startswith("sqlite3") or (not code and kind == "OperationalError"):
        text = str(error)  # names only; and a sign-in that failed
    else:
        text = ""
    lines = text.strip().splitlines()
    text = " ".join(lines[:2])[:300]
    if password:
        text = text.replace(password, "***")
    return ": ".join([", ".join(told), text] if text else [", ".join(told)])


def _with_plain_rows(connection: Any) -> Any:
    """Undo a PostgreSQL connection's choice of another kind of cursor, which SQLAlchemy cannot read."""
    if hasattr(connection, "cursor_factory") and not hasattr(connection, "row_factory"):  # psycopg2
        connection.cursor_factory = None
    else:
        from psycopg.rows import tuple_row

        connection.row_factory = tuple_row
    return connection


def _have_transactions(connection: sa.Connection) -> None:
    """Have transactions whatever the connection's own settings say, such as `autocommit`.

    Rows that another run has committed must be seen once its place is, which is what `READ COMMITTED` says.
    """
    if connection.dialect.name == "sqlite":
        return
    try:
        levels = connection.dialect.get_isolation_level_values(connection.connection.dbapi_connection)  # type: ignore[arg-type]  # it is open
    except NotImplementedError:
        levels = ()
    if "READ COMMITTED" in levels:
        connection.execution_options(isolation_level="READ COMMITTED")


def _with_plain_transactions(engine: sa.Engine) -> None:
    """Have SQLite's transactions begin where SQLAlchemy's do, so that they hold changes of tables too.

    https://docs.sqlalchemy.org/en/20/dialects/sqlite.html#serializable-isolation-savepoints-transactional-ddl
    """
    import sqlalchemy as sa

    @sa.event.listens_for(engine, "connect")
    def left_alone(connection: Any, _record: Any) -> None:
        connection.isolation_level = None

    @sa.event.listens_for(engine, "begin")
    def begun(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN")
