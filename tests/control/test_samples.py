"""The rings as the agent reads them, while they are written to at the same time."""

import os
import sys
import threading
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from control import samples, syscalls
from control.columns import Rows
from control.dataplane import DataPlane
from control.samples import ELEMENTS, RING, SAMPLE, SampleReader, possible_cpus
from control.sizes import Sizes
from tests.bpf import site
from tests.bpf.bench import Bench
from tests.bpf.frames import ether, ip, tcp, udp


class Writer:
    """One CPU's ring in memory, written as bpf/samples.h does it; a step is one store or some."""

    def __init__(self) -> None:
        self.rows = np.zeros((possible_cpus()[-1] + 1) * ELEMENTS, SAMPLE.newbyteorder("="))
        self.ring = self.rows[possible_cpus()[0] * ELEMENTS :][:ELEMENTS]

    def write(self, count: int = 1) -> None:
        for _ in range(count):
            self.begin()
            self.end()

    def begin(self) -> None:
        """The record, but for what says that it is there."""
        sequence = self.ring[0]["sequence"] + np.uint64(1)
        row = self.ring[1 + int(sequence) % RING]
        row["number"] = sequence
        row["sequence"] = sequence

    def begin_torn(self) -> None:
        """A part of the record, from the first store on."""
        sequence = self.ring[0]["sequence"] + np.uint64(1)
        self.ring[1 + int(sequence) % RING]["number"][0] = sequence

    def end(self) -> None:
        self.ring[0]["sequence"] += np.uint64(1)


def sequences(rows: Rows) -> list[int]:
    """Each record must be of one piece."""
    assert (rows["number"] == rows["sequence"][:, None]).all(), "a torn record"
    found: list[int] = rows["sequence"].tolist()
    return found


@pytest.fixture
def writer() -> Writer:
    return Writer()


def test_each_is_read_once(writer: Writer) -> None:
    writer.write(3)
    reader = SampleReader(writer.rows)
    assert sequences(reader.read().rows) == []
    writer.write(2)
    assert sequences(reader.read().rows) == [4, 5]
    assert sequences(reader.read().rows) == []
    writer.write(RING + 7)
    assert sequences(reader.read().rows) == [*range(14, RING + 13)]


def test_looking_whose_they_are_reads_none(writer: Writer) -> None:
    reader = SampleReader(writer.rows)
    writer.ring[2]["gateway"] = 7
    writer.write(2)
    assert reader.gateways() == {0, 7}
    assert sequences(reader.read().rows) == [1, 2]


def test_what_is_not_yet_whole_is_not_read(writer: Writer) -> None:
    reader = SampleReader(writer.rows)
    writer.write()
    writer.begin_torn()
    assert sequences(reader.read().rows) == [1]
    writer.begin()
    assert sequences(reader.read().rows) == []
    writer.end()
    assert sequences(reader.read().rows) == [2]


@pytest.mark.parametrize("meanwhile", [0, 1, 500, RING, 3 * RING])
@pytest.mark.parametrize("when", ["settle", "in_order"])
def test_what_is_written_over_meanwhile_is_left_out(
    meanwhile: int, when: str, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the copy, or behind it and before the heads are read again."""
    reader = SampleReader(writer.rows)
    writer.write(RING)

    def go_on() -> None:
        writer.write(meanwhile)
        writer.begin_torn()

    monkeypatch.setattr(samples, when, go_on)
    read = sequences(reader.read().rows)
    assert read == [*range(meanwhile + 2, RING + 1)]
    monkeypatch.setattr(samples, when, lambda: None)
    read = sequences(reader.read().rows)
    assert read == [*range(max(RING, meanwhile + 1) + 1, RING + meanwhile + 1)]


def test_a_record_that_is_not_what_it_should_be_is_left_out(writer: Writer) -> None:
    reader = SampleReader(writer.rows)
    writer.write(3)
    writer.ring[1 + 2]["sequence"] = 99
    assert sequences(reader.read().rows) == [1, 3]


@pytest.mark.parametrize(
    ("text", "numbers"), [("0\n", (0,)), ("0-3\n", (0, 1, 2, 3)), ("0-1,4,6-7", (0, 1, 4, 6, 7))]
)
def test_cpus_as_the_kernel_lists_them(text: str, numbers: tuple[int, ...]) -> None:
    assert samples._numbers(text) == numbers


@pytest.fixture
def fair_turns() -> Iterator[None]:
    """Python's threads wait for each other's turn to end, and no longer."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("fair_turns")
def test_the_program_writes_while_it_is_read() -> None:
    """Two kinds of packets in turns: no record is a mix of both, and none comes twice."""
    kinds = {
        (6, 0x20010DB80BAD0000, 0x66, site.LAB, 17, 51820, 0): ether(
            ip(site.STRANGER[6], site.MONITORED[6]) / udp()
        ),
        (4, 0, 0xC0000242, site.WEST, 6, 1194, 1): ether(
            ip(site.STRANGER[4], site.SHARED[4]) / tcp(1194)
        ),
    }
    done = threading.Event()

    def send() -> None:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        while not done.is_set():
            for frame, count in zip(kinds.values(), (170, 230), strict=True):
                syscalls.time_run(plane.program_fd, frame, count)

    fields = ("version", "gateway", "protocol", "port", "dropped")
    with DataPlane.offline(Sizes.room_for(128, 128, 32)) as plane:
        Bench(plane).hold(site.SITE)
        thread = threading.Thread(target=send)
        thread.start()
        found: list[Rows] = []
        try:
            while sum(map(len, found)) < 50_000:
                plane.begin_epoch(plane.epoch() + 2)
                found.append(plane.samples.read().rows)
        finally:
            done.set()
            thread.join()
    whole = np.concatenate(found)
    columns = {name: whole[name].tolist() for name in fields}
    high, low = whole["number"].T.tolist()
    rows = set(
        zip(
            *(columns["version"], high, low, columns["gateway"]),
            *(columns["protocol"], columns["port"], columns["dropped"]),
            strict=True,
        )
    )
    assert rows == set(kinds)
    assert all(a < b for a, b in pairwise(whole["sequence"].tolist()))
