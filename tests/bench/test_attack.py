"""Sources with prefixes of each length beside them, and what packets of theirs cost."""

from ipaddress import ip_address, ip_network

import pytest

from bench import attack, lookup
from bench.mode import Mode
from bench.population import BITS, populate
from bench.programs import Programs


@pytest.mark.parametrize("family", [4, 6])
def test_each_length_is_beside_a_picked_source_and_none_around_it(family: int) -> None:
    people = populate(family, 200)
    picked = attack.pick(people, lookup.draw(people, "unregistered", 1000))
    assert len(picked) == attack.PICKED
    crowd = attack.crowded(people, picked)
    rows = zip(crowd.addresses.packed(), crowd.lengths.tolist(), strict=True)
    nets = [ip_network((row.tobytes(), length)) for row, length in rows]
    assert len(set(nets)) == len(nets)
    for row in picked.packed():
        source = ip_address(row.tobytes())
        assert not any(source in net for net in nets)
        beside = {
            net.prefixlen
            for net in nets
            if source in net.supernet() and net.prefixlen >= attack.SHORTEST[family]
        }
        assert beside == set(range(attack.SHORTEST[family], BITS[family]))


@pytest.mark.parametrize(("family", "lengths"), [(4, 15), (6, 95)])
def test_row(mode: Mode, loaded: Programs, family: int, lengths: int) -> None:
    (row,) = attack.measure(mode, loaded, populate(family, 200))
    assert (row["bench"], row["family"], row["registered"]) == ("attack", family, 200)
    assert (row["lengths"], row["rounds"]) == (lengths, 2)
    assert isinstance(row["ratio"], float)
