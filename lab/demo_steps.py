"""The demo's steps in their order; each shows what it does and checks what can be observed."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from lab.openvpn import PORT as OPENVPN
from lab.ping import Ping, ping
from lab.production import ROUTER
from lab.scene import HUB, UDP, Scene
from lab.topology import BRANCH, BYSTANDER, GATEWAY, GATEWAY_V6, STRANGER, UPLINK
from lab.traffic import beacon, datagrams, pinging, transfer
from lab.vpn import TunnelClient
from lab.watch import wait_until
from lab.wireguard import PORT as WIREGUARD

BRANCH_V6_BLOCK = "2001:db8:7::/48"
APPLIED = 20.0  # seconds that a change may take from the registry to the kernel
TUNNEL_UP = 30.0  # seconds that a client may take: its own retries are up to 5 s apart
TRIAL = 25  # seconds of validity; the tunnel needs up to TUNNEL_UP of them
MEGABYTE = 1_000_000
ENDLESS = ("registered_pass", "expired_drop", "unregistered_drop")

Clients = Sequence[TunnelClient]


def services_start(scene: Scene) -> None:
    """A registry and an agent as two processes; the program sits on the uplink."""
    transcript = scene.transcript
    scene.registry.start()
    token = scene.operator.run("token", "add", ROUTER, "--role", "agent", secret=True)
    transcript.say("The agent's settings:")
    for line in scene.agent.configure(token).splitlines():
        transcript.say(f"  {line}", "dim")
    scene.agent.start()
    transcript.check(f"the program is on the router's {UPLINK}, native", scene.agent.attached())


def closed_gate(scene: Scene) -> None:
    """Nobody is registered: the branch's handshakes do not reach the gateway."""
    transcript = scene.transcript
    scene.operator.run(
        "gateway", "add", HUB, "--address", GATEWAY, "--address", GATEWAY_V6,
        "--service", "wireguard", "--service", "openvpn", "--mode", "enforce",
    )  # fmt: skip
    enforced = wait_until(scene.enforced, APPLIED, 0.1)
    transcript.check("the program on the router would drop a stranger's packet", enforced)
    transcript.say("The branch tries both tunnels; the gateway would take its keys.")
    _shake_hands_in_vain(scene, scene.branch)


def register(scene: Scene) -> None:
    """Registered and approved, the branch gets through."""
    transcript, branch = scene.transcript, scene.branch
    scene.operator.run(
        "peer", "add", "branch-7", *_about("Site-to-site tunnel of branch 7"),
        "--source", BRANCH, "--source", BRANCH_V6_BLOCK,
    )  # fmt: skip
    early = scene.sent(*branch)
    transcript.say("The branch sends datagrams to the WireGuard port, 50 a second.")
    with beacon(scene.net.branch, GATEWAY, WIREGUARD):
        wait_until(lambda: scene.sent(*branch) >= early + 50, 5)
        went, came = scene.sent(*branch) - early, len(scene.arrivals(*branch))
        transcript.check(f"pending: of {went} packets {came} came in", came == 0 < went)
        given = time.time()
        scene.operator.run("peer", "approve", "branch-7")
        answered = time.time()
        opened = wait_until(lambda: bool(scene.arrivals(*branch)), APPLIED)
    first = min(scene.arrivals(*branch), default=given)
    transcript.check(f"open: the first packet came through {_when(first, given, answered)}", opened)
    for client in branch:
        client.start()
    _come_up(scene, branch)
    dropped = scene.counters()["unregistered_drop"]
    lost = scene.sent(*branch) - len(scene.arrivals(*branch))
    transcript.check(
        f"sent but not come in, since the start: {lost}; dropped: {dropped}", lost == dropped
    )


def stranger_stays_out(scene: Scene) -> None:
    """A stranger's handshakes are dropped and counted; the rest of its traffic is unharmed."""
    transcript, net, stranger = scene.transcript, scene.net, scene.stranger
    transcript.say("The stranger tries both tunnels, also with keys that the gateway would take.")
    _shake_hands_in_vain(scene, stranger)
    scene.router.run(*scene.ask())
    for address in (GATEWAY, GATEWAY_V6):
        reply = ping(net.stranger, address, 5)
        transcript.check(f"its ping to the gateway, {address}: {reply} back", reply.all_back)
    reply = ping(net.stranger, BYSTANDER, 5)
    transcript.check(f"its ping to the bystander, {BYSTANDER}: {reply} back", reply.all_back)
    for port in (WIREGUARD, OPENVPN):
        datagrams(net.stranger, BYSTANDER, port, 10)
        came = _arrive_beside(scene, port, 10)
        transcript.check(f"to the bystander's udp/{port}: {came} of 10 datagrams came", came == 10)
    came = transfer(net.stranger, net.bystander, BYSTANDER, 8080, MEGABYTE)
    transcript.check(f"over TCP: {came:,} of {MEGABYTE:,} bytes arrived", came == MEGABYTE)
    _check_alive(scene, scene.branch)


def monitor(scene: Scene) -> None:
    """In monitor mode a stranger's packets pass and are counted as would-drop."""
    transcript, stranger = scene.transcript, scene.stranger
    scene.operator.run("gateway", "set", HUB, "--mode", "monitor")
    transcript.say("The stranger tries again.")
    for client in stranger:
        client.start()
    _come_up(scene, stranger)
    with pinging(*stranger):
        given = time.time()
        scene.operator.run("gateway", "set", HUB, "--mode", "enforce")
        answered = time.time()
        _check_cut_off(scene, stranger, given, answered)
    _check_dead(scene, stranger)
    came, would = len(scene.arrivals(*stranger)), scene.counters()["unregistered_pass"]
    transcript.check(f"came in meanwhile: {came}; counted as would-drop: {would}", came == would)


def revoke(scene: Scene) -> None:
    """A revoked peer's tunnels die at once."""
    transcript, branch = scene.transcript, scene.branch
    transcript.say("The branch pings through both tunnels, 20 times a second each.")
    with pinging(*branch):
        before = time.time()
        flows = wait_until(
            lambda: all(len(scene.arrivals(each, since=before)) >= 20 for each in branch), 10
        )
        came = [len(scene.arrivals(each, since=before)) for each in branch]
        transcript.check(f"before: {came[0]} and {came[1]} packets came in", flows)
        given = time.time()
        scene.operator.run("peer", "revoke", "branch-7", "--reason", "Branch 7 was closed")
        answered = time.time()
        _check_cut_off(scene, branch, given, answered)
    _check_dead(scene, branch)


def without_centre(scene: Scene) -> None:
    """Agent killed, registry stopped: all goes on, and a validity ends on time."""
    transcript = scene.transcript
    wireguard, openvpn = scene.branch
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=TRIAL)
    scene.operator.run(
        "peer", "add", "branch-7", *_about("Branch 7, open again"),
        "--source", BRANCH, "--approve",
    )  # fmt: skip
    scene.operator.run(
        "peer", "add", "branch-7-trial", *_about("A trial of IPv6"),
        "--source", BRANCH_V6_BLOCK, "--valid-until", f"{until:%Y-%m-%dT%H:%M:%SZ}", "--approve",
    )  # fmt: skip
    _come_up(scene, scene.branch)
    before = scene.counters()
    transcript.say(f"The agent, process {scene.agent.kill()}, is killed with SIGKILL.")
    scene.registry.stop()
    transcript.say("The registry is stopped.")
    gone, end = time.time(), until.timestamp()
    transcript.check("the program is still there, native", scene.agent.attached())
    _check_alive(scene, scene.branch)
    left = end - time.time()
    transcript.check(f"the trial has {left:.1f} s left", left > 1)
    transcript.say("Branch and stranger ping through their tunnels, 20 times a second each.")
    with pinging(*scene.branch, *scene.stranger):
        wait_until(lambda: time.time() > end + 3, TRIAL)
    last = max(scene.arrivals(openvpn), default=0.0)
    transcript.check(
        f"{openvpn.title}, valid until {until:%H:%M:%S}: the last packet came through "
        f"{abs(last - end):.3f} s {'after' if last > end else 'before'} that",
        -0.5 < last - end < 0.1,
    )
    went = scene.sent(openvpn, since=end + 0.1)
    came = len(scene.arrivals(openvpn, since=end + 0.1))
    transcript.check(f"{came} of the {went} that it sent since came in", came == 0 < went)
    went, came = scene.sent(wireguard, since=end), len(scene.arrivals(wireguard, since=end))
    transcript.check(
        f"{wireguard.title}: {came} of {went} came in since", 0 <= went - came <= 2 < came
    )
    went = scene.sent(*scene.stranger, since=gone)
    came = len(scene.arrivals(*scene.stranger, since=gone))
    transcript.check(f"the stranger: {came} of {went} came in with no agent", came == 0 < went)
    _check_alive(scene, [wireguard])
    _check_dead(scene, [openvpn])
    scene.router.run("status", "--config", str(scene.agent.config))
    after = scene.counters()
    grown = [after[name] - before[name] for name in ENDLESS]
    transcript.check(
        "the pinned counters went on: "
        + ", ".join(f"{name} +{more}" for name, more in zip(ENDLESS, grown, strict=True)),
        min(grown) > 0,
    )


STEPS: tuple[tuple[str, Callable[[Scene], None]], ...] = (
    ("Registry and agent start: two processes that talk HTTP", services_start),
    ("The gate is closed: nobody is registered", closed_gate),
    ("Register and approve: the branch's tunnels come up", register),
    ("A stranger with good keys stays out, and is otherwise unharmed", stranger_stays_out),
    ("Monitor mode: would drop, and passes", monitor),
    ("Revoke: the seconds until the tunnels are dead", revoke),
    ("Agent killed, registry stopped: all goes on, and ends on time", without_centre),
)


# What the steps share


def _about(purpose: str) -> tuple[str, ...]:
    contact = ("--owner", "Branch networks", "--contact", "netops@example.net")
    return ("--gateway", HUB, *contact, "--purpose", purpose)


def _when(moment: float, given: float, answered: float) -> str:
    """A moment by a command's start and end."""
    beyond = moment - answered
    side = "after" if beyond >= 0 else "before"
    return (
        f"{moment - given:.2f} s after the command was given "
        f"({abs(beyond):.2f} s {side} it returned)"
    )


def _shake_hands_in_vain(scene: Scene, clients: Clients) -> None:
    """Both clients try, nothing comes in, the router counts every packet; then they stop."""
    before = scene.counters()["unregistered_drop"]
    for client in clients:
        client.start()
    tried = wait_until(lambda: all(scene.sent(client) >= 2 for client in clients), 15)
    _check_dead(scene, clients)
    for client in clients:
        client.stop()
        went, came = scene.sent(client), len(scene.arrivals(client))
        scene.transcript.check(
            f"{client.title} from {client.source}: sent {went}, came in at the gateway {came}",
            tried and came == 0,
        )
    counted = scene.counters()["unregistered_drop"] - before
    went = scene.sent(*clients)
    scene.transcript.check(
        f"sent {went} in all; counted as unregistered_drop: {counted}", counted == went
    )


def _arrive_beside(scene: Scene, port: int, count: int) -> int:
    """Datagrams from the stranger that the bystander's link saw; waits for `count` of them."""
    wait_until(lambda: scene.beside.count(STRANGER, UDP, port) >= count, 5)
    return scene.beside.count(STRANGER, UDP, port)


def _come_up(scene: Scene, clients: Clients) -> None:
    """The tunnels come up within the clients' own retries, and carry pings."""
    began = time.monotonic()
    for client in clients:
        up = client.wait_up(TUNNEL_UP)
        took = time.monotonic() - began
        scene.transcript.check(f"the {client.host}'s {client.title} is up after {took:.1f} s", up)
    _check_alive(scene, clients)


def _check_alive(scene: Scene, clients: Clients) -> None:
    for client in clients:
        reply = client.ping(5)
        scene.transcript.check(_replies(client, reply), reply.all_back)


def _check_dead(scene: Scene, clients: Clients) -> None:
    for client in clients:
        reply = client.ping(3)
        scene.transcript.check(_replies(client, reply), reply.received == 0)


def _replies(client: TunnelClient, reply: Ping) -> str:
    return f"the {client.host}'s ping through {client.title}: {reply} back"


def _check_cut_off(scene: Scene, clients: Clients, given: float, answered: float) -> None:
    """What the clients go on sending stops coming in, for a second and more."""
    for client in clients:

        def silent(client: TunnelClient = client) -> bool:
            return time.time() - max(scene.arrivals(client), default=0.0) > 1.5

        dead = wait_until(silent, APPLIED)
        last = max(scene.arrivals(client), default=0.0)
        scene.transcript.check(
            f"{client.title}: the last packet came through {_when(last, given, answered)}; "
            f"{scene.sent(client, since=last + 0.01)} more were sent",
            dead and scene.sent(client, since=last + 0.01) > 0,
        )
