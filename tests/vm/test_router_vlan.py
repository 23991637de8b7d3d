"""VLAN tags: a packet to a gateway's service never gets past the lookup, whatever frames it.

Where the card takes a tag off, the program does not see it; the verdict is the same.
"""

from collections.abc import Iterator

import pytest

from lab.topology import BRANCH, GATEWAY, STRANGER
from lab.watch import Watch, wait_until
from tests.control.edge import PORT
from tests.vm.kernels import kernel
from tests.vm.router import Router
from tests.vm.router_agent import SECONDS
from tests.vm.router_vlan import BARE, FRAMINGS, PAYLOAD, TAG, THREE_TAGS, Framing, add_vlans, send

PACKETS = 5
COUNTERS = ("unregistered_drop", "registered_pass")

# A namespace of the machine that speaks 802.1Q over a veth to a second uplink.
VETH = f"""set -e
ip netns add far
ip link add veth0 type veth peer name eth0 netns far
ip link set veth0 up
ip -n far link set eth0 up
ip -n far link add link eth0 name eth0.300 type vlan id 300
ip -n far link set eth0.300 up
ip -n far addr add {STRANGER}/32 dev eth0.300
ip -n far route add {GATEWAY} dev eth0.300
ip -n far neigh add {GATEWAY} dev eth0.300 lladdr $(cat /sys/class/net/veth0/address)
"""

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("router-vlan")]


def virtio_net() -> Router:
    """Native, on a card that strips no tags, and on a veth."""
    router = Router(kernel("6.1"), "vlan")
    router.write_policy()
    router.run(VETH)
    router.start_agent(interfaces=["uplink", "veth0"]).wait_for("program [0-9]+ attached", 2)
    return router


def e1000e() -> Router:
    """Generic, as its driver takes no program, on a card that strips 802.1Q tags if told to."""
    router = Router(kernel("6.1"), "strip", uplink="e1000e", queues=1)
    router.write_policy()
    router.start_agent(attach="generic")
    return router


@pytest.fixture(scope="module")
def router(request: pytest.FixtureRequest) -> Iterator[Router]:
    with request.param() as made:
        add_vlans(made)
        yield made


native = pytest.mark.parametrize("router", [virtio_net], indirect=True, ids=["virtio_net"])
generic = pytest.mark.parametrize("router", [e1000e], indirect=True, ids=["e1000e"])


def judged(router: Router, framing: Framing, *, delivered: bool = True) -> int:
    """The branch's packets pass and the stranger's do not; how long the program saw the frame."""
    before, bytes_before = router.counters(), router.bytes_counted()
    with Watch(router.net.hosts["gateway"], "eth0") as gate:
        send(router, framing, STRANGER, PACKETS)
        send(router, framing, BRANCH, PACKETS)

        def more(counter: str) -> int:
            return router.counters()[counter] - before[counter]

        def all_counted() -> bool:
            return [more(counter) for counter in COUNTERS] == [PACKETS, PACKETS]

        assert wait_until(all_counted, SECONDS, 0.1), [more(counter) for counter in COUNTERS]
        if delivered:
            assert wait_until(lambda: gate.count(BRANCH, port=PORT) == PACKETS, SECONDS)
        assert gate.count(STRANGER, port=PORT) == 0
    seen = router.bytes_counted()["unregistered_drop"] - bytes_before["unregistered_drop"]
    return seen // PACKETS


@native
@pytest.mark.parametrize("framing", FRAMINGS, ids=str)
def test_native(router: Router, framing: Framing) -> None:
    assert judged(router, framing) == BARE + TAG * len(framing.tags)


@native
def test_virtio_net_strips_nothing(router: Router) -> None:
    assert "rx-vlan-offload: off [fixed]" in router.run("ethtool -k uplink")


@generic
@pytest.mark.parametrize("framing", FRAMINGS, ids=str)
def test_generic_with_tags_left_on(router: Router, framing: Framing) -> None:
    router.run("ethtool -K uplink rxvlan off")
    assert judged(router, framing) == BARE + TAG * len(framing.tags)


@generic
@pytest.mark.parametrize("framing", FRAMINGS, ids=str)
def test_generic_with_tags_stripped(router: Router, framing: Framing) -> None:
    """The program sees a frame that is one tag shorter, and decides alike."""
    router.run("ethtool -K uplink rxvlan on")
    assert judged(router, framing) == BARE + TAG * (len(framing.tags) - framing.strips)


@generic
def test_a_third_tag_counts_as_the_program_sees_it(router: Router) -> None:
    """Three tags are `other`; with the outer one stripped, two are left, and it is judged."""
    router.run("ethtool -K uplink rxvlan on")
    assert judged(router, THREE_TAGS, delivered=False) == BARE + TAG * 2
    router.run("ethtool -K uplink rxvlan off")
    before = router.counters()
    send(router, THREE_TAGS, STRANGER, PACKETS)
    assert wait_until(
        lambda: router.counters()["other_pass"] >= before["other_pass"] + PACKETS, SECONDS, 0.1
    )
    assert router.counters()["unregistered_drop"] == before["unregistered_drop"]


@native
@pytest.mark.parametrize("beside", [True, False])
def test_veth_may_hand_over_a_tag_beside_the_frame(router: Router, beside: bool) -> None:
    """With the peer's `txvlan` on, native XDP sees the frame without its tag; judged it is."""
    in_far = "ip netns exec far"
    router.run(f"{in_far} ethtool -K eth0 txvlan {'on' if beside else 'off'}")
    before, bytes_before = router.counters(), router.bytes_counted()
    write = f"printf %0{len(PAYLOAD)}d 0 >/dev/udp/{GATEWAY}/{PORT}"
    router.run(f"{in_far} bash -c 'for _ in {{1..{PACKETS}}}; do {write}; done'")

    def more() -> int:
        return router.counters()["unregistered_drop"] - before["unregistered_drop"]

    assert wait_until(lambda: more() >= PACKETS, SECONDS, 0.1)
    seen = router.bytes_counted()["unregistered_drop"] - bytes_before["unregistered_drop"]
    assert (more(), seen) == (PACKETS, PACKETS * (BARE if beside else BARE + TAG))
