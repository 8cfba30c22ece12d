"""Progress bars on the terminal's error stream; silent where nobody watches."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Tell = Callable[[float, float], None]
Thing = TypeVar("Thing")


@contextmanager
def bar(title: str) -> Iterator[Tell]:
    """A bar; the yielded function is told how much is done, of how much."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def counted(things: Sequence[Thing], title: str) -> Iterator[Thing]:
    """The things one by one, under a bar."""
    with bar(title) as tell:
        for done, thing in enumerate(things):
            tell(done, len(things))
            yield thing
        tell(len(things), len(things))
