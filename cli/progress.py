"""How far a long command has come: on stderr, where that is a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cli.output import console


@contextmanager
def counting(what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """A function that shows the count so far; it shows nothing where nobody looks."""
    on = console(stderr=True)
    if not on.is_terminal:
        yield lambda _: None
        return
    # Imported here: few commands need it, and it takes its time.
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.completed:,.0f} {task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=on, transient=True) as shown:
        task = shown.add_task(what, total=total)
        yield lambda count: shown.update(task, completed=count)
