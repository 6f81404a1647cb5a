# `make up` and `make test` are all that a newcomer needs; see CONTRIBUTING.md.
.DEFAULT_GOAL := help
BIN := .venv/bin
DATA ?= .orchestry
SEEDS ?= 5000

.PHONY: help up test check bench soak long faults rollouts contract fuzz images secrets requirements clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile

up: ## install what is missing, then run three controllers, an ingress and a demo app
	@tools/bootstrap.sh up
	@exec $(BIN)/orchestry dev --demo --data-dir $(DATA)

test: ## install what tests need, then run every check and test
	@tools/bootstrap.sh test
	@tools/test.sh

check: ## the quick part: lint, types, import rules, unit and architecture tests
	@tools/bootstrap.sh test
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q -n 2 tests/unit tests/architecture

bench: ## measure on this machine (no pass or fail): make bench PARTS="failover"
	@tools/bootstrap.sh test
	@tools/dockerd.sh start
	$(BIN)/python -m bench.run $(PARTS)

soak: ## long simulations: make soak SEEDS=5000
	@tools/bootstrap.sh test
	SEEDS=$(SEEDS) $(BIN)/pytest -q -n 2 --timeout 0 tests/sim

images: ## build the images of the controller and of the ingress
	@tools/build_images.sh

secrets: ## write .env with random secrets for docker-compose.cluster.yml, unless it is there
	@tools/secrets.sh .env

long: ## what takes too long for every build: compose, virtual addresses, a dying Redis, ...
	@tools/bootstrap.sh test
	@tools/dockerd.sh status >/dev/null 2>&1 || tools/dockerd.sh start
	$(BIN)/pytest -q -s -m long tests/acceptance tests/faults

requirements: ## compile the pinned requirements again (needs uv)
	uv pip compile setup.cfg --extra controller --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header -q -U -o requirements/controller.txt
	uv pip compile setup.cfg --extra controller --extra postgres --extra async --extra test --universal \
	  --python-version 3.11 -c requirements/controller.txt --generate-hashes \
	  --no-emit-index-url --no-header -q -U -o requirements/test.txt
	printf 'psycopg2>=2.9.10,<3\n' | uv pip compile - -c requirements/test.txt --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate -q -U -o requirements/postgres.txt
	printf 'setuptools>=77\n' | uv pip compile - -c requirements/test.txt --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate -q -U -o requirements/image-build.txt
	printf 'atheris==3.0.0\n' | uv pip compile - --generate-hashes --no-emit-index-url --no-header \
	  --no-annotate -q -o requirements/fuzz.txt

faults: ## long rounds of faults on real processes: make faults ROUNDS=50
	@tools/bootstrap.sh test
	FAULT_ROUNDS=$(or $(ROUNDS),50) $(BIN)/pytest -q -s --timeout 0 tests/faults

rollouts: ## updates under load, for long: make rollouts UPDATES=20 RATE=500
	@tools/bootstrap.sh test
	@tools/dockerd.sh status >/dev/null 2>&1 || tools/dockerd.sh start
	UPDATES=$(or $(UPDATES),20) RATE=$(or $(RATE),500) $(BIN)/pytest -q -s -m long \
	  tests/acceptance/test_rollouts.py

contract: ## the API against its description, for long: make contract CASES=200
	@tools/bootstrap.sh test
	CONTRACT_CASES=$(or $(CASES),200) $(BIN)/pytest -q -s --timeout 0 \
	  tests/acceptance/test_schemathesis.py

fuzz: ## fuzz what reads bytes from others, each target so long: make fuzz SECONDS=300
	@tools/bootstrap.sh test
	$(BIN)/pip install -q --require-hashes -r requirements/fuzz.txt
	for target in $(or $(TARGETS),spec chart wire journal); do \
	  $(BIN)/python -m tests.fuzz $$target $(or $(SECONDS),60) || exit 1; done

clean: ## remove build output and caches; the data folder stays
	rm -rf build dist .fuzz ./*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis \
	  .import_linter_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
