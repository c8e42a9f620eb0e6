PYTHON ?= python3
BIN := .venv/bin
UV = $$(command -v uv || echo $(BIN)/uv)

# Where containers set it, every process compiles what it imports anew: a worker 3,700 files, 7 of its 15 CPU-seconds.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo submission test quick lint bench bench-search headline pictures lock clean

demo: .venv/ready ## draw hands, search quickstart, show the board and the Pareto page
	$(BIN)/posefront search quickstart

submission: .venv/ready ## after the demo: its best trial in full, and all that a course wants handed in, checked
	$(BIN)/posefront retrain quickstart --seeds 2
	test -d runs/quickstart/test || $(BIN)/posefront data synth runs/quickstart/test --count 100 --seed 1 --difficulty 0.2
	$(BIN)/posefront submit quickstart --name "Ada Lovelace" --test runs/quickstart/test/training/rgb
	$(BIN)/posefront verify runs/quickstart/submission/Ada_Lovelace_midterm_project.zip --test runs/quickstart/test/training/rgb

test: .venv/ready ## everything, one test process a core
	$(BIN)/python -m pytest -n auto --maxschedchunk 1

quick: .venv/ready ## what a contributor runs at every save: no search, no browser, no notebook
	$(BIN)/python -m pytest -n auto -m "not slow" -q

lint: .venv/ready ## format, rules, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: .venv/ready ## speeds as ratios in one run
	$(BIN)/python -m tests.bench
	$(BIN)/python -m tests.bench_dashboard

BENCH ?= ../shared/bench
SEEDS ?= 3
bench-search: .venv/ready ## ways to search, replayed on recorded trainings: make bench-search BENCH=folder SEEDS=30
	$(BIN)/python -m tests.search_bench.compare $(BENCH) --seeds $(SEEDS)

HEADLINE ?= runs/headline
headline: .venv/ready ## posefront, stock Ray Tune and the published design on the same data, hours: make headline FACES=folder
	$(BIN)/python -m tests.headline compare --data hands $(FACES) --work $(HEADLINE) --out $(HEADLINE)/results.csv
	$(BIN)/python -m tests.headline published --data hands $(FACES) --out $(HEADLINE)/results.csv
	$(BIN)/python -m tests.headline table $(HEADLINE)/results.csv

pictures: .venv/ready ## the README's pictures: after search quickstart --trials 60 and retrain quickstart --seeds 2
	$(BIN)/python -m tests.pictures

lock: .venv/ready ## pin anew what pyproject allows, with hashes and no index
	$(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
		--upgrade --group dev --extra postgres pyproject.toml -o requirements.lock

clean: ## the environment and all runs
	rm -rf .venv runs

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"posefront needs Python 3.11 or newer, and $(PYTHON) is {v[0]}.{v[1]}; name another with: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	command -v uv >/dev/null || test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv
	$(UV) pip install --python $(BIN)/python --quiet --require-hashes -r requirements.lock
	$(UV) pip install --python $(BIN)/python --quiet --no-deps --no-build-isolation --editable .
	@touch $@
