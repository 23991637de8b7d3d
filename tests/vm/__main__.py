"""python -m tests.vm 6.1 -- uname -a: run a command of this checkout in another kernel."""

import argparse
import shlex
import sys

from tests.vm.command import run
from tests.vm.kernels import SERIES, KernelError, kernel
from tests.vm.machine import Hardware, MachineError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.vm", description=__doc__)
    parser.add_argument("series", help=f"a kernel series: {', '.join(SERIES)}, or any of Debian's")
    parser.add_argument("--memory", type=int, default=1024, help="MiB")
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--icount", action="store_true", help="one ns of guest time an instruction")
    parser.add_argument("--module", action="append", default=[], help="load this one first")
    parser.add_argument("--device", action="append", default=[], help="words for QEMU")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("command", nargs="+", help="for the shell if it is one word")
    said = parser.parse_args()
    command = said.command[0] if len(said.command) == 1 else shlex.join(said.command)
    try:
        hardware = Hardware(
            kernel(said.series),
            memory=said.memory,
            cpus=said.cpus,
            icount=said.icount,
            devices=[word for words in said.device for word in shlex.split(words)],
        )
        result = run(
            hardware.kernel, command,
            hardware=hardware, seconds=said.seconds, modules=said.module,
        )  # fmt: skip
    except (KernelError, MachineError) as error:
        print(error, file=sys.stderr)
        return 125
    sys.stdout.write(result.output)
    print(
        f"kernel {hardware.kernel.release}: status {result.status}, "
        f"boot {result.boot:.1f} s, in all {result.seconds:.1f} s",
        file=sys.stderr,
    )
    return result.status


if __name__ == "__main__":
    sys.exit(main())
