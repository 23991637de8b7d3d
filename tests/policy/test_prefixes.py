"""Which prefixes cover which."""

import random
from ipaddress import ip_network

from policy.prefixes import Cover, Network


def test_a_prefix_is_covered_as_ipaddress_has_it() -> None:
    chance = random.Random(5)

    def some() -> Network:
        if chance.random() < 0.5:
            length, bits, first = chance.choice((8, 20, 24, 30, 32)), 32, 0xC0000200
        else:
            length, bits, first = chance.choice((16, 48, 64, 127, 128)), 128, 0x20010DB8 << 96
        number = first | chance.getrandbits(3) | chance.getrandbits(2) << (bits - 30)
        rest = bits - length
        return ip_network((number >> rest << rest, length))

    answers = []
    for _ in range(400):
        wide, asked = [some() for _ in range(chance.randrange(4))], some()
        naive = any(n.version == asked.version and asked.subnet_of(n) for n in wide)  # type: ignore[arg-type]
        assert Cover(wide).covers(asked) == naive, (wide, asked)
        answers.append(naive)
    assert {True, False} <= set(answers)
