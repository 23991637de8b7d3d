# Set-up is part of every target: a fresh machine needs only `make demo` or `make test`.
SHELL := /bin/bash
VENV := .venv/bin

.PHONY: setup demo test lint format fuzz clean

setup:
	@./setup.sh

demo: setup
	$(VENV)/python -m lab.demo

lint: setup
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy
	clang-format --dry-run --Werror bpf/*.c bpf/*.h tests/bpf/*.c

test: lint
	$(VENV)/pytest

format: setup
	$(VENV)/ruff check --fix .
	$(VENV)/ruff format .
	clang-format -i bpf/*.c bpf/*.h tests/bpf/*.c

# Minutes of fuzzing; `make test` has a short run.
FUZZ_SECONDS ?= 600
fuzz: setup
	$(VENV)/python -m tests.bpf.fuzz --seconds $(FUZZ_SECONDS)

clean:
	rm -rf .venv build *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
