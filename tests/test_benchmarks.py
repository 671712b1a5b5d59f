"""Every contender of the benchmarks still runs, and reads or creates every row of a table of three pages."""

from __future__ import annotations

import importlib.util
import threading

import pytest

from benchmarks.contenders import CONTENDERS
from benchmarks.processes import set_rows
from benchmarks.stub import Stub

ROWS = 11_000


@pytest.fixture(scope="module")
def stub():
    stub = Stub(pages=1)
    threading.Thread(target=stub.serve, daemon=True).start()
    set_rows(stub.url, ROWS)
    return stub


@pytest.mark.parametrize("name", CONTENDERS)
def test_every_contender_moves_every_row(name, stub, tmp_path):
    if name.endswith("microsoft") and importlib.util.find_spec("PowerPlatform") is None:
        pytest.skip("PowerPlatform-Dataverse-Client is not installed")
    run = CONTENDERS[name](stub.url, tmp_path)
    next(run)
    assert next(run) == ROWS
    assert bool(list(tmp_path.iterdir())) == name.startswith(("export", "create-operator"))
