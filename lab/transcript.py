"""The demo's readable record: what is done, what was observed, and whether that was right."""

import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.padding import Padding
from rich.text import Text


class StepError(Exception):
    """Something that a step had to show was not observed."""


class Transcript:
    """Writes to a console: with colours on a terminal, plain elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._step = 0
        self._times: list[tuple[str, float, int]] = []
        self._checks = 0

    def say(self, text: str, style: str = "") -> None:
        self._line(Text(text, style=style))

    def _line(self, text: Text, indent: int = 3) -> None:
        if self._console.is_terminal:
            self._console.print(Padding(text, (0, 0, 0, indent)), highlight=False)
        else:
            self._console.print(" " * indent, text, sep="", soft_wrap=True, highlight=False)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """A numbered step, timed."""
        self._step += 1
        self._checks = 0
        self._console.print()
        self._line(Text(f"{self._step}. {title}", style="bold"), indent=0)
        started = time.monotonic()
        yield
        self._times.append((title, time.monotonic() - started, self._checks))

    def command(self, where: str, argv: Sequence[str], output: str) -> None:
        """A command as it was run in the namespace `where`, and what it printed."""
        self._line(Text.assemble((f"{where}# ", "cyan"), (shlex.join(argv), "bold cyan")))
        for line in output.splitlines():
            if line.strip():
                self._line(Text(line.rstrip(), style="dim"), indent=5)

    def check(self, observed: str, right: bool) -> None:
        """One observation with its numbers. Raises StepError where it is not right."""
        self._checks += 1
        word, style = ("ok    ", "green") if right else ("FAILED", "bold red")
        self._line(Text.assemble((word, style), f" {observed}"))
        if not right:
            raise StepError(f"step {self._step}: {observed}")

    def summary(self) -> None:
        """Every step with its time."""
        self._console.print()
        for number, (title, seconds, checks) in enumerate(self._times, 1):
            self._line(Text(f"{number:2}. {title:<62} {seconds:5.1f} s  {checks} observed"), 0)
