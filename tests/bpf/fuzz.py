"""bpf/parse.h and bpf/plain.h under libFuzzer with the address and undefined-behaviour sanitizers.

`python -m tests.bpf.fuzz --seconds 600` fuzzes for ten minutes; a frame that breaks the parser
is written out and named, and the exit status is then not 0.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from scapy.layers.inet import ICMP, TCP, IPOption
from scapy.layers.inet6 import IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, PadN
from scapy.layers.ipsec import AH
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q
from scapy.layers.ppp import PPP, PPPoE
from scapy.packet import Raw

from control.headers import SOURCES
from tests.bpf import site
from tests.bpf.frames import LATER, ether, ip, piece, protocol, udp

HARNESS = Path(__file__).with_name("fuzz_parse.c")
TARGETS = 3  # in fuzz_parse.c
LONGEST = 1600

# The kernel reads headers where they are, also at odd addresses.
SANITIZERS = ("-fsanitize=fuzzer,address,undefined", "-fno-sanitize=alignment")
STRICT = ("-Wall", "-Wextra", "-Werror", "-fno-sanitize-recover=all")


def build(directory: Path) -> Path:
    """Compile the harness; gives the fuzzer."""
    fuzzer = directory / "fuzz_parse"
    flags = ["-g", "-O1", *SANITIZERS, *STRICT, f"-I{SOURCES}"]
    subprocess.run(["clang", *flags, str(HARNESS), "-o", str(fuzzer)], check=True)
    return fuzzer


def seed_frames() -> Iterator[bytes]:
    """One frame of each kind that the parser tells apart."""
    for family in (4, 6):
        to_gateway = ip(site.REGISTERED[family], site.GATEWAY[family])
        yield ether(to_gateway / udp())
        yield ether(Dot1Q(vlan=7) / to_gateway / udp())
        yield ether(Dot1AD(vlan=7) / Dot1Q(vlan=8) / to_gateway / TCP(dport=1194))
        number = 0x0021 if family == 4 else 0x0057
        yield ether(PPPoE(sessionid=1) / PPP(proto=number) / to_gateway / udp())
        yield ether(PPPoE(sessionid=1) / Raw(bytes([number])) / to_gateway / udp())
        yield ether(to_gateway / AH(spi=1, seq=1, icv=b"\0" * 12) / udp())
        yield ether(ip(site.STRANGER[family], site.GATEWAY[family], **protocol(family, 50)))
        yield ether(to_gateway / udp(payload=b"x" * 1400))
        for kind in (17, 47, 51):
            yield ether(piece(site.REGISTERED[family], site.GATEWAY[family], kind, LATER))
    to_gateway = ip(site.REGISTERED[6], site.GATEWAY[6])
    options = IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 200)] * 2)
    yield ether(to_gateway / IPv6ExtHdrHopByHop() / IPv6ExtHdrFragment() / options / udp())
    yield ether(to_gateway / options / options / options / udp())
    to_gateway = ip(site.REGISTERED[4], site.GATEWAY[4], options=[IPOption(b"\x94\x04\0\0")])
    yield ether(to_gateway / ICMP())
    yield ether(ARP())


def run(directory: Path, *limits: str) -> subprocess.CompletedProcess[str]:
    """Build in `directory` and fuzz there from the seeds, up to libFuzzer's `limits`."""
    fuzzer = build(directory)
    corpus = directory / "corpus"
    corpus.mkdir()
    for i, frame in enumerate(seed_frames()):
        (corpus / str(i)).write_bytes(bytes([i % TARGETS]) + frame)
    command = [str(fuzzer), *limits, f"-max_len={LONGEST}", "-print_final_stats=1", str(corpus)]
    return subprocess.run(command, cwd=directory, stderr=subprocess.PIPE, text=True, check=False)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bpf.fuzz")
    parser.add_argument("--seconds", type=int, default=600)
    seconds = parser.parse_args().seconds
    directory = Path(tempfile.mkdtemp(prefix="peergate-fuzz-"))
    done = run(directory, f"-max_total_time={seconds}")
    print("\n".join(done.stderr.splitlines()[-30:]))
    if done.returncode:
        print(f"broken: the input and the fuzzer are in {directory}")
    else:
        shutil.rmtree(directory)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
