# Set-up is part of every target: a fresh machine needs only `make demo` or `make test`.
SHELL := /bin/bash
VENV := .venv/bin

.PHONY: setup demo test test-vm bench bench-registry vagrant-validate deb lint format fuzz clean

setup:
	@./setup.sh

demo: setup
	$(VENV)/python -m lab.demo

lint: setup
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy
	clang-format --dry-run --Werror bpf/*.c bpf/*.h bench/*.c tests/bpf/*.c

test: lint
	$(VENV)/pytest -n 2 --dist loadscope --no-loadscope-reorder --ignore=tests/vm

# Virtual machines: all kernels, or `make test-vm KERNELS="6.1 7"`.
KERNELS ?= 5.10 6.1 6.12 6.18 7
test-vm:
	@./setup.sh vm deb vagrant
	$(VENV)/pytest -n 2 --dist loadgroup --maxschedchunk 1 --durations 20 --kernels "$(KERNELS)" tests/vm

# What a packet costs, beside other filters, and how fast a change is in force: ten minutes,
# `BENCH=quick make bench` 3. As root. `BENCH_FLAGS=--check` fails where a must is missed.
bench:
	@./setup.sh bench
	$(VENV)/python -m bench $(BENCH_FLAGS)

# A registry with 1,000 routers that follow it, and a million peers, on loopback. As root.
bench-registry:
	@./setup.sh
	$(VENV)/python -m bench.registry $(BENCH_FLAGS)

# What Vagrant and shellcheck say of the lab in vagrant/; `make test-vm` has it.
vagrant-validate:
	@./setup.sh vm vagrant
	$(VENV)/pytest tests/vm/test_vagrantfile.py tests/vm/test_tour.py

# The Debian package, in dist/.
deb: setup
	@./setup.sh deb
	$(VENV)/python debian/build.py dist

format: setup
	$(VENV)/ruff check --fix .
	$(VENV)/ruff format .
	clang-format -i bpf/*.c bpf/*.h bench/*.c tests/bpf/*.c

# Minutes of fuzzing; `make test` has a short run.
FUZZ_SECONDS ?= 600
fuzz: setup
	$(VENV)/python -m tests.bpf.fuzz --seconds $(FUZZ_SECONDS)

clean:
	rm -rf .venv build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
