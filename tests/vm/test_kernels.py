"""What runs in each kernel: verifier, verdicts, drivers, and the agent's life.

The tests of the other directories run inside; what only a kernel can say is kept in
docs/kernels.md, and compared here.
"""

import shlex

import pytest

from tests.control import test_captured, test_dataplane, test_pins, test_repair
from tests.vm.command import Result, run
from tests.vm.guest.cards import DRIVER, HUB
from tests.vm.kernels import SERIES, Kernel
from tests.vm.machine import Hardware
from tests.vm.tables import DOCUMENT, Measured, differences, stated

# What goes in comes out, and is mended; adopted by another process; of another shape, which
# each kernel tells in one way for all: compiling takes its time where processors are emulated.
# By reference: a name would only be missed here, half an hour after it was changed.
MAPS = (
    (test_dataplane.test_rows_come_out_as_they_went_in, ""),
    (test_repair.test_what_we_never_write_is_repaired, "[no_filter]"),
    (test_dataplane.test_full_map, ""),
    (test_captured.test_the_kernel_takes_it, ""),
    (test_pins.test_second_process_adopts, ""),
    (test_pins.test_pinned_map_of_another_shape, "[overflow-buckets-type is 2, not 1]"),
)

SECONDS = 900.0
# The kernel may have to be fetched first; and ours must be over before pytest's, to say more.
LIMIT = pytest.mark.timeout(SECONDS + 300)
PYTEST = ".venv/bin/pytest -q -p no:cacheprovider -p no:schemathesis --timeout 800"


def inside(kernel: Kernel, command: str) -> Result:
    """Run a command where there are two cards on a hub."""
    return run(
        kernel,
        command,
        seconds=SECONDS,
        modules=[DRIVER],
        environment={"PEERGATE_TEST_SECONDS": "150"},
        hardware=Hardware(kernel, devices=HUB),
    )


def pytest_inside(kernel: Kernel, *words: str) -> None:
    result = inside(kernel, f"{PYTEST} {shlex.join(words)}")
    assert result.status == 0, result.output[-20_000:]


@LIMIT
def test_the_documents_tables_are_true(series: str, booted: Kernel) -> None:
    result = inside(booted, ".venv/bin/python -m tests.vm.guest.features")
    assert result.status == 0, result.output
    *_refusals, said = result.output.splitlines()
    found = Measured.of(said)
    assert found.release == booted.release
    found.save(series)
    if series in SERIES:
        written = stated(DOCUMENT.read_text()).get(series, {})
        assert differences(written, found) == [], (
            f"write {DOCUMENT} anew: python -m tests.vm.tables"
        )


@LIMIT
def test_every_verdict(booted: Kernel) -> None:
    """But the fuzzer, which runs on the host's CPU alone."""
    pytest_inside(booted, "tests/bpf", "--ignore", "tests/bpf/test_fuzz.py")


@LIMIT
def test_maps_and_pins(booted: Kernel) -> None:
    pytest_inside(
        booted,
        *(f"{test.__module__.replace('.', '/')}.py::{test.__name__}{case}" for test, case in MAPS),
    )


@LIMIT
@pytest.mark.parametrize("driver", ["veth", "virtio_net"])
def test_the_life_of_agents(booted: Kernel, driver: str) -> None:
    pytest_inside(booted, f"tests/vm/guest/life.py::test_the_life_of_agents[{driver}]")
