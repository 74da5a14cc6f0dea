# The front door; CMake and ninja do the work. Every target first installs what is missing.
BUILD := build
JOBS ?= $(shell nproc)
PYTHON := .venv/bin/python

.DEFAULT_GOAL := build
.PHONY: setup build test conformance demo search-demo bench bench-attention bench-cheap bench-backends bench-cost bench-forms bench-gpu docs format fresh-check clean

setup:
	@scripts/setup.sh

build: setup
	@test -f $(BUILD)/build.ninja || cmake --preset release
	@cmake --build $(BUILD) -j $(JOBS)

test: build
	@ctest --test-dir $(BUILD) --output-on-failure -j $(JOBS)

conformance: build
	@ATTUNE_BUILD=$(CURDIR)/$(BUILD) PYTHONPATH=test $(PYTHON) test/conformance/runner.py $(ARGS)

demo: build
	@$(PYTHON) examples/embed.py

search-demo: build
	@$(PYTHON) examples/search/demo.py $(ARGS)

bench: build
	@cmake --build $(BUILD) -j $(JOBS) --target attune-kernel-bench
	@$(PYTHON) bench/run.py $(ARGS)
	@$(BUILD)/bin/attune-kernel-bench

bench-attention: build
	@$(PYTHON) bench/attention.py $(ARGS)

bench-cheap: build
	@$(PYTHON) bench/cheap.py $(ARGS)

bench-backends: build
	@$(PYTHON) bench/backends.py $(ARGS)

bench-cost: build
	@test -n "$$ATTUNE_CALIBRATION" || $(BUILD)/bin/attune calibrate
	@$(PYTHON) bench/cost.py $(ARGS)

bench-forms: build
	@$(PYTHON) bench/forms.py $(ARGS)

bench-gpu: build
	@$(PYTHON) bench/gpu.py $(ARGS)

docs: build
	@scripts/docs.sh

fresh-check:
	@scripts/fresh-check.sh

format: setup
	@git ls-files '*.cpp' '*.h' '*.hpp' | xargs clang-format-22 -i
	@$(PYTHON) -m ruff format -q bench examples experiments python test
	@$(PYTHON) -m ruff check -q bench examples experiments python test

clean:
	rm -rf $(BUILD)
