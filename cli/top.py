"""peergate top: what goes on at this router, an interval at a time, until somebody has seen it."""

import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from cli.keys import Keys
from cli.options import AgentConfig
from cli.output import console, show, show_json_line
from cli.top_view import Manner, as_json_line, as_text, on_screen

if TYPE_CHECKING:
    from control.top import View, Watcher

# Seconds between two looks at the packets that were sampled, and at the keyboard.
_LOOK = 0.1


def top(
    interval: Annotated[
        float, typer.Option(help="Seconds from one view to the next.", min=0.5, max=3600)
    ] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="One interval, as text.")] = False,
    config: AgentConfig = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="A line of JSON for each interval.")
    ] = False,
) -> None:
    """Show what goes on at this router: rates by gateway, the busiest peers and strangers.

    Rates are packets a second. Those of gateways are counted, those of peers and strangers are
    estimates by samples. On a terminal q ends it, s sorts by rate or by name, p pauses; elsewhere
    it goes on as text. Nothing is changed. Needs root.

    Examples:
      peergate top
      peergate top --once
      peergate top --interval 10 --json
    """
    from control.settings import load_settings
    from control.top import Watcher

    settings = load_settings(config, os.environ)
    with Watcher(settings) as watcher:
        if as_json:
            _follow(watcher, interval, once=once, tell=_tell_json)
        elif once or not console().is_terminal:
            _follow(watcher, interval, once=once, tell=_tell_text)
        else:
            _live(watcher, interval)


def _follow(
    watcher: "Watcher", interval: float, *, once: bool, tell: Callable[["View"], None]
) -> None:
    going = True
    while going:
        _wait(watcher, time.monotonic() + interval)
        tell(watcher.view())
        going = not once


def _wait(watcher: "Watcher", until: float) -> None:
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, _LOOK))
        watcher.sample()


def _live(watcher: "Watcher", interval: float) -> None:
    """On the whole terminal, until q."""
    from rich.live import Live

    manner, view = Manner(), None
    screen = console()
    with (
        Keys() as keys,
        Live(Text("..."), console=screen, screen=True, auto_refresh=False) as live,
    ):
        until = time.monotonic() + interval
        while True:
            key = keys.wait(max(min(until - time.monotonic(), _LOOK), 0.0))
            watcher.sample()
            fresh = watcher.view() if time.monotonic() >= until else None
            if fresh is not None:
                until = time.monotonic() + interval
            match key:
                case "q":
                    return
                case "s":
                    manner.by_name = not manner.by_name
                case "p" | " ":
                    manner.paused = not manner.paused
            if fresh is not None and not manner.paused:
                view = fresh
            if view is not None and (fresh is not None or key):
                live.update(on_screen(view, manner, screen.height), refresh=True)


def _tell_json(view: "View") -> None:
    show_json_line(as_json_line(view), at_once=True)


def _tell_text(view: "View") -> None:
    show(as_text(view))
    sys.stdout.flush()
