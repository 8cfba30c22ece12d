"""How far every experiment is: python -m experiments.status [experiment ...] [key=value ...].

Runs in `results/runs` come first, recorded ones second. Nothing is measured, trained or changed.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

from rich.console import Console
from rich.table import Table

from experiments.commands.progress import counted
from experiments.commands.refusal import MISTAKES, nearest, reason
from experiments.pages import sweep
from experiments.pages.standing import STATES, Standing, standing
from experiments.storage import configuration

WIDE = 160
"""Characters of a line where no terminal says how many it has."""


def main(arguments: list[str]) -> int:
    """Print the table of the named experiments, or of all that have a page; 1 if there is none of a name."""
    given = dict(word.split("=", 1) for word in arguments if "=" in word)
    chosen, known = [word for word in arguments if "=" not in word], configuration.names("page")
    for name in chosen:
        if name not in known:
            print(f"error: there is no experiment {name!r}; {nearest(name, known, 'there are')}", file=sys.stderr)
            return 1
    asked = ["results", *folders(chosen or known)]
    for key in given:
        if key not in asked:
            print(
                f"error: {key} is not asked for here; {nearest(key, asked, 'what lies elsewhere is')}", file=sys.stderr
            )
            return 1
    try:
        sweep.compose(chosen or known)
        show([standing(name, given) for name in counted(chosen or known, "reading records")])
    except MISTAKES as error:
        print(f"error: {reason(error)}", file=sys.stderr)
        return 1
    return 0


def folders(names: Sequence[str]) -> list[str]:
    """Settings that say where these experiments' data lie, or that they are to be fetched."""
    needed = dict.fromkeys(key for name in names for key in sweep.page(name).get("needs") or {})
    return [*needed, *dict.fromkeys(f"{key.rpartition('.')[0]}.download" for key in needed)]


def show(found: Sequence[Standing]) -> None:
    """Print one line an experiment, and below what some of them lack."""
    table = Table("experiment", *STATES, "measured", "to go", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for one in found:
        table.add_row(one.name, *(str(one.counts[state]) for state in STATES), spent(one.seconds), to_go(one))
    console = Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)
    console.print(table)
    for one in found:
        for folder, content in one.needs.items():
            console.print(f"{one.name} needs {folder}: {content}", markup=False, soft_wrap=True)
        refused = Counter((run.label, run.why) for run in one.runs if run.state == "refused")
        for (label, why), runs in refused.items():
            console.print(f"{one.name} refuses {label}, {runs} of its runs: {why}", markup=False, soft_wrap=True)


def to_go(one: Standing) -> str:
    """How long the runs that are not there will take, without training; — where nothing is known of any.

    >>> to_go(Standing("toy", [], {}, {}))
    '0:00:00'
    """
    seconds, unknown = one.to_go()
    rest = len(one.to_measure)
    if rest and unknown == rest:
        return "—"
    return spent(seconds) + (f" and {unknown} unknown" if unknown else "")


def spent(seconds: float) -> str:
    """Seconds as hours, minutes and seconds.

    >>> spent(3723.4)
    '1:02:03'
    """
    return str(timedelta(seconds=round(seconds)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
