"""How the README's tour is read and held against what machines print."""

import pytest

from tests.vm.tour import Step, rewritten, steps

README = """# A lab

```
edge# not a step: the block is not marked
```

```console
edge# peergate peer add branch-7 \\
    --gateway hub
peer 1 (branch-7 at hub) registered, now pending
branch# tunnels
WireGuard  up
IPsec      down
```

Then

```console
edge# true
```
"""


def test_steps_of_a_readme() -> None:
    assert steps(README) == [
        Step("edge", "peergate peer add branch-7 --gateway hub",
             "peer 1 (branch-7 at hub) registered, now pending\n"),
        Step("branch", "tunnels", "WireGuard  up\nIPsec      down\n"),
        Step("edge", "true", ""),
    ]  # fmt: skip


def test_a_readme_is_written_anew() -> None:
    made = rewritten(README, ["asked\n", "WireGuard  down\n", ""])
    assert [step.output for step in steps(made)] == ["asked\n", "WireGuard  down\n", ""]
    assert made.replace("asked", "") != made
    assert rewritten(README, [step.output for step in steps(README)]) == README


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("hub   registered   pass     43", "hub   registered   pass  1,204", True),
        ("made  2026-11-23T21:03:32Z", "made  2027-01-01T00:00:00Z", True),
        ("revision 7 after 3.2 s", "revision 12 after 10 s", True),
        ("proto esp spi 0xc5f3 reqid 1", "proto esp spi 0x1234 reqid 1", True),
        ("3 received, 0% packet loss, time 2006ms", "3 received, 0% packet loss, time 9ms", True),
        ("3 received, 0% packet loss", "0 received, 100% packet loss", False),
        ("WireGuard  up", "WireGuard  down", False),
        ("peer 1 (branch-7 at hub)", "peer 1 (branch-8 at hub)", False),
        ("sources 203.0.113.7", "sources 203.0.113.8", False),
        ("/bpf/f047b610593644a4-0-3-f: x", "/bpf/6872f10275640e08: x", True),
        ("2001:db8:7::/48", "2001:db8:8::/48", False),
        ("one line", "one line\nanother", False),
    ],
)
def test_what_may_differ(shown: str, printed: str, same: bool) -> None:
    assert Step("edge", "true", shown).matches(printed) is same
