"""The tour of vagrant/README.md: commands on the lab's machines, with what they print.

In a block marked `console`, a line like `edge# peergate status` is a command; the lines under it
are its output. Times, counts and keys differ from run to run; everything else must not.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_PROMPT = re.compile(r"(edge|gateway|branch|stranger)# (.+)")
_CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)

_DIFFERS = (
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\dZ?"), "TIME"),
    (re.compile(r"\b0x[0-9a-f]+\b"), "KEY"),
    (re.compile(r"(?<= )[+-]\d+\.\d+ s\b"), "OFFSET"),
    # Maps' layout and sizes.
    (re.compile(r"(?<=/bpf/)[0-9a-f]{16}(-[0-9a-f]+)*"), "SET"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "ID"),
    # Not part of an address or a name, and no share: how much of it came is what is told.
    (re.compile(r"(?<![\w.:/-])(\d{1,3}(,\d{3})+|\d+(\.\d+)?)(?=ms\b|(?![\w.:/%-]))"), "N"),
    # Columns are as wide as what is in them.
    (re.compile(r"[ ─]+"), " "),
)


@dataclass(frozen=True, slots=True)
class Step:
    """A command on a machine, with the output that the README shows."""

    machine: str
    command: str
    output: str

    @property
    def changes(self) -> bool:
        """Whether it does something; what only looks may be asked again until it is so."""
        looks = ("tunnels", "peergate status", "peergate explain", "peergate peer show", "ip ",
                 "ping ", "systemctl is-active")  # fmt: skip
        return not self.command.startswith(looks)

    def matches(self, output: str) -> bool:
        return normal(output) == normal(self.output)


def normal(output: str) -> str:
    """Without what differs from run to run."""
    for pattern, word in _DIFFERS:
        output = pattern.sub(word, output)
    return "\n".join(line.strip() for line in output.strip().splitlines())


def steps(readme: str) -> list[Step]:
    found: list[Step] = []
    for block in _CONSOLE.findall(readme):
        lines = iter(block.splitlines())
        for line in lines:
            if prompt := _PROMPT.fullmatch(line):
                machine, command = prompt.groups()
                while command.endswith("\\"):
                    command = f"{command[:-1]}{next(lines).strip()}"
                found.append(Step(machine, command, ""))
            else:
                last = found.pop()
                found.append(Step(last.machine, last.command, f"{last.output}{line}\n"))
    return found


def rewritten(readme: str, outputs: Iterable[str]) -> str:
    """The README with these outputs, in the order of its steps."""
    rest = iter(outputs)

    def block(match: re.Match[str]) -> str:
        made: list[str] = []
        in_command = False
        for line in match[1].splitlines():
            if in_command or _PROMPT.fullmatch(line):
                made.append(line)
                in_command = line.endswith("\\")
                if not in_command:
                    lines = [line.rstrip() for line in next(rest).splitlines()]
                    made += "\n".join(lines).strip("\n").splitlines()
        return "```console\n" + "".join(f"{line}\n" for line in made) + "```"

    return _CONSOLE.sub(block, readme)
