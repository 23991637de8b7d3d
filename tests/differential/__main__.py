"""One frame again, by model and program: the line that a failing test prints.

python -m tests.differential SITE JUDGED RESOLVED FRAME   (two times and hexadecimal bytes)
"""

import sys
from datetime import datetime

from control.dataplane import DataPlane
from tests.differential.model import judge
from tests.differential.program import SIZES, Program
from tests.differential.sites import BASE, site


def main(name: str, judged: str, resolved: str, frame: str) -> int:
    allowlist = site(name, BASE)
    now, data = datetime.fromisoformat(judged), bytes.fromhex(frame)
    with DataPlane.offline(SIZES) as plane:
        program = Program(plane)
        program.hold(allowlist, datetime.fromisoformat(resolved))
        said = program.explain(data, now)
    expected = judge(allowlist.gateways, allowlist.peers, data, now)
    print(f"model   {expected}\nprogram {said}")
    return 0 if said == expected else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
