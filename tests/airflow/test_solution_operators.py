"""Solutions through Airflow: from one environment of the emulator into another, with everything that can go wrong on the way."""

from __future__ import annotations

import io
import json
import zipfile

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.administration.definitions import NewColumn
from airflow_provider_dynamics.hooks import DynamicsHook
from airflow_provider_dynamics.operators import (
    DynamicsExportSolutionOperator,
    DynamicsImportSolutionOperator,
    DynamicsPublishOperator,
    DynamicsUninstallSolutionOperator,
    DynamicsUpgradeSolutionOperator,
)
from airflow_provider_dynamics.retry import DynamicsRetryableError
from tests.airflow.administrators import context
from tests.airflow.contoso_solution import NAME, exported, grow, make
from tests.airflow.transfers.reading import FakeStore

BOTH = pytest.mark.parametrize("deferrable", [False, True], ids=["on a worker", "deferred"])
LOOKUP = NewColumn("ctx_Region", "Lookup", targets="ctx_region")


class Killed(BaseException):
    """Stands for SIGKILL: whoever sees it does nothing more."""


@pytest.fixture
def production(emulator):
    """Another environment of the same tenant; jobs are done in a moment, here and there."""
    made = emulator.add_environment("production", seed=None)
    for place in (emulator, made):
        place.jobs.waiting, place.jobs.running = 0.05, 0.2
    return made


@pytest.fixture
def there(administrator, production):  # noqa: ARG001 - whose connection this one is, too
    """Return a client of the other environment."""
    with DynamicsHook(environment=production.url).get_conn() as client:
        yield client


@pytest.fixture
def here(administrator):
    with administrator() as client:
        yield client


@pytest.fixture
def release(tmp_path, here, emulator):
    """Return the path of a managed solution's zip, made anew by each call."""

    def made(name=NAME, *, managed=True):
        path = tmp_path / f"{name}.zip"
        path.write_bytes(exported(here, emulator, name, managed=managed))
        return str(path)

    return made


def export(path, **arguments):
    given = {"solution_name": NAME, "destination_path": str(path), "poll_interval": 0.1, "deferrable": False}
    return DynamicsExportSolutionOperator(task_id="export", **{**given, **arguments})


def importing(path, environment, **arguments):
    given = {
        "source_path": str(path),
        "environment": environment.url,
        "poll_interval": 0.1,
        "deferrable": False,
    }
    return DynamicsImportSolutionOperator(task_id="import", **{**given, **arguments})


def upgrading(environment, **arguments):
    given = {
        "solution_name": NAME,
        "environment": environment.url,
        "poll_interval": 0.1,
        "deferrable": False,
    }
    return DynamicsUpgradeSolutionOperator(task_id="upgrade", **{**given, **arguments})


def uninstalling(environment, **arguments):
    given = {
        "solution_name": NAME,
        "environment": environment.url,
        "poll_interval": 0.1,
        "deferrable": False,
    }
    return DynamicsUninstallSolutionOperator(task_id="uninstall", **{**given, **arguments})


def posted(emulator, action):
    return [one for one in emulator.requests if one.method == "POST" and one.path.endswith(f"/{action}")]


# --- exporting ---------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("managed", [True, False], ids=["managed", "unmanaged"])
def test_a_solution_is_exported_to_a_file(run_dag, here, tmp_path, managed, deferrable):
    make(here)
    path = tmp_path / "new" / "sales.zip"
    with DAG("exporting", schedule=None) as dag:
        export(path, managed=managed, deferrable=deferrable)

    told = run_dag(dag).xcoms["export"]

    assert (told["status"], told["solution"], told["version"]) == ("succeeded", NAME, "1.0.0.0")
    assert (told["managed"], told["bytes"]) == (managed, path.stat().st_size)
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as zipped:
        assert f"<Managed>{int(managed)}</Managed>" in zipped.read("solution.xml").decode()
    assert [one.name for one in path.parent.iterdir()] == ["sales.zip"]


@pytest.mark.usefixtures("dynamics_conn")
def test_an_export_needs_no_permission_to_change_definitions(emulator, tmp_path):
    with pytest.raises(AirflowFailException, match="has no solution ctx_sales: give its unique name"):
        export(tmp_path / "x.zip").execute(context())

    assert not posted(emulator, "ExportSolutionAsync")


def test_a_file_that_is_there_is_kept_where_that_is_wanted(here, emulator, tmp_path):
    make(here)
    path = tmp_path / "sales.zip"
    path.write_bytes(b"old")

    with pytest.raises(AirflowFailException, match="exists already"):
        export(path, if_exists="fail").execute(context())

    assert path.read_bytes() == b"old"
    assert not posted(emulator, "ExportSolutionAsync")


def test_an_export_that_fails_leaves_the_file_as_it_was(here, emulator, tmp_path):
    make(here)
    path = tmp_path / "sales.zip"
    path.write_bytes(b"old")
    emulator.jobs.fail("The export went wrong.", "0x80048035")

    with pytest.raises(AirflowFailException, match="The export went wrong"):
        export(path).execute(context())

    assert path.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("error", "kept"),
    [(errors.NotFound("no such export"), False), (errors.Unreachable("no answer", sent=True), True)],
    ids=["for good", "may pass"],
)
def test_a_job_whose_result_cannot_be_had_for_good_is_forgotten(here, emulator, tmp_path, error, kept):
    make(here)
    store, task = FakeStore(), export(tmp_path / "sales.zip")

    def lost(*_):
        raise error

    task.finished = lost
    with pytest.raises(AirflowException):
        task.execute(context(store))

    assert bool(store.values) is kept
    export(tmp_path / "sales.zip").execute(context(store, 2))
    assert len(posted(emulator, "ExportSolutionAsync")) == (1 if kept else 2)


# --- importing ---------------------------------------------------------------------------------------------------


@BOTH
def test_a_solution_is_imported_elsewhere_with_its_progress_in_the_log(
    *, run_dag, here, there, release, production, deferrable, capsys
):
    make(here)
    path = release()
    with DAG("importing", schedule=None) as dag:
        importing(path, production, deferrable=deferrable)

    told = run_dag(dag).xcoms["import"]
    seen = capsys.readouterr()

    assert (told["status"], told["solution"], told["version"]) == ("succeeded", NAME, "1.0.0.0")
    assert (told["managed"], told["holding"], told["warnings"]) == (True, False, [])
    assert there.create("ctx_order", {"ctx_name": "First"})
    assert told["import_job_id"]
    assert f"The import of {NAME} 1.0.0.0: " in seen.out + seen.err


def test_a_second_run_of_the_same_version_imports_nothing(here, there, release, production):
    make(here)
    path = release()
    importing(path, production).execute(context())

    told = importing(path, production, skip_installed=True).execute(context())

    assert (told["status"], told["version"], told["holding"]) == ("unchanged", "1.0.0.0", False)
    assert there.solutions.get(NAME).managed


def test_a_missing_dependency_is_named_before_anything_is_imported(here, there, release, production):
    make(here, "ctx_base", "1.4.0.0", ("Region",))
    make(here)
    grow(here, "1.1.0.0", LOOKUP)
    path = release()

    with pytest.raises(AirflowFailException) as raised:
        importing(path, production).execute(context())

    told = str(raised.value)
    assert f"The solution {NAME} 1.1.0.0 cannot be imported" in told
    assert "the table 'ctx_region'" in told
    assert "required by the " in told
    assert "ctx_order" in told
    assert "<" not in told
    assert len(told) < 2000
    assert there.solutions.get(NAME) is None


@BOTH
def test_a_missing_dependency_that_only_the_import_finds_is_named_too(
    run_dag, here, release, production, deferrable
):
    make(here, "ctx_base", "1.4.0.0", ("Region",))
    make(here)
    grow(here, "1.1.0.0", LOOKUP)
    with DAG("importing", schedule=None) as dag:
        importing(release(), production, stage=False, deferrable=deferrable, retries=2)

    ran = run_dag(dag)

    assert ran.tries == {"import": 1}
    assert isinstance(ran.errors["import"], AirflowFailException)
    told = str(ran.errors["import"])
    assert f"The solution {NAME} 1.1.0.0 cannot be imported" in told
    assert "the table 'ctx_region'" in told
    assert "required by the " in told
    assert "<" not in told


def test_what_was_missing_can_be_imported_first(here, there, release, production):
    make(here, "ctx_base", "1.4.0.0", ("Region",))
    make(here)
    grow(here, "1.1.0.0", LOOKUP)

    for path in (release("ctx_base"), release()):
        importing(path, production).execute(context())

    region = there.create("ctx_region", {"ctx_name": "North"})
    assert there.create("ctx_order", {"ctx_name": "First", "ctx_region": region})


def test_an_import_that_fails_on_the_way_tells_the_reason(here, production, release):
    make(here)
    path = release()
    production_jobs = production.jobs
    production_jobs.fail("The disk is full.", "0x80040216", after=0.5)

    with pytest.raises((AirflowFailException, DynamicsRetryableError), match="The disk is full"):
        importing(path, production).execute(context())


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "it is no zip file"), (None, "There is no file")],
    ids=["an empty file", "no file"],
)
@pytest.mark.usefixtures("administrator")
def test_what_is_no_solution_is_not_sent(emulator, tmp_path, content, why):
    path = tmp_path / "x.zip"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(AirflowFailException, match=why):
        importing(path, emulator).execute(context())

    assert not posted(emulator, "StageSolution")


@pytest.mark.usefixtures("dynamics_conn")
@pytest.mark.parametrize(
    ("make_task", "said"),
    [
        (lambda place: importing("/no/such.zip", place), "importing a solution does"),
        (upgrading, "upgrading a solution does"),
        (uninstalling, "uninstalling a solution does"),
    ],
    ids=["import", "upgrade", "uninstall"],
)
def test_a_connection_that_does_not_allow_it_is_told_so_by_name(emulator, make_task, said):
    with pytest.raises(AirflowFailException, match="Switch on Allow metadata changes") as raised:
        make_task(emulator).execute(context())

    assert said in str(raised.value)
    assert not [one for one in emulator.requests if "/api/data/" in one.path]


# --- the next try ------------------------------------------------------------------------------------------------


def test_a_try_that_dies_leaves_its_import_to_the_next_one(here, release, production):
    make(here)
    path, store = release(), FakeStore()
    jobs = production.jobs
    jobs.held = True
    first = importing(path, production)

    def die(job):
        raise Killed(job.id)

    first._said = die
    with pytest.raises(Killed) as raised:
        first.execute(context(store))
    jobs.held = False
    jobs.advance(60)

    told = importing(path, production).execute(context(store, 2))

    assert told["job_id"] == str(raised.value)
    assert (told["solution"], told["status"]) == (NAME, "succeeded")
    assert told["import_job_id"]


def test_a_try_that_dies_while_it_starts_is_begun_again(here, there, release, production):
    make(here)
    path, store = release(), FakeStore()
    first = importing(path, production)
    begun = first.start

    def die(client, told):
        begun(client, told)
        raise Killed

    first.start = die
    with pytest.raises(Killed):
        first.execute(context(store))

    told = importing(path, production, skip_installed=True).execute(context(store, 2))

    assert told["status"] in {"succeeded", "unchanged"}
    assert there.solutions.get(NAME).version == "1.0.0.0"


def test_a_deferred_import_tells_its_progress_and_its_result(here, release, production):
    make(here)
    jobs = production.jobs
    path = release()
    jobs.held = True
    task = importing(path, production, deferrable=True)

    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context())

    trigger = deferred.value.trigger
    assert trigger.solution == f"{NAME} 1.0.0.0"
    path_of_class, arguments = trigger.serialize()
    assert path_of_class == "airflow_provider_dynamics.triggers.DynamicsImportTrigger"
    assert json.dumps(arguments)
    jobs.held = False
    with DynamicsHook(environment=production.url).get_conn() as client:
        assert trigger.look(client) is None
        jobs.advance(60)
        event = {"status": "success", **(trigger.look(client) or {})}
    told = task.execute_complete(context(), event, **(deferred.value.kwargs or {}))
    assert (told["solution"], told["status"], told["holding"]) == (NAME, "succeeded", False)


def test_stopping_the_task_cancels_its_job(here, there, release, production):
    make(here)
    path = release()
    jobs = production.jobs
    jobs.held = True
    task = importing(path, production)
    seen = []

    def stop(job):
        task._job = job
        task.on_kill()
        seen.append(job.id)
        raise Killed

    task._said = stop
    with pytest.raises(Killed):
        task.execute(context())

    assert there.jobs.get(seen[0]).ending


# --- upgrading and uninstalling ----------------------------------------------------------------------------------


@BOTH
def test_a_new_version_waits_beside_the_old_one_and_takes_its_place(
    *, run_dag, here, there, release, production, deferrable
):
    make(here)
    first = importing(release(), production, holding=True).execute(context())
    grow(here, "2.0.0.0", NewColumn("ctx_Total", "Integer"))
    path = release()

    held = importing(path, production, holding=True).execute(context())
    assert (there.solutions.get(NAME).version, there.solutions.get(f"{NAME}_Upgrade").version) == (
        "1.0.0.0",
        "2.0.0.0",
    )
    again = importing(path, production, holding=True, skip_installed=True).execute(context())
    with DAG("upgrading", schedule=None) as dag:
        upgrading(production, version="2.0.0.0", deferrable=deferrable)
    upgraded, unchanged = run_dag(dag), run_dag(dag)

    assert (first["holding"], held["holding"]) == (False, True)
    assert (again["status"], again["holding"]) == ("unchanged", True)
    assert upgraded.xcoms["upgrade"]["status"] == "succeeded"
    assert upgraded.xcoms["upgrade"]["version"] == "2.0.0.0"
    assert unchanged.xcoms["upgrade"]["status"] == "unchanged"
    assert there.solutions.get(f"{NAME}_Upgrade") is None
    assert there.create("ctx_order", {"ctx_name": "x", "ctx_total": 3})


def test_one_version_at_a_time_waits_to_be_upgraded_to(here, release, production):
    make(here)
    importing(release(), production).execute(context())
    grow(here, "2.0.0.0")
    path = release()

    told = [importing(path, production, holding=True).execute(context())["status"] for _ in range(2)]
    grow(here, "3.0.0.0")

    assert told == ["succeeded", "unchanged"]
    with pytest.raises(
        AirflowFailException, match=r"2\.0\.0\.0 of ctx_sales waits already, so 3\.0\.0\.0 cannot"
    ):
        importing(release(), production, holding=True).execute(context())


def test_what_a_try_that_died_has_imported_to_wait_is_not_imported_again(here, release, production):
    make(here)
    importing(release(), production).execute(context())
    grow(here, "2.0.0.0")
    path = release()
    task = importing(path, production, holding=True)
    begun = task.start

    def after_another(client, told):
        importing(path, production, holding=True).execute(context())
        return begun(client, told)

    task.start = after_another
    told = task.execute(context(try_number=2))

    assert (told["status"], told["holding"]) == ("unchanged", True)


def test_an_upgrade_to_nothing_is_said(here, release, production):
    with pytest.raises(AirflowFailException, match="No version of ctx_sales waits to be upgraded to: import"):
        upgrading(production).execute(context())
    make(here)
    importing(release(), production).execute(context())

    with pytest.raises(AirflowFailException, match=r"waits to be upgraded to; 1\.0\.0\.0 is installed"):
        upgrading(production).execute(context())
    told = upgrading(production).execute(context(try_number=2))

    assert (told["status"], told["version"]) == ("unchanged", "1.0.0.0")


def test_another_version_than_the_one_that_waits_is_said(here, release, production):
    make(here)
    importing(release(), production).execute(context())
    grow(here, "2.0.0.0")
    importing(release(), production, holding=True).execute(context())

    with pytest.raises(AirflowFailException, match=r"is 2\.0\.0\.0, not 3\.0\.0\.0"):
        upgrading(production, version="3.0.0.0").execute(context())


@BOTH
def test_a_solution_is_uninstalled_once(*, run_dag, here, there, release, production, deferrable):
    make(here)
    importing(release(), production).execute(context())
    with DAG("uninstalling", schedule=None) as dag:
        uninstalling(production, deferrable=deferrable)

    first, second = run_dag(dag), run_dag(dag)

    assert (first.xcoms["uninstall"]["status"], first.xcoms["uninstall"]["version"]) == (
        "succeeded",
        "1.0.0.0",
    )
    assert second.xcoms["uninstall"]["status"] == "unchanged"
    with pytest.raises(errors.UnknownTable):
        there.table("ctx_order")


def test_what_keeps_a_solution_is_named(here, release, production):
    make(here, "ctx_base", "1.4.0.0", ("Region",))
    make(here)
    grow(here, "1.1.0.0", LOOKUP)
    for path in (release("ctx_base"), release()):
        importing(path, production).execute(context())

    with pytest.raises(AirflowFailException, match=f"of the solution {NAME} needs its table") as raised:
        uninstalling(production, solution_name="ctx_base").execute(context())

    assert "What needs it has to go first" in str(raised.value)


def test_what_a_try_that_died_has_removed_is_not_removed_again(here, there, release, production):
    make(here)
    importing(release(), production).execute(context())
    task = uninstalling(production)
    begun = task.start

    def after_another(client, told):
        there.jobs.wait(there.solutions.start_uninstall(NAME).job_id, poll_interval=0.1)
        return begun(client, told)

    task.start = after_another

    assert task.execute(context(try_number=2))["status"] == "unchanged"


def test_what_a_try_that_died_has_upgraded_is_not_upgraded_again(here, there, release, production):
    make(here)
    importing(release(), production).execute(context())
    grow(here, "2.0.0.0")
    importing(release(), production, holding=True).execute(context())
    task = upgrading(production, version="2.0.0.0")
    begun = task.start

    def after_another(client, told):
        there.jobs.wait(there.solutions.start_upgrade(NAME).job_id, poll_interval=0.1)
        return begun(client, told)

    task.start = after_another
    told = task.execute(context(try_number=2))

    assert (told["status"], told["version"]) == ("unchanged", "2.0.0.0")


# --- publishing --------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.usefixtures("administrator")
def test_everything_is_published_by_a_job(run_dag, emulator, deferrable):
    with DAG("publishing", schedule=None) as dag:
        DynamicsPublishOperator(task_id="publish", poll_interval=0.1, deferrable=deferrable)

    assert run_dag(dag).xcoms["publish"]["status"] == "succeeded"
    assert len(posted(emulator, "PublishAllXmlAsync")) == 1


@pytest.mark.usefixtures("dynamics_conn")
def test_some_tables_are_published_at_once(emulator):
    told = DynamicsPublishOperator(task_id="publish", tables="account, contact").execute(context())

    assert told == {"job_id": None, "status": "published", "tables": ["account", "contact"], "choices": []}
    assert len(posted(emulator, "PublishXml")) == 1
    assert not posted(emulator, "PublishAllXmlAsync")
