"""A row is in the folder of pre-images before it is handed to be sent: looked at whenever the client takes one."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import pytest

from airflow_provider_dynamics.transfers import ObjectStorageToDynamicsOperator
from tests.airflow.transfers.files import lines, write_csv
from tests.airflow.transfers.loads.files import run_load

pytestmark = pytest.mark.usefixtures("dynamics_conn")

ROWS = 1_700


class Watching:
    """A client that notes of each row it takes how many rows the complete parts hold, and whether it is one of them."""

    def __init__(self, client, folder):
        self._client = client
        self._folder = folder
        self._known = {}
        self.unknown = []
        self.held = []

    def __getattr__(self, name):
        return getattr(self._client, name)

    def bulk(self, table, rows, operation, **how):
        return self._client.bulk(table, self._watched(rows), operation, **how)

    def _watched(self, rows):
        for row in rows:
            self._read()
            self.held.append(sum(map(len, self._known.values())))
            if not any(names.issuperset(self._names(row)) for names in self._known.values()):
                self.unknown.append(row)
            yield row

    def _read(self):
        for part in self._folder.glob("undo-*.ndjson"):
            if part not in self._known:
                images = lines(part)[1:]
                self._known[part] = {
                    image["after"]["name"] if "after" in image else image["row_id"] for image in images
                }

    def _names(self, row):
        return {row["name"] if "name" in row else row["accountid"]}


class Watched(ObjectStorageToDynamicsOperator):
    """A load that is done with such a client, which is kept in `watching`."""

    folder: Path
    watching: Watching

    @contextmanager
    def client(self, **options):
        with super().client(**options) as client:
            type(self).watching = Watching(client, self.folder)
            yield self.watching


@pytest.fixture
def watched(run_dag, tmp_path):
    """Run a load that is watched, and return what was seen."""

    class OfThisFolder(Watched):
        folder = tmp_path / "undo"

    def run(source, **arguments):
        ran = run_load(run_dag, source, OfThisFolder, undo_path=str(OfThisFolder.folder), **arguments)
        assert ran.xcoms["load"]["written"] == len(OfThisFolder.watching.held)
        return OfThisFolder.watching

    return run


def accounts(count, step=1):
    return [{"accountnumber": f"K-{n:06}", "name": f"Row {n}"} for n in range(0, count, step)]


def renamed(rows):
    return [{**row, "name": f"{row['name']} renamed"} for row in rows]


def test_a_new_or_changed_row_is_kept_before_it_is_handed_to_be_sent(run_dag, watched, tmp_path):
    run_load(run_dag, write_csv(tmp_path / "old.csv", accounts(ROWS, 2)))

    seen = watched(write_csv(tmp_path / "in.csv", renamed(accounts(ROWS))))

    assert len(seen.held) == ROWS
    assert seen.unknown == []


def test_all_rows_to_delete_are_kept_before_the_first_is_handed_to_be_sent(
    run_dag, watched, emulator, tmp_path
):
    run_load(run_dag, write_csv(tmp_path / "new.csv", accounts(ROWS)))
    made = [row for row in emulator.rows("account") if str(row["accountnumber"]).startswith("K-")]
    ids = write_csv(tmp_path / "ids.csv", [{"accountid": row["accountid"]} for row in made])

    seen = watched(ids, operation="delete", key=None)

    assert seen.held == [ROWS] * ROWS
    assert seen.unknown == []
